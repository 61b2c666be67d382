import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Inference
import Reporting
import Training
import VAEObjective

struct ScoreCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract:
      "Write how probable the model finds each example, the least probable ones first on screen.",
    discussion: """
      Columns: row (of the data file), label (where there are any), elbo, \
      reconstruction_log_likelihood, kl_divergence, and with --importance-samples \
      importance_weighted_bound and effective_sample_size; nats. Rows are in the order of the data. \
      Runs under mpirun too, with the same bytes.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var examples: ExampleOptions

  @Option(
    parsing: .unconditional,
    help: "Draws per example of the importance-weighted bound. (default: no such bound)")
  var importanceSamples: Int?

  @Option(
    parsing: .unconditional, help: "How many of the least probable examples to print."
  )
  var top: Int = 10

  func validate() throws {
    if let importanceSamples, importanceSamples < 1 || importanceSamples >= 1 << 24 {
      throw ValidationError(
        "--importance-samples is \(importanceSamples); it must be from 1 to 16777215")
    }
    if top < 0 { throw ValidationError("--top is \(top); it must be at least 0") }
  }

  /// An example and its score.
  private struct Ranked: Encodable {
    let row: Int
    let label: Int?
    let elbo: Double
    let bound: Double?

    enum CodingKeys: String, CodingKey {
      case row, label, elbo
      case bound = "importance_weighted_bound"
    }

    var figure: Double { bound ?? elbo }
  }

  private struct Report: Encodable {
    let checkpoint: String
    let step: Int
    let rows: Int
    let files: [String]
    let leastProbable: [Ranked]

    enum CodingKeys: String, CodingKey {
      case checkpoint, step, rows, files
      case leastProbable = "least_probable"
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let samples = importanceSamples
    let question = try Question(
      "score", options,
      examples.values + [("--importance-samples", samples.map(String.init) ?? "default")],
      examplesPerThread: { samples == nil ? 0 : 256 / $0.configuration.draws }, on: ranks)
    let asked = try AskedExamples(examples, question)
    let paths = try ranks.onEveryRank { try question.paths(hasPicture: false) }
    var files: ResultFiles?
    let names =
      ["elbo", "reconstruction_log_likelihood", "kl_divergence"]
      + (samples == nil ? [] : ["importance_weighted_bound", "effective_sample_size"])
    try ranks.onRoot {
      files = try ResultFiles(
        paths.results, columns: asked.columns + names.map { ResultColumn($0, .float64) },
        rowCount: asked.count)
    }
    var least: [Ranked] = []
    let top = top
    try question.inference.score(
      asked.requested,
      sampling: samples.map { ImportanceSampling(drawCount: $0, annealingSteps: 0) }
    ) { rows, scores in
      var columns = [
        scores.map(\.elbo), scores.map(\.reconstructionLogLikelihood), scores.map(\.klDivergence),
      ]
      let bounds = scores.compactMap(\.bound)
      if samples != nil { columns += [bounds.map(\.bound), bounds.map(\.effectiveSampleSize)] }
      try files?.append(asked.values(rows) + columns.map { .float64($0) })
      least += zip(rows, scores).map { example, score in
        Ranked(
          row: Int(asked.requested.examples.row(of: UInt32(example))),
          label: asked.label(example).map { Int($0) }, elbo: score.elbo,
          bound: score.bound?.bound)
      }
      // What is no number is the least probable of all.
      least.sort { !($0.figure >= $1.figure) }
      least.removeLast(max(least.count - top, 0))
    }
    try ranks.onRoot { try files?.finish() }
    if !ranks.communicator.isRoot { return }
    if options.json {
      return say(
        try jsonText(
          Report(
            checkpoint: question.saved.file.path, step: question.saved.progress.step,
            rows: asked.count, files: paths.results, leastProbable: least)))
    }
    try question.tell(
      rows: asked.count,
      "\(grouped(asked.count)) examples (\(asked.requested.splitName)), nats", files: paths.results)
    if least.isEmpty { return }
    say("Least probable: \(samples == nil ? "ELBO" : "importance-weighted bound")")
    for one in least {
      say(
        "  \(figure(one.figure))  row \(grouped(one.row))"
          + (one.label.map { ", label \(asked.labels?.name(UInt32($0)) ?? "\($0)")" } ?? ""))
    }
  }
}
