import ArgumentParser
import Collectives
import Digests
import Foundation
import TensorKernels
import Training

/// A command that runs on every rank.
protocol RankCommand: ParsableCommand {
  /// Does the work. Collective.
  mutating func run(on ranks: Agreement) throws
}

/// The program, for whoever starts it.
package enum Program {
  /// Does what the command line says, and ends the process.
  package static func main() -> Never { VAEDist.main() }
}

/// The program: finds its ranks, lets them agree on the command, runs it, and ends them together.
struct VAEDist: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vae-dist",
    abstract: "Trains variational autoencoders, data-parallel over MPI.",
    discussion: """
      One process:     vae-dist train
      Four processes:  mpirun -np 4 vae-dist train --data x.npy --run runs/a
      Going on:        vae-dist train --run runs/a --resume

      \(ExitStatus.table)
      """,
    version: SavedModel.version,
    subcommands: [
      TrainCommand.self, EvaluateCommand.self, InspectCommand.self, SampleCommand.self,
      ReconstructCommand.self, EncodeCommand.self, DecodeCommand.self, ScoreCommand.self,
      TraverseCommand.self, InterpolateCommand.self, ManifoldCommand.self, BenchmarkCommand.self,
      ReportCommand.self, ExportCommand.self, ReproduceCommand.self, ConfigCommand.self,
      ConvertCommand.self, DoctorCommand.self,
    ])

  static func main() -> Never {
    let launcher = Launcher(environment: ProcessInfo.processInfo.environment)
    let arguments = Array(CommandLine.arguments.dropFirst())
    // A file that has grown too large is an error of writing, and no reason to be killed.
    signal(SIGXFSZ, SIG_IGN)
    // Before MPI starts, and to the end of the process: a signal in between must not be lost.
    let stopRequest =
      arguments.first == TrainCommand.configuration.commandName
      ? StopRequest(end: nil, isLast: true) : nil
    let patience = hangTimeout(arguments)
    let start = launcher.rank.map {
      StartWatch.begin(
        rank: $0, seconds: patience == 0 ? 86_400 : max(patience, 30),
        status: Trainer.lostRankStatus)
    }
    let communicator: any Communicator
    do {
      communicator = try launcher.makeCommunicator()
    } catch {
      if (launcher.rank ?? 0) == 0 { complain("Error: \(error)\n") }
      Foundation.exit(ExitStatus.libraryRefused.rawValue)
    }
    let status = run(arguments, on: communicator, patience: patience, start)
    withExtendedLifetime(stopRequest) {}
    Foundation.exit(status)
  }

  // What --hang-timeout says, before flags are read; a run's own settings count from its first step on.
  private static func hangTimeout(_ arguments: [String]) -> Int {
    let name = "--hang-timeout"
    let usual = TrainingConfiguration().hangTimeout
    for (index, argument) in arguments.enumerated() {
      if argument == name {
        return arguments.dropFirst(index + 1).first.flatMap { Int($0) } ?? usual
      }
      if argument.hasPrefix("\(name)=") { return Int(argument.dropFirst(name.count + 1)) ?? usual }
    }
    return usual
  }

  // Ends all ranks where one of them is lost, and tells launch/run that signals find somebody.
  private static func watch(
    _ communicator: any Communicator, patience: Int
  ) throws -> RankWatch? {
    let watch = try RankWatch(
      communicator, timeout: max(patience, 0), status: Trainer.lostRankStatus,
      isAskedToEnd: { StopRequest.hasSignal })
    if communicator.isRoot, let path = ProcessInfo.processInfo.environment["VAE_DIST_READY"] {
      try? Data("ready\n".utf8).write(to: URL(filePath: path))
    }
    return watch
  }

  // Version and bytes of this program: hosts may have others of the same name.
  private static var identity: String {
    guard let file = FileHandle(forReadingAtPath: "/proc/self/exe") else {
      return SavedModel.version
    }
    let hash = SHA256()
    while let part = try? file.read(upToCount: 1 << 20), !part.isEmpty {
      part.withUnsafeBytes { hash.update($0) }
    }
    return "\(SavedModel.version) (\(SHA256.hexadecimal(hash.finish()).prefix(12)))"
  }

  // Returns the exit status; every rank returns the same, or none does.
  private static func run(
    _ arguments: [String], on communicator: any Communicator, patience: Int, _ start: StartWatch?
  ) -> Int32 {
    var ranks = Agreement(communicator) { ExitStatus.of($0) }
    var status = ExitStatus.done.rawValue
    let place = prefix(communicator.rank, communicator)
    MemoryShortage.setHandler { byteCount in
      complain(
        "Error: \(place)Memory ran out: \(grouped(byteCount)) bytes more cannot be had; a smaller model or"
          + " --global-batch-size, or fewer ranks and threads on a machine, need less\n")
      _exit(ExitStatus.libraryRefused.rawValue)
    }
    do {
      ranks.watch = try watch(communicator, patience: patience)
      start?.end()
      let parsed = try ranks.onEveryRank { try parse(arguments) }
      if communicator.worldSize > 1 {
        try ranks.requireEqual([("the program", identity), ("the command", parsed.name)])
      }
      switch parsed {
      case .text(let text):
        if communicator.isRoot { say(text) }
      case .command(var command):
        try command.run(on: ranks)
      }
    } catch let failure as SharedFailure {
      if communicator.isRoot {
        complain("Error: \(prefix(failure.rank, communicator))\(failure.message)\n")
      }
      status = failure.status
    } catch {
      // Only this rank knows: the others wait for it, so all are ended from here.
      complain("Error: \(prefix(communicator.rank, communicator))\(error)\n")
      communicator.abort(status: ExitStatus.of(error))
    }
    ranks.watch?.leave()
    try? communicator.finalize()
    if !outputIsWhole && status == ExitStatus.done.rawValue {
      complain("Error: Standard output cannot be written; what was printed is not whole\n")
      status = ExitStatus.cannotWrite.rawValue
    }
    return status
  }

  private static func prefix(_ rank: Int?, _ communicator: any Communicator) -> String {
    guard let rank, communicator.worldSize > 1 else { return "" }
    return "[rank \(rank) of \(communicator.worldSize)] "
  }

  private enum Parsed {
    case text(String)
    case command(any RankCommand)

    var name: String {
      switch self {
      case .text: "help"
      case .command(let command): type(of: command).configuration.commandName ?? ""
      }
    }
  }

  private static func parse(_ arguments: [String]) throws -> Parsed {
    do {
      var command = try parseAsRoot(arguments)
      if let command = command as? any RankCommand { return .command(command) }
      try command.run()
      return .text(helpMessage())
    } catch {
      if exitCode(for: error).isSuccess { return .text(fullMessage(for: error)) }
      throw UsageError(description: usageMessage(for: error, arguments))
    }
  }

  // ArgumentParser lists choices on lines of their own.
  static func oneLine(_ message: String) -> String {
    let lines = message.split(separator: "\n").map {
      $0.trimmingCharacters(in: CharacterSet(charactersIn: " -"))
    }
    guard let first = lines.first, lines.count > 1 else { return message }
    return "\(first) \(lines.dropFirst().joined(separator: ", "))"
  }

  // The sentence, and where to read more; not the list of all flags.
  private static func usageMessage(for error: any Error, _ arguments: [String]) -> String {
    let names = configuration.subcommands.compactMap { $0.configuration.commandName }
    let name = arguments.first.flatMap { names.contains($0) ? " \($0)" : nil } ?? ""
    return "\(oneLine(message(for: error))); see 'vae-dist\(name) --help'"
  }
}
