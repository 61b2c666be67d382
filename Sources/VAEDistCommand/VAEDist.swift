import ArgumentParser
import Collectives
import Digests
import Foundation
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
      ReportCommand.self, ExportCommand.self, ReproduceCommand.self,
    ])

  static func main() -> Never {
    let launcher = Launcher(environment: ProcessInfo.processInfo.environment)
    let communicator: any Communicator
    do {
      communicator = try launcher.makeCommunicator()
    } catch {
      if (launcher.rank ?? 0) == 0 { complain("Error: \(error)\n") }
      Foundation.exit(ExitStatus.libraryRefused.rawValue)
    }
    Foundation.exit(run(Array(CommandLine.arguments.dropFirst()), on: communicator))
  }

  // Version and bytes of this program: hosts may have others of the same name.
  private static var identity: String {
    let path = "/proc/self/exe"
    guard let contents = try? Data(contentsOf: URL(filePath: path), options: .alwaysMapped) else {
      return SavedModel.version
    }
    let digest = SHA256.hexadecimal(contents.withUnsafeBytes { SHA256.digest($0) })
    return "\(SavedModel.version) (\(digest.prefix(12)))"
  }

  // Returns the exit status; every rank returns the same, or none does.
  private static func run(_ arguments: [String], on communicator: any Communicator) -> Int32 {
    let ranks = Agreement(communicator) { ExitStatus.of($0) }
    var status = ExitStatus.done.rawValue
    do {
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
