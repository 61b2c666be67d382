internal import Checkpointing
internal import Collectives
internal import Synchronization

/// What the root keeps of a run on disk: settings, figures, checkpoints.
///
/// Nothing here ends a run that is under way: what cannot be written is kept and tried again, and a folder
/// that is gone is made again.
final class RunRecord {
  private static let retrySeconds = 10.0

  private let folder: RunFolder
  private let metrics: MetricsLog
  private let writer = BackgroundWriter(
    retrySeconds: RunRecord.retrySeconds, whileWaiting: { RankActivity.tick() })
  private let place: Place

  // The folder as this process holds it. Sound to send: the writer's thread alone touches it after the
  // start.
  private final class Place: @unchecked Sendable {
    let folder: RunFolder
    let configurationText: String
    var claim: RunClaim
    /// Whether it has been made again since somebody asked.
    let wasMade = Atomic<Bool>(false)

    init(_ folder: RunFolder, _ configurationText: String, isNew: Bool) throws {
      self.folder = folder
      self.configurationText = configurationText
      claim = try folder.create(configuration: configurationText, isNew: isNew)
    }

    /// Makes the folder again if it is gone.
    func mend() throws(CheckpointError) {
      do {
        if try folder.mend(&claim, configuration: configurationText) {
          wasMade.store(true, ordering: .relaxed)
        }
      } catch {
        throw error as? CheckpointError ?? .unwritable(path: folder.path, reason: "\(error)")
      }
    }
  }

  /// Claims the folder, and drops figures beyond a step.
  ///
  /// - Throws: `CheckpointError.unwritable`, or ``TrainingError`` if the folder is not free.
  init(_ folder: RunFolder, configurationText: String, isNew: Bool, step: Int) throws {
    self.folder = folder
    place = try Place(folder, configurationText, isNew: isNew)
    metrics = try MetricsLog(folder.metricsPath, keepingUpTo: step)
  }

  /// The seconds that the run had taken by the last figure that was kept.
  var wallSeconds: Double { metrics.wallSeconds }
  /// The step of the last checkpoint that is spoken of.
  var checkpointStep: Int? { metrics.checkpointStep }

  /// Adds a line to the figures.
  func append(_ event: MetricsEvent) { metrics.append(event) }

  /// Has a checkpoint written, once the figures before it are; its own line comes after it.
  ///
  /// Returns when the model is copied.
  func checkpoint(
    _ snapshot: ModelSnapshot, _ event: MetricsEvent, metadata: [String: String], isBest: Bool,
    keep: Int
  ) {
    let checkpoints = folder.checkpoints
    writer.submit {
      snapshot.take()
    } write: { [metrics, place] () throws(CheckpointError) in
      try place.mend()
      try metrics.sync()
      try checkpoints.save(
        step: event.step, tensors: snapshot.tensors, metadata: metadata, isBest: isBest, keep: keep)
      metrics.append(event)
    }
  }

  /// What the writer has met since this was asked last.
  func takeNews() -> [BackgroundWriter.News] { writer.takeNews() }

  /// Whether the folder was gone and has been made again since this was asked last.
  func takeMending() -> Bool { place.wasMade.exchange(false, ordering: .relaxed) }

  /// Returns when everything is on disk, with a last line, or cannot be written within some seconds.
  func finish(with last: MetricsEvent?, within seconds: Double) throws(CheckpointError) {
    try writer.finish(within: seconds)
    if let last { metrics.append(last) }
    try metrics.sync()
  }

  /// Goes back to a step: drops the figures beyond it.
  func rewind(to step: Int) throws(CheckpointError) {
    try metrics.keep(upTo: step)
  }
}
