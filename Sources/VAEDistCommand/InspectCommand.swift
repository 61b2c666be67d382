import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Training

struct InspectCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show what a run folder, a checkpoint or data hold.")

  @Argument(help: "A run folder, a checkpoint, or data as in train.")
  var path: String

  @Flag(help: "Print one JSON object.")
  var json = false

  // One rank is enough.
  mutating func run(on ranks: Agreement) throws {
    try ranks.onRoot {
      let folder = RunFolder(path: path)
      if DurableFile.isFolder(path) && folder.holdsRun {
        let found = RunInspection(folder)
        say(json ? try jsonText(found) : Self.text(found))
      } else if Self.isCheckpoint(path) {
        let found = try CheckpointInspection(path: path)
        say(json ? try jsonText(found) : Self.text(found))
      } else {
        let line = ProgressLine("inspect")
        let found = try DataInspection(name: path) { line.show($0, of: $1) }
        say(json ? try jsonText(found) : Self.text(found))
      }
    }
  }

  // By its name, or because a JSON object follows the eight bytes of its length.
  private static func isCheckpoint(_ path: String) -> Bool {
    if path.hasSuffix(".safetensors") { return true }
    guard DurableFile.isRegularFile(path), let file = FileHandle(forReadingAtPath: path),
      let start = try? file.read(upToCount: 9)
    else { return false }
    return start.count == 9 && start.last == UInt8(ascii: "{")
  }

  private static func text(_ found: RunInspection) -> String {
    var lines = [
      "Run \(found.run), \(found.isComplete ? "complete" : "not complete")"
        + (found.earlyEnd.map { " (\($0))" } ?? "")
    ]
    if let event = found.lastRollback, let rate = event.learningRate {
      lines.append(
        "  went back \(found.rollbacks == 1 ? "once" : "\(found.rollbacks) times"), last to step"
          + " \(grouped(event.step)) with a learning rate of \(String(format: "%g", rate))")
    }
    if let event = found.failure, let message = event.message {
      lines.append("  could not go on after step \(grouped(event.step)): \(message)")
    }
    if let event = found.lastTest, let elbo = event.elbo {
      lines.append("  test ELBO \(figure(elbo)) nats at step \(grouped(event.step))")
    }
    if let event = found.lastTrain, let elbo = event.elbo {
      lines.append("  train ELBO \(figure(elbo)) nats at step \(grouped(event.step))")
    }
    lines.append("Checkpoints")
    for checkpoint in found.checkpoints {
      let names = [("latest", found.latest), ("best", found.best)]
        .filter { $0.1 == checkpoint.file }.map(\.0)
      let note = checkpoint.problem ?? names.joined(separator: ", ")
      lines.append("  \(checkpoint.file)\(note.isEmpty ? "" : "  \(note)")")
    }
    if found.checkpoints.isEmpty { lines.append("  none") }
    if !found.configuration.isEmpty { lines.append("Settings") }
    for (name, value) in found.configuration.sorted(by: { $0.key < $1.key })
    where value != "default" {
      lines.append("  \(name): \(value)")
    }
    return lines.joined(separator: "\n")
  }

  private static func text(_ found: CheckpointInspection) -> String {
    var lines = ["Checkpoint \(found.checkpoint), \(found.problem ?? "whole")", "Tensors"]
    let width = found.tensors.map(\.name.count).max() ?? 0
    for tensor in found.tensors {
      let name = tensor.name.padding(toLength: width, withPad: " ", startingAt: 0)
      lines.append("  \(name)  \(tensor.type)  \(tensor.shape)")
    }
    lines.append("Metadata")
    for (key, value) in found.metadata.sorted(by: { $0.key < $1.key }) {
      lines.append("  \(key): \(value)")
    }
    return lines.joined(separator: "\n")
  }

  private static func words(_ residence: NumericArray.Residence) -> String {
    switch residence {
    case .mapped: ", memory-mapped"
    case .loaded: ""
    case .read: ", more than half the memory: read row by row"
    }
  }

  private static func range(_ low: Double?, _ high: Double?) -> String? {
    low.flatMap { low in high.map { "\(number(low)) to \(number($0))" } }
  }

  // As the file's single precision has it.
  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e9 ? String(Int(value)) : "\(Float(value))"
  }

  private static func some(_ names: [String]) -> String {
    names.prefix(10).joined(separator: ", ")
      + (names.count > 10 ? " and \(grouped(names.count - 10)) more" : "")
  }

  private static func lines(of columns: [DataInspection.Column]) -> [String] {
    let width = min(columns.map(\.name.count).max() ?? 0, 30)
    return columns.map { column in
      let name =
        column.name + String(repeating: " ", count: max(width - column.name.count, 0))
      let what =
        if let texts = column.texts, let count = column.textCount {
          "\(grouped(count)) \(count == 1 ? "text" : "texts"): "
            + texts.prefix(5).joined(separator: ", ")
            + (count > 5 ? " and \(grouped(count - 5)) more" : "")
        } else {
          range(column.minimum, column.maximum) ?? "no number"
        }
      return "    \(name)  \(what)"
        + (column.missing > 0 ? ", \(grouped(column.missing)) missing" : "")
    }
  }

  private static func text(_ found: DataInspection) -> String {
    var lines = ["Data \(found.data)"]
    for array in found.arrays {
      let range = range(array.minimum, array.maximum).map { "values from \($0)" } ?? "no number"
      lines.append(
        "  \(array.split)  \(array.type) \(array.shape), \(range)"
          + Self.words(array.residence))
      let first = array.firstNonFiniteExample.map { ", first in example \(grouped($0))" } ?? ""
      if array.infiniteValues > 0 {
        lines.append(
          "    \(grouped(array.infiniteValues)) values are infinite or beyond 32-bit floating point"
            + first)
      }
      if array.missingValues > 0 {
        lines.append(
          "    \(grouped(array.missingValues)) \(array.missingValues == 1 ? "value is" : "values are") missing (NaN)"
            + (array.infiniteValues > 0 ? "" : first))
      }
      if array.duplicates > 0 {
        lines.append(
          array.duplicates == 1
            ? "    1 example is the same as an earlier one"
            : "    \(grouped(array.duplicates)) examples are the same as an earlier one")
      }
      if array.constantColumns > 0 {
        lines.append(
          "    \(grouped(array.constantColumns)) of \(grouped(array.shape[1...].reduce(1, *))) values never vary"
        )
      }
      if let note = array.note { lines.append("    \(note)") }
      if let classes = array.classes {
        lines.append(
          "    labels of \(grouped(classes.count)) classes beside them: \(Self.some(classes))")
      }
      lines.append("    SHA-256 \(array.digest)")
      if let columns = array.columns, array.split == Split.train.rawValue {
        lines += Self.lines(of: columns)
      }
    }
    for annotation in found.annotations {
      lines.append(
        "  --labels \(shellQuoted(annotation.name)): \(grouped(annotation.classes.count)) classes,"
          + " \(some(annotation.classes))")
    }
    lines.append("Likelihood: \(found.advice.likelihood) (\(found.advice.reason))")
    lines.append("  \(found.advice.command)")
    return lines.joined(separator: "\n")
  }
}
