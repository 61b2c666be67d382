import Checkpointing
import Collectives
import DataLoading
import Foundation
import Inference
import Reporting
import TensorKernels
import Training
import VAEObjective

/// All that a report says of a run.
struct RunFacts {
  /// What the run is called in the report.
  let name: String
  /// Its figures, in order.
  let events: [MetricsEvent]
  /// Its newest checkpoint's model, if there is one.
  let model: Model?

  /// What a checkpoint tells.
  struct Model {
    let saved: SavedModel
    /// Layer after layer, and how many numbers were trained.
    let network: (text: String, parameterCount: Int)
    let portrait: RunPortrait
    /// A label for each of the portrait's points; nil where there are none.
    let labels: [Int]?
    /// What labels are called, by their numbers; empty where they have no names.
    let labelNames: [String]
    /// What images are; nil where examples are none.
    let tile: Picture.Tile?
    /// The values that are black and white.
    let shades: ClosedRange<Float>?
    /// Why the data cannot be read; nil where they can.
    let trouble: String?
  }

  /// Collects the facts of a run folder, with its model on all ranks.
  ///
  /// Data that are gone leave out what needs them. Collective.
  ///
  /// - Parameters:
  ///   - folder: The run's.
  ///   - data: The run's data, if they are open already.
  ///   - threads: Threads of this rank.
  ///   - ranks: The ranks.
  /// - Throws: Whatever the readers of the checkpoint and the data find, on every rank.
  init(
    _ folder: RunFolder, data: PreparedData? = nil, threads: Int, _ ranks: Agreement
  ) throws {
    // "." is a name for nobody.
    name =
      folder.path.contains { $0 != "." && $0 != "/" }
      ? folder.path : URL(filePath: folder.path).standardizedFileURL.lastPathComponent
    events = MetricsEvent.all(in: folder.metricsPath)
    let hasCheckpoint =
      try ranks.communicator.broadcast(folder.checkpoints.steps.isEmpty ? "no" : "yes") == "yes"
    guard hasCheckpoint else {
      model = nil
      return
    }
    let saved = try SavedModel.openAlike(folder.path, ranks)
    let loaded = try LoadedModel(saved, threadCount: threads, agreement: ranks)
    var requested = data.map { RequestedExamples(testOf: $0, saved.configuration) }
    var asked: AskedExamples?
    var trouble: String?
    do {
      let examples = try requested ?? ExampleRequest().open(for: saved, ranks)
      requested = examples
      // Labels that are gone cost colours alone.
      do {
        asked = try AskedExamples(examples, .test, labels: nil, known: saved, ranks)
      } catch is SharedFailure {}
    } catch let failure as SharedFailure {
      trouble = failure.message
    }
    let extents = loaded.imageExtents
    let tile = extents.flatMap {
      Picture.Tile(height: $0.height, width: $0.width, channels: $0.channels)
    }
    let kind: RunPortrait.Kind =
      if tile != nil {
        .image
      } else if saved.configuration.likelihood == .table {
        saved.inputs <= 200 ? .table : .other
      } else {
        saved.inputs <= 4096 ? .series : .other
      }
    let portrait = try RunPortrait(Inference(loaded), requested, kind)
    model = Model(
      saved: saved, network: try loaded.network, portrait: portrait,
      labels: asked.flatMap { portrait.labels($0) }, labelNames: asked?.labels?.names ?? [],
      tile: tile, shades: loaded.shades, trouble: trouble)
  }

  /// When the run's clock stood at 0, seconds since 1970.
  var clockStart: Double {
    guard let start = events.first(where: { $0.machine != nil }),
      let date = start.machine.flatMap({ try? Date($0.time, strategy: .iso8601) })
    else { return Date.now.timeIntervalSince1970 }
    return date.timeIntervalSince1970 - start.wallSeconds
  }

  /// The last figures of a split.
  func last(_ event: String) -> MetricsEvent? { events.last { $0.event == event } }

  /// The highest test ELBO, nats.
  var bestTestELBO: Double? {
    events.filter { $0.event == "evaluate" }.compactMap(\.elbo).max()
  }

  /// A part of the run that went from its start to its end without a pause.
  struct Span {
    let machine: TrainingMachine
    /// The middle one of the rates of its epochs; nil where it had none.
    let examplesPerSecond: Double?
    /// Where the time of a step went, as parts of the whole, by name.
    let shares: [String: Double]

    var cores: Int { machine.ranks * machine.threads }
  }

  /// The parts of the run.
  var spans: [Span] {
    let starts = events.indices.filter { events[$0].machine != nil }
    return starts.enumerated().compactMap { number, first in
      let end = number + 1 < starts.count ? starts[number + 1] : events.count
      let own = events[first..<end]
      let rates = own.filter { $0.event == "train" }.compactMap(\.examplesPerSecond).sorted()
      let seconds = own.last { $0.stepSeconds != nil }?.stepSeconds ?? [:]
      let total = max(seconds.values.reduce(0, +), .leastNormalMagnitude)
      return events[first].machine.map {
        Span(
          machine: $0, examplesPerSecond: rates.isEmpty ? nil : rates[rates.count / 2],
          shares: seconds.mapValues { $0 / total })
      }
    }
  }
}

extension RunPortrait {
  /// The labels of the points, where there are any.
  fileprivate func labels(_ asked: AskedExamples) -> [Int]? {
    let labels = points.compactMap { asked.label($0).map { Int($0) } }
    return labels.isEmpty ? nil : labels
  }
}
