import ArgumentParser
import Collectives
import Foundation
import Training

struct DoctorCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract:
      "Look at this machine, its MPI and its disks, and say what to do about what is wrong.",
    discussion: """
      Alone it starts two ranks of its own with mpirun for a test of two seconds; under mpirun it tests the ranks that \
      there are, and how they are bound. Ends with status 69 if something does not work.
      """)

  @Option(help: "A folder for runs, whose disk is measured.")
  var folder = "."

  @Flag(help: "Print one JSON object a finding, in an array.")
  var json = false

  mutating func run(on ranks: Agreement) throws {
    let communicator = ranks.communicator
    var findings: [Finding] = []
    if communicator.isRoot {
      findings += [MachineExamination.processor(), MachineExamination.precision()]
      findings += [MachineExamination.memory(), MachineExamination.sharedMemory()]
      findings += [MachineExamination.disk(of: folder), MachineExamination.network()]
    }
    if communicator is MPICommunicator {
      findings += try RankExamination.placement(ranks)
      // One rank has nothing to add.
      if communicator.worldSize > 1 { findings.append(try RankExamination.allReduce(ranks)) }
    } else {
      findings += LauncherExamination.findings()
    }
    try ranks.onRoot {
      say(json ? try jsonText(findings) : findings.map(\.text).joined(separator: "\n"))
      if findings.contains(where: { $0.verdict == .problem }) { throw DoctorError() }
    }
  }
}

/// What a machine is like that cannot be used as it is.
struct DoctorError: Error, CustomStringConvertible {
  let description = "Something does not work on this machine; what to do is said above"
}

/// What was looked at, what it is like, and what to do about it.
struct Finding: Codable {
  enum Verdict: String, Codable {
    case good
    case note
    case problem
  }

  let verdict: Verdict
  /// What was looked at.
  let subject: String
  /// What it is like, a sentence without its point.
  let finding: String
  /// What to type; nil where there is nothing to do.
  let remedy: String?

  init(_ verdict: Verdict, _ subject: String, _ finding: String, remedy: String? = nil) {
    (self.verdict, self.subject, self.finding, self.remedy) = (verdict, subject, finding, remedy)
  }

  /// For people: `ok    memory       …`, and the remedy on a line of its own.
  var text: String {
    let mark =
      switch verdict {
      case .good: "ok  "
      case .note: "note"
      case .problem: "BAD "
      }
    let name = subject.padding(toLength: 14, withPad: " ", startingAt: 0)
    return "\(mark)  \(name)  \(finding)"
      + (remedy.map { "\n\(String(repeating: " ", count: 22))→ \($0)" } ?? "")
  }
}
