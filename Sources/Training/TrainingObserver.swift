public import Checkpointing
public import VAEObjective

/// What a run is, known when its first step is about to begin.
public struct RunSummary: Sendable {
  /// The settings.
  public let configuration: TrainingConfiguration
  /// Where results go.
  public let runPath: String
  /// The data.
  public let data: PreparedData
  /// Layer after layer, as text.
  public let network: String
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
  /// Seconds that the run had taken before.
  public let secondsBefore: Double
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
  /// A figure was no longer a number, for the reason given; the run goes on from here.
  func didRollBack(_ reason: String, to progress: TrainingProgress)
  /// Something that a person should know of, a sentence.
  func didMeet(_ trouble: String)
  /// What had to be written could not be, or has been after all.
  func didWrite(_ news: BackgroundWriter.News)
  /// A checkpoint is being written, behind the steps' back.
  func willCheckpoint(_ progress: TrainingProgress)
  /// An event went into `metrics.jsonl`.
  func didRecord(_ event: MetricsEvent)
  /// The run ended before its last step, with a checkpoint.
  func didStop(_ reason: StopReason, _ progress: TrainingProgress, runPath: String)
  /// The run is over; `end` is nil if there was nothing left to do.
  /// A run that lost its patience ended before its last step.
  func didFinish(
    _ progress: TrainingProgress, runPath: String, lostPatience: Bool, end: RunEnd?)
}

/// What is known at the end of a run.
public struct RunEnd: Sendable {
  /// What the posteriors of the test examples are like.
  public let posterior: PosteriorSums
  /// The times of all steps.
  public let times: StepTimes
  /// How long checkpoints held training up, seconds.
  public let checkpointSeconds: Double
  /// How long these steps' matrix products alone would take here, seconds.
  public let productSeconds: Double
}
