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

  func validate() throws {
    if options.run.quiet && options.run.verbose {
      throw ValidationError("--quiet and --verbose are both given; leave one of them out")
    }
    if options.run.run == "" { throw ValidationError("--run is empty; it must name a folder") }
    if let text = options.run.walltime, Duration(walltime: text) == nil {
      throw ValidationError("--walltime is '\(text)'; it must be a time: 3h50m, 90m, 45s or 3600")
    }
    if options.run.resume && options.run.run == nil {
      throw ValidationError("--resume needs --run, the folder of the run to go on with")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let start = ContinuousClock.now
    let communicator = ranks.communicator
    let reporter =
      communicator.isRoot
      ? TerminalReporter(
        isLaunched: communicator is MPICommunicator, writesEvents: options.run.tensorboard,
        verbosity: options.run.quiet ? .quiet : options.run.verbose ? .verbose : .usual) : nil
    let given = try ranks.onEveryRank { try Self.flags(of: options) }
    try ranks.requireEqual([
      ("--run", options.run.run ?? "default"), ("--resume", "\(options.run.resume)"),
      ("--walltime", options.run.walltime ?? "none"),
      ("--no-report", "\(options.run.noReport)"),
      ("--tensorboard", "\(options.run.tensorboard)"),
    ])
    let time = options.run.walltime.flatMap { Duration(walltime: $0) }
    let session = TrainingSession(
      ranks: ranks, reporter: reporter, end: time.map { start.advanced(by: $0) },
      isLast: true, writesReport: !options.run.noReport, writesEvents: options.run.tensorboard)
    _ = try session.run(
      flags: given, folder: options.run.run.map { RunFolder(path: $0) }, resume: options.run.resume)
  }

  // The configuration file's settings and then the command line's own, as flags.
  private static func flags(of options: TrainOptions) throws -> [String] {
    let file = try options.run.config.map { try ConfigurationFile(path: $0).flags } ?? []
    let own = CommandLine.arguments.dropFirst().drop { $0 != "train" }.dropFirst()
    return TrainingSession.join(file, Array(own))
  }
}
