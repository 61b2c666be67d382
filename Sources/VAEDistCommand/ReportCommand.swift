import ArgumentParser
import Collectives
import Foundation
import TensorKernels
import Training

struct ReportCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Write a page about a run, or about several to compare them.",
    discussion: """
      Curves, samples, reconstructions, latents, speed, settings and versions in one HTML file that needs no \
      network. A run writes its own at its end.
      """)

  @Argument(help: "Run folders.")
  var runs: [String]

  @Option(help: "The file. (default: RUN/report.html; of several runs, report.html)")
  var output: String?

  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  func validate() throws {
    try checkThreads(threads)
  }

  mutating func run(on ranks: Agreement) throws {
    try ranks.requireEqual([
      ("the runs", runs.joined(separator: " ")), ("--output", output ?? "default"),
    ])
    let folders = runs.map { RunFolder(path: $0) }
    try ranks.onRoot {
      for folder in folders where !folder.holdsRun {
        throw UsageError(description: "'\(folder.path)' holds no run; report takes run folders")
      }
    }
    let threads = try threads ?? Processors.defaultThreadCount(ranks.communicator)
    let path = output ?? (runs.count == 1 ? Self.path(in: folders[0]) : "report.html")
    let facts = try folders.map { try RunFacts($0, threads: threads, ranks) }
    try ranks.onRoot { try ReportPage(facts).write(to: path) }
    if ranks.communicator.isRoot { say("Report: \(path)") }
  }

  /// Where a run's own report is.
  static func path(in folder: RunFolder) -> String { "\(folder.path)/report.html" }
}
