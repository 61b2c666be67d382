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
    try Self.checkVerbosity(options.run)
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
    let own = Array(CommandLine.arguments.dropFirst().drop { $0 != "train" }.dropFirst())
    let path = options.run.config
    // The configuration file's settings and then the command line's own.
    let (file, given, run) = try ranks.onEveryRank {
      let file = try path.map { try ConfigurationFile(path: $0) }
      let given = TrainingSession.join(file?.flags(before: own) ?? [], own)
      return (file, given, try Self.runOptions(given))
    }
    let reporter =
      communicator.isRoot
      ? TerminalReporter(
        isLaunched: communicator is MPICommunicator, writesEvents: run.tensorboard,
        verbosity: run.quiet ? .quiet : run.verbose ? .verbose : .usual) : nil
    try ranks.requireEqual([
      ("--run", run.run ?? "default"), ("--resume", "\(run.resume)"),
      ("--walltime", run.walltime ?? "none"),
      ("--no-report", "\(run.noReport)"), ("--tensorboard", "\(run.tensorboard)"),
    ])
    let time = run.walltime.flatMap { Duration(walltime: $0) }
    let session = TrainingSession(
      ranks: ranks, reporter: reporter, end: time.map { start.advanced(by: $0) },
      isLast: true, writesReport: !run.noReport, writesEvents: run.tensorboard,
      places: file.map { $0.places(notIn: own) } ?? [:])
    _ = try session.run(
      flags: given, folder: run.run.map { RunFolder(path: $0) }, resume: run.resume)
  }

  private static func runOptions(_ flags: [String]) throws -> RunOptions {
    do {
      let options = try TrainOptions.parse(flags).run
      try checkVerbosity(options)
      return options
    } catch {
      throw UsageError(description: VAEDist.oneLine(TrainOptions.message(for: error)))
    }
  }

  private static func checkVerbosity(_ options: RunOptions) throws {
    if options.quiet && options.verbose {
      throw ValidationError("--quiet and --verbose are both given; leave one of them out")
    }
  }
}
