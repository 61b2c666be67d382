import ArgumentParser
import Checkpointing
import DataLoading
import Foundation
import Training
import Yams

/// A YAML file of settings by the names of the command line, as flags.
///
/// Flags that follow win over these, since of a flag given twice the last one counts.
package struct ConfigurationFile {
  /// Settings that are there or are not.
  static let switches = ["deterministic", "no-report", "quiet", "tensorboard", "verbose"]

  /// `["--latent=20", …]`.
  let flags: [String]
  // Where each setting's value is, for messages.
  private let places: [String: String]

  /// Settings of a file.
  ///
  /// - Throws: `DataError` if it cannot be read, `UsageError` naming line and setting if it is wrong.
  package init(path: String) throws {
    guard FileManager.default.fileExists(atPath: path) else {
      throw DataError.missing(path: path)
    }
    if DurableFile.isFolder(path) {
      throw DataError.unreadable(
        path: path, reason: "it is a folder; of a run, config.yaml in it has the settings")
    }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw DataError.unreadable(path: path, reason: "it is not a text file")
    }
    try self.init(text: text, path: path)
  }

  /// Settings of a text; `path` is for messages.
  init(text: String, path: String) throws {
    func place(_ mark: Mark?) -> String {
      "'\(path)'" + (mark.map { " line \($0.line), column \($0.column)" } ?? "")
    }
    func wrong(_ mark: Mark?, _ sentence: String) -> UsageError {
      UsageError(description: "\(place(mark)): \(sentence)")
    }
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
      throw wrong(
        context.mark, "settings are given twice: \(keys.map(\.description).joined(separator: ", "))"
      )
    } catch {
      throw UsageError(description: "'\(path)' is not YAML: \(Self.firstLine(of: error))")
    }
    guard let root else {
      (flags, places) = ([], [:])
      return
    }
    guard case .mapping(let mapping) = root else {
      throw wrong(root.mark, "settings are lines of the form 'latent: 20'")
    }
    var flags: [String] = []
    var places: [String: String] = [:]
    for (key, node) in mapping {
      guard let written = key.string, case let name = Self.presentName(of: written),
        !Self.ofTheCommandLine.contains(name)
      else {
        throw wrong(key.mark, "'\(key.string ?? "?")' belongs on the command line")
      }
      if !Self.names.contains(name) { throw wrong(key.mark, Self.unknown(name)) }
      guard let value = Self.value(of: node) else {
        throw wrong(node.mark, "'\(name)' is neither a value nor a list of values")
      }
      if value == "null" { continue }
      places[name] = place(node.mark)
      if Self.switches.contains(name) {
        guard ["true", "false"].contains(value) else {
          throw wrong(node.mark, "'\(name)' is '\(value)'; it must be true or false")
        }
        if value == "true" { flags.append("--\(name)") }
        continue
      }
      let flag = ["--\(name)=\(value)"]
      do {
        _ = try TrainOptions.parse(flag)
      } catch {
        let sentence = VAEDist.oneLine(TrainOptions.message(for: error))
        throw wrong(
          node.mark,
          sentence.replacingOccurrences(of: "'--", with: "'").replacing(/\ <[a-z-]*>'/, with: "'"))
      }
      flags += flag
    }
    self.flags = flags
    self.places = places
  }

  /// The flags, without what a command line replaces together with other things: how much is said, and of other data the
  /// test examples and labels, unless those are a column of the data.
  func flags(before arguments: [String]) -> [String] {
    func value(_ name: String, in flags: [String]) -> String? {
      if let index = flags.lastIndex(of: "--\(name)"), index + 1 < flags.count {
        return flags[index + 1]
      }
      return flags.last { $0.hasPrefix("--\(name)=") }.map { String($0.dropFirst(name.count + 3)) }
    }
    let saysHowMuch = arguments.contains { $0 == "--quiet" || $0 == "--verbose" }
    let own = flags.filter { !saysHowMuch || $0 != "--quiet" && $0 != "--verbose" }
    guard let data = value("data", in: arguments), let before = value("data", in: own),
      data != before
    else { return own }
    return own.compactMap { flag in
      if flag.hasPrefix("--test-data=") || flag.hasPrefix("--test-labels=") { return nil }
      guard let labels = value("labels", in: [flag]) else { return flag }
      // An array of a file goes with the file.
      func file(_ name: String) -> String { DataSource.split(name)?.path ?? name }
      guard let (path, column) = DataSource.split(labels), let column, path == file(before) else {
        return nil
      }
      return "--labels=\(file(data)):\(column)"
    }
  }

  /// Where the file gives which setting, but for those that a command line has too.
  func places(notIn arguments: [String]) -> [String: String] {
    places.filter { name, _ in
      !arguments.contains { $0 == "--\(name)" || $0.hasPrefix("--\(name)=") }
    }
  }

  private static let ofTheCommandLine = ["config", "resume", "run", "walltime", "help", "version"]

  private static let names = Set(
    TrainingConfiguration.CodingKeys.allCases.map(\.rawValue) + switches)

  // What other programs call settings.
  private static let synonyms = [
    "lr": "learning-rate", "batch-size": "global-batch-size", "latent-dim": "latent",
    "latent-dimension": "latent", "z-dim": "latent", "max-epochs": "epochs", "max-steps": "steps",
    "hidden-dims": "hidden", "dataset": "data", "kl-weight": "beta", "l2": "weight-decay",
  ]

  private static func unknown(_ name: String) -> String {
    let written = name.lowercased().replacing("_", with: "-")
    let near =
      synonyms[written]
      ?? names.min { distance($0, written) < distance($1, written) }
      .flatMap { distance($0, written) <= max(1, written.count / 3) ? $0 : nil }
    return "There is no setting '\(name)'"
      + (near.map { "; did you mean '\($0)'?" } ?? "; vae-dist config prints all of them")
  }

  // Characters that are to be changed, added or left out (Levenshtein).
  private static func distance(_ one: String, _ other: String) -> Int {
    var row = Array(0...other.count)
    for (index, character) in one.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for (place, wanted) in other.enumerated() {
        let changed = diagonal + (character == wanted ? 0 : 1)
        diagonal = row[place + 1]
        row[place + 1] = min(changed, row[place] + 1, diagonal + 1)
      }
    }
    return row[other.count]
  }

  // A setting by the name that it has now.
  private static func presentName(of name: String) -> String {
    name == "gaussian-mean" ? "observation-mean" : name
  }

  private static func value(of node: Node) -> String? {
    switch node {
    case .scalar(let scalar):
      return scalar.string.isEmpty || scalar.string == "~" ? "null" : scalar.string
    case .sequence(let sequence):
      let parts = sequence.compactMap { $0.scalar?.string }
      if parts.count != sequence.count { return nil }
      return parts.isEmpty ? "none" : parts.joined(separator: ",")
    default:
      return nil
    }
  }

  private static func firstLine(of error: any Error) -> String {
    "\(error)".split(separator: "\n").first.map(String.init) ?? "\(error)"
  }

  /// The resolved settings as the text of a configuration file; numbers read back exactly.
  static func text(_ configuration: TrainingConfiguration) throws -> String {
    let lines = try configuration.settings.filter { $0.value != "default" }.map { name, value in
      // Paths may hold anything, so they are quoted as YAML wants it; widths are a list.
      switch name {
      case "data", "test-data", "labels", "test-labels", "initialize-from":
        "\(name): \(try Yams.dump(object: value).trimmingCharacters(in: .newlines))"
      case "encoder", "decoder", "columns":
        "\(name):"
          + value.split(separator: ",").map { "\n  - \($0.drop { $0 == " " })" }.joined()
      case "skip-columns":
        "\(name):"
          + (try Yams.dump(object: value.components(separatedBy: ","), width: -1)
            .split(separator: "\n").map { "\n  \($0)" }.joined())
      case "hidden":
        "\(name): \(value == "none" ? value : "[\(value)]")"
      default:
        "\(name): \(value)"
      }
    }
    return "# Settings of this run. To repeat it: vae-dist train --config THIS_FILE\n"
      + lines.map { "\($0)\n" }.joined()
  }
}
