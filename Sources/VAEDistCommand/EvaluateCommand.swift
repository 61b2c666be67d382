import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Training

struct EvaluateCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Score data under a checkpoint: ELBO, and the importance-weighted bound.",
    discussion: "Runs under mpirun too; the figures do not depend on the number of ranks.")

  @Argument(help: "A run folder (its newest checkpoint) or a checkpoint.")
  var run: String

  @Option(
    help: "What to score, as in train. (default: the run's own data)")
  var data: String?

  @Option(
    parsing: .unconditional,
    help: "What the values of --data are divided by. (default: what the run's were divided by)")
  var scale: Double?

  @Option(
    help:
      "A file of the labels of what is scored of --data, for a conditional model. (default: beside the data)"
  )
  var labels: String?

  @Option(help: "Which part of the data. (default: test)")
  var split = Split.test

  @Option(
    parsing: .unconditional,
    help: "Draws per example of the importance-weighted bound. (default: no such bound)")
  var importanceSamples: Int?

  @Option(
    parsing: .unconditional,
    help:
      "Steps by which each draw is led from q(z|x) to p(z|x), for annealed importance sampling. (default: none)"
  )
  var annealingSteps: Int?

  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  @Flag(help: "Print one JSON object.")
  var json = false

  func validate() throws {
    if let importanceSamples, importanceSamples < 1 || importanceSamples >= 1 << 24 {
      throw ValidationError(
        "--importance-samples is \(importanceSamples); it must be from 1 to 16777215")
    }
    if let annealingSteps, annealingSteps < 1 || annealingSteps > 1_000_000 {
      throw ValidationError("--annealing-steps is \(annealingSteps); it must be from 1 to 1000000")
    }
    if let annealingSteps, importanceSamples == nil {
      throw ValidationError(
        "--annealing-steps \(annealingSteps) needs --importance-samples, the draws that are led")
    }
    if let scale, data == nil {
      throw ValidationError("--scale \(scale) needs --data; the run's own data keep their scale")
    }
    if let labels, data == nil {
      throw ValidationError("--labels '\(labels)' needs --data; the run's own data keep theirs")
    }
    if let scale, !(Float(scale) > 0 && Float(scale).isFinite) {
      throw ValidationError("--scale is \(scale); it must be above 0")
    }
    if let threads, threads < 1 || threads > 4096 {
      throw ValidationError("--threads is \(threads); it must be from 1 to 4096")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let communicator = ranks.communicator
    try ranks.requireEqual([
      ("the checkpoint", run), ("--data", data ?? "default"), ("--split", split.rawValue),
      ("--labels", labels ?? "default"),
      ("--scale", scale.map { "\($0)" } ?? "default"),
      ("--importance-samples", importanceSamples.map(String.init) ?? "default"),
      ("--annealing-steps", annealingSteps.map(String.init) ?? "default"),
    ])
    let saved = try SavedModel.openAlike(run, ranks)
    let share = try Processors.defaultThreadCount(communicator)
    let line = communicator.isRoot ? ProgressLine("evaluate") : nil
    let result = try EvaluationReport(
      saved, dataName: data, labels: labels, scale: scale, split: split,
      importanceSamples: importanceSamples, annealingSteps: annealingSteps,
      threadCount: threads ?? share, agreement: ranks
    ) { line?.show($0, of: $1) }
    if communicator.isRoot { say(json ? try jsonText(result) : Self.text(result, of: saved)) }
  }

  private static func short(_ value: Double) -> String { String(format: "%.3f", value) }

  private static func text(_ result: EvaluationReport, of saved: SavedModel) -> String {
    var lines = [
      "\(result.checkpoint), step \(grouped(result.step))",
      "\(result.data), \(grouped(result.examples)) examples (\(result.split)), nats per example",
      "  ELBO                           \(figure(result.elbo))"
        + "  (standard error \(short(result.elboStandardError)))",
      "  reconstruction log-likelihood  \(figure(result.reconstructionLogLikelihood))",
      "  KL divergence                  \(figure(result.klDivergence))",
    ]
    if let bits = result.bitsPerDimension {
      lines.append("  bits per dimension             \(figure(bits))")
    }
    lines.append(
      "  active units                   \(result.activeUnits) of \(result.latents)"
        + (result.klDivergencePerLatent.map {
          "; KL divergences from \(short($0.min() ?? 0)) to \(short($0.max() ?? 0))"
        } ?? ""))
    if let bound = result.importanceWeightedBound, let count = result.importanceSamples {
      let error = result.importanceWeightedBoundStandardError ?? 0
      lines.append(
        "  importance-weighted bound      \(figure(bound))"
          + "  (K = \(grouped(count))\(result.annealingSteps.map { " annealed in \(grouped($0)) steps" } ?? ""), standard error \(short(error))"
          + (result.importanceWeightedBoundSamplingError.map { ", of which sampling \(short($0))" }
            ?? "")
          + ")")
      lines.append(
        "  effective sample size          \(figure(result.effectiveSampleSize ?? 0))  (least"
          + " \(short(result.smallestEffectiveSampleSize ?? 0)))")
    }
    if result.isCollapsed {
      lines.append(
        collapseWarning(
          activeUnits: result.activeUnits, latent: result.latents,
          klDivergence: result.klDivergence,
          advice: collapseAdvice(saved.configuration, steps: result.step)))
    }
    return lines.joined(separator: "\n")
  }
}
