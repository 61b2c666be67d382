import ArgumentParser
import Checkpointing
import Collectives
import Foundation
import Training

struct TrainCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a variational autoencoder.",
    discussion: """
      Alone it uses this machine's cores; under mpirun every rank trains on its part of each batch. \
      The results do not depend on the number of ranks, up to the rounding of sums.
      """)

  @OptionGroup var options: TrainOptions

  mutating func run(on ranks: Agreement) throws {
    let communicator = ranks.communicator
    let given = try ranks.onEveryRank { try Self.flags(of: options) }
    try ranks.requireEqual([
      ("--run", options.run.run ?? "default"), ("--resume", "\(options.run.resume)"),
    ])
    let folder = try chooseFolder(communicator)
    let isResuming = try begin(folder, ranks)

    // The settings of the run that goes on, then the configuration file's, then the flags.
    let stored = isResuming ? try Self.settings(of: folder, communicator) : ""
    let configuration = try ranks.onEveryRank {
      let before = try ConfigurationFile(text: stored, path: folder.configurationPath).flags
      let settings = try TrainOptions.parse(Self.join(before, given)).configuration
      try settings.validate(worldSize: communicator.worldSize)
      return settings
    }
    try ranks.requireEqual(
      configuration.settings.filter { $0.name != "threads" }.map { ("--\($0.name)", $0.value) })

    let reporter = communicator.isRoot ? TerminalReporter() : nil
    let saved = isResuming ? try Self.newestCheckpoint(folder, ranks, reporter) : nil
    let data = try PreparedData(configuration, agreement: ranks)
    let trainer = Trainer(
      configuration, data: data,
      threadCount: configuration.threads
        ?? Processors.defaultThreadCount(ranksOnNode: communicator.ranksOnNode),
      folder: folder, agreement: ranks, observer: reporter)
    try trainer.run(
      resuming: saved, configurationText: try ConfigurationFile.text(configuration))
  }

  // The configuration file's settings and then the command line's own, as flags.
  private static func flags(of options: TrainOptions) throws -> [String] {
    let file = try options.run.config.map { try ConfigurationFile(path: $0).flags } ?? []
    let own = CommandLine.arguments.dropFirst().drop { $0 != "train" }.dropFirst()
    return join(file, Array(own))
  }

  // Of a flag given twice the last one counts. The length of a run has two flags: a later one of
  // them replaces an earlier other.
  private static func join(_ earlier: [String], _ later: [String]) -> [String] {
    func names(_ flag: String) -> Bool {
      later.contains { $0 == flag || $0.hasPrefix("\(flag)=") }
    }
    let setsLength = names("--epochs") || names("--steps")
    return earlier.filter { flag in
      !setsLength || !(flag.hasPrefix("--epochs=") || flag.hasPrefix("--steps="))
    } + later
  }

  private func chooseFolder(_ communicator: any Communicator) throws -> RunFolder {
    if let path = options.run.run { return RunFolder(path: path) }
    let name = URL(filePath: options.data.data ?? "digits").lastPathComponent
    let base = "runs/" + (name.split(separator: ".").first.map(String.init) ?? "data")
    return RunFolder(path: try communicator.broadcast(RunFolder.nextFree(base).path))
  }

  // Whether there is a run to go on with; it is an error if there is one and nobody asked.
  private func begin(_ folder: RunFolder, _ ranks: Agreement) throws -> Bool {
    let communicator = ranks.communicator
    let holdsRun = try communicator.broadcast(folder.holdsRun ? "yes" : "no") == "yes"
    if holdsRun && !options.run.resume {
      try ranks.onEveryRank { throw TrainingError.runExists(path: folder.path) }
    }
    return holdsRun
  }

  private static func settings(
    of folder: RunFolder, _ communicator: any Communicator
  ) throws -> String {
    try communicator.broadcast(
      (try? String(contentsOfFile: folder.configurationPath, encoding: .utf8)) ?? "")
  }

  // The root chooses; the others open the same file. Nil if the run had not come to its first.
  private static func newestCheckpoint(
    _ folder: RunFolder, _ ranks: Agreement, _ reporter: TerminalReporter?
  ) throws -> SavedModel? {
    var path = ""
    try ranks.onRoot {
      if folder.checkpoints.steps.isEmpty { return }
      path = try SavedModel(path: folder.path) { reporter?.didSkip($0) }.file.path
    }
    path = try ranks.communicator.broadcast(path)
    return path.isEmpty ? nil : try ranks.onEveryRank { try SavedModel(path: path) }
  }
}
