public import Checkpointing

/// What a run is, known when its first step is about to begin.
public struct RunSummary: Sendable {
  /// The settings.
  public let configuration: TrainingConfiguration
  /// Where results go.
  public let runPath: String
  /// The data.
  public let data: PreparedData
  /// Trained numbers in the model.
  public let parameterCount: Int
  /// Processes.
  public let worldSize: Int
  /// Threads of each process.
  public let threadCount: Int
  /// Updates from the run's beginning to its end.
  public let totalSteps: Int
  /// Updates of an epoch.
  public let stepsPerEpoch: Int
  /// Where the run goes on; nil for a new one.
  public let resumed: TrainingProgress?
  /// How long products take in the run's number format, against `f32`.
  public let relativeProductTime: Double
}

/// Whoever tells people how a run goes.
///
/// Called on the root only, between steps.
public protocol TrainingObserver: AnyObject {
  /// A damaged checkpoint was passed over.
  func didSkip(_ checkpoint: CheckpointFolder.Skipped)
  /// The first step is about to begin.
  func willTrain(_ run: RunSummary)
  /// An update was made.
  func didStep(_ progress: TrainingProgress)
  /// An event went into `metrics.jsonl`.
  func didRecord(_ event: MetricsEvent)
  /// The run is over; `performance` is nil if there was nothing left to do.
  func didFinish(_ progress: TrainingProgress, runPath: String, performance: Performance?)
}

/// Where the time of a run's steps went.
public struct Performance: Sendable {
  /// The times of all steps.
  public let times: StepTimes
  /// How long these steps' matrix products alone would take here, seconds.
  public let productSeconds: Double
}
