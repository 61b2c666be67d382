import ArgumentParser
import Foundation
import Training

struct ConfigCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Print a configuration file of train with every setting, its default and what it is.",
    discussion: """
      Lines are commented out: what is left as it is keeps its default. For example: vae-dist config > run.yaml, \
      then vae-dist train --config run.yaml.
      """)

  mutating func run(on ranks: Agreement) throws {
    try ranks.onRoot { say(try ConfigurationTemplate.text()) }
  }
}

/// Every setting of `train` as the lines of a configuration file, by the help of its flags.
enum ConfigurationTemplate {
  // What ArgumentParser tells of a command, as far as it is needed.
  private struct Help: Decodable {
    struct Command: Decodable {
      let arguments: [Argument]
    }
    struct Argument: Decodable {
      struct Name: Decodable {
        let name: String
      }
      let abstract: String?
      let sectionTitle: String?
      let names: [Name]?
      let allValues: [String]?
    }
    let command: Command
  }

  /// The lines.
  static func text() throws -> String {
    let help = try JSONDecoder().decode(
      Help.self, from: Data(TrainCommand._dumpHelp().utf8))
    let settings = TrainingConfiguration().settings
    let values = Dictionary(uniqueKeysWithValues: settings.map { ($0.name, $0.value) })
    var lines = [
      "# Settings of vae-dist train. Take the # away from what is to be another than its default, and:",
      "#   vae-dist train --config THIS_FILE",
    ]
    var section = ""
    for argument in help.command.arguments {
      guard let name = argument.names?.first?.name,
        values[name] != nil || ConfigurationFile.switches.contains(name)
      else { continue }
      if let title = argument.sectionTitle, title != section {
        section = title
        lines += ["", "# \(title)"]
      }
      let value =
        ConfigurationFile.switches.contains(name)
        ? "false" : values[name].flatMap { $0 == "default" ? nil : $0 } ?? ""
      // The default is the value itself.
      let abstract = argument.abstract ?? ""
      let meaning =
        value.isEmpty ? abstract : abstract.replacing(/\s\(default: .*\)/, with: "")
      let choices = argument.allValues.map { " (\($0.joined(separator: ", ")))" } ?? ""
      lines += ["", "# \(meaning)\(choices)", "#\(name):\(value.isEmpty ? "" : " \(value)")"]
    }
    return lines.joined(separator: "\n")
  }
}
