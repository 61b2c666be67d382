import Checkpointing
import Foundation
import Inference
import Reporting
import Training

/// A run as TensorBoard shows it, in the run's folder `tensorboard`.
final class TensorBoardRecord {
  private let folder: String
  private let file: TensorBoardFile
  // When the run would have begun, had it never paused.
  private let start: Double

  /// Begins an event file.
  ///
  /// - Parameters:
  ///   - run: The run's folder.
  ///   - restart: The first step that is made again, or anew; nil for the run's beginning.
  ///   - time: When the run's clock stood at 0, seconds since 1970.
  /// - Throws: `CheckpointError.unwritable`.
  init(_ run: RunFolder, restart: Int?, time: Double) throws(CheckpointError) {
    folder = Self.folder(of: run)
    start = time
    file = try TensorBoardFile(
      in: folder, time: Date.now.timeIntervalSince1970, restart: restart)
  }

  /// Where a run's events are.
  static func folder(of run: RunFolder) -> String { "\(run.path)/tensorboard" }

  /// Removes what was written of a run before.
  static func remove(of run: RunFolder) {
    let folder = folder(of: run)
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    where name.hasPrefix("events.out.tfevents.") && name.contains(".vae-dist.") {
      try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
  }

  /// Adds the figures of an event.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  func add(_ event: MetricsEvent) throws(CheckpointError) {
    guard let split = event.split else { return }
    let figures: [(String, Double?)] = [
      ("ELBO", event.elbo), ("reconstruction", event.reconstructionLogLikelihood),
      ("KL divergence", event.klDivergence), ("objective", event.objective),
      ("examples per second", event.examplesPerSecond),
    ]
    try file.add(
      figures.compactMap { name, value in
        value.map { ("\(name)/\(split)", .scalar(Float($0))) }
      }, step: event.step, time: start + event.wallSeconds)
  }

  /// Adds what the newest checkpoint's model makes, its parameters and its latents.
  ///
  /// - Throws: `CheckpointError.unwritable`, or what the checkpoint's reader finds.
  func add(_ facts: RunFacts) throws {
    guard let model = facts.model else { return }
    let step = model.saved.progress.step
    let time = start + (facts.events.last?.wallSeconds ?? 0)
    try file.add(
      model.pictures.map { ($0.name, .picture($0.picture)) }, step: step, time: time)
    for tensor in try model.saved.parameters() {
      try file.add(
        [("parameters/\(tensor.name)", .histogram(tensor.values))], step: step, time: time)
    }
    let (portrait, latent) = (model.portrait, model.saved.configuration.latent)
    try file.add(
      (0..<latent).map { index in
        (
          "posterior means/z\(index)",
          .histogram(
            stride(from: index, to: portrait.means.count, by: latent).map { portrait.means[$0] })
        )
      }, step: step, time: time)
    try writeEmbedding(portrait, labels: model.labels?.map(model.name))
  }

  // What the projector reads: a point a line, and a label a line.
  private func writeEmbedding(_ portrait: RunPortrait, labels: [String]?) throws {
    let latent = portrait.means.count / max(portrait.points.count, 1)
    if portrait.points.isEmpty { return }
    let lines = portrait.points.indices.map { point in
      portrait.means[point * latent..<(point + 1) * latent].map { "\($0)" }
        .joined(separator: "\t")
    }
    try DurableFile.replace("\(folder)/latents.tsv", with: lines.joined(separator: "\n") + "\n")
    var configuration = """
      embeddings {
        tensor_name: "posterior means of test examples"
        tensor_path: "latents.tsv"

      """
    if let labels {
      try DurableFile.replace(
        "\(folder)/labels.tsv", with: labels.map { "\($0)\n" }.joined())
      configuration += "  metadata_path: \"labels.tsv\"\n"
    }
    try DurableFile.replace(
      "\(folder)/projector_config.pbtxt", with: configuration + "}\n")
  }
}
