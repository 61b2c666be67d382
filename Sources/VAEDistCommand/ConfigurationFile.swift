import ArgumentParser
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

  /// `["--latent", "20", …]`.
  let flags: [String]

  /// Settings of a file.
  ///
  /// - Throws: `DataError` if it cannot be read, `UsageError` naming line and setting if it is wrong.
  package init(path: String) throws {
    guard FileManager.default.fileExists(atPath: path) else {
      throw DataError.missing(path: path)
    }
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw DataError.unreadable(path: path, reason: "it is not a text file")
    }
    try self.init(text: text, path: path)
  }

  /// Settings of a text; `path` is for messages.
  init(text: String, path: String) throws {
    func wrong(_ mark: Mark?, _ sentence: String) -> UsageError {
      let place = mark.map { " line \($0.line), column \($0.column)" } ?? ""
      return UsageError(description: "'\(path)'\(place): \(sentence)")
    }
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw UsageError(description: "'\(path)' is not YAML: \(Self.firstLine(of: error))")
    }
    guard let root else {
      flags = []
      return
    }
    guard case .mapping(let mapping) = root else {
      throw wrong(root.mark, "settings are lines of the form 'latent: 20'")
    }
    var flags: [String] = []
    for (key, node) in mapping {
      guard let written = key.string, case let name = Self.presentName(of: written),
        !["config", "resume", "run", "walltime", "help", "version"].contains(name)
      else {
        throw wrong(key.mark, "'\(key.string ?? "?")' belongs on the command line")
      }
      guard let value = Self.value(of: node) else {
        throw wrong(node.mark, "'\(name)' is neither a value nor a list of values")
      }
      if value == "null" { continue }
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
        throw wrong(key.mark, sentence.replacingOccurrences(of: "'--", with: "'"))
      }
      flags += flag
    }
    self.flags = flags
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
        "\(name): "
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
