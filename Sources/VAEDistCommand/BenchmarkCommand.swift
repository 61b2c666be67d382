import ArgumentParser
import Collectives
import Foundation
import Training

struct BenchmarkCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "benchmark",
    abstract: "Measure training steps on this machine, and what its matrix products allow.",
    discussion: """
      Takes the data, model and optimization flags of train. Trains nothing that is kept. Under \
      mpirun it measures the ranks together, the all-reduce, and rank 0 alone.
      """)

  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Objective") var objective: ObjectiveOptions
  @OptionGroup(title: "Optimization") var optimization: OptimizationOptions
  @OptionGroup(title: "Machine") var machine: MachineOptions

  @Option(
    parsing: .unconditional,
    help: "How often 10 steps and all else are measured; figures are medians.")
  var rounds = 30

  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if optimization.epochs != nil || optimization.steps != nil {
      throw ValidationError(
        "benchmark trains for --rounds, not for --epochs or --steps; leave them out")
    }
    if rounds < 1 || rounds > 100_000 {
      throw ValidationError("--rounds is \(rounds); it must be from 1 to 100000")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let communicator = ranks.communicator
    var configuration = configure(data, model, objective, optimization, machine)
    try ranks.onEveryRank { try configuration.validate(worldSize: communicator.worldSize) }
    try ranks.requireEqual(
      configuration.settings.filter { $0.name != "threads" }.map { ("--\($0.name)", $0.value) }
        + [("--rounds", "\(rounds)")])
    let prepared = try PreparedData(configuration, agreement: ranks)
    configuration.scale = Double(prepared.scale)
    configuration = configuration.resolved(for: prepared)
    let share = try Processors.defaultThreadCount(communicator)
    let threadCount = configuration.threads ?? share
    try ranks.onEveryRank {
      try Trainer.requireDataAndMemory(
        configuration, data: prepared, worldSize: communicator.worldSize,
        nodeSize: communicator.nodeSize,
        threadCount: threadCount)
    }
    let report = try Benchmark(
      configuration, data: prepared, threadCount: threadCount, agreement: ranks
    ).run(rounds: rounds)
    if communicator.isRoot { say(json ? try jsonText(report) : Self.text(report)) }
  }

  private static func text(_ report: BenchmarkReport) -> String {
    let times = report.milliseconds
    var lines = [
      "\(report.processor), \(rankText(report.ranks)) of \(threadText(report.threads))",
      "\(report.network), \(grouped(report.parameters)) parameters, batches of"
        + " \(grouped(report.globalBatchSize)), \(report.precision), \(grouped(report.steps)) steps",
      "",
      "  milliseconds a step        share",
    ]
    func row(_ name: String, _ value: Double) {
      lines.append(
        "  " + name.padding(toLength: 19, withPad: " ", startingAt: 0)
          + String(format: "%8.3f  %5.1f%%", value, 100 * value / times.step))
    }
    row("data", times.data)
    row("forward", times.forward)
    row("backward", times.backward)
    row("all-reduce exposed", times.allReduceExposed)
    row("all-reduce hidden", times.allReduceHidden)
    row("optimizer", times.optimizer)
    row("other", times.other)
    row("step", times.step)
    row("products alone", times.products)
    lines += [
      "",
      "  \(grouped(Int(report.examplesPerSecond))) examples/s,"
        + String(format: " %.1f%%", 100 * report.shareOfProductLimit)
        + " of the \(grouped(Int(report.productLimitExamplesPerSecond)))"
        + " that the matrix products allow"
        + String(format: " (%.0f Gflop/s a rank)", report.productGigaflops),
    ]
    if let allReduce = report.allReduce {
      lines.append(
        "  all-reduce of \(grouped(allReduce.bytes)) bytes (\(allReduce.precision)),"
          + " \(allReduce.method):"
          + String(
            format: " %.3f ms, bus bandwidth %.2f GB/s; MPI_Allreduce in f32 %.3f ms",
            allReduce.milliseconds, allReduce.busGigabytesPerSecond, allReduce.mpiMilliseconds))
    }
    if let note = slownessNote(report.precision, report.relativeProductTime) {
      lines.append("  \(note)")
    }
    if let efficiency = report.efficiency {
      lines.append(
        String(format: "  %.1f%% efficiency", 100 * efficiency)
          + " against rank 0 alone at the same global batch")
    }
    lines.append(
      String(
        format: "  %.0f MB of memory on the largest rank", Double(report.peakResidentBytes) / 1e6))
    return lines.joined(separator: "\n")
  }
}
