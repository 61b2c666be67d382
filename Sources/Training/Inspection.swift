public import Checkpointing
internal import DataLoading
internal import TensorKernels

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What `vae-dist inspect` finds in a run folder.
public struct RunInspection: Codable, Sendable {
  /// A checkpoint of the run.
  public struct Checkpoint: Codable, Sendable {
    /// Updates done.
    public let step: Int
    /// The file's name.
    public let file: String
    /// What is wrong with it; nil if it is whole.
    public let problem: String?
  }

  /// The folder.
  public let run: String
  /// The settings by name.
  public let configuration: [String: String]
  /// The checkpoints, oldest first.
  public let checkpoints: [Checkpoint]
  /// The file that `latest` names.
  public let latest: String?
  /// The file that `best` names.
  public let best: String?
  /// The last figures on the training examples.
  public let lastTrain: MetricsEvent?
  /// The last figures on the test examples.
  public let lastTest: MetricsEvent?
  /// Whether the run came to its end.
  public let isComplete: Bool
  /// Why it could not go on, if it has not since.
  public let failure: MetricsEvent?
  /// How often it went back to a checkpoint.
  public let rollbacks: Int
  /// The last time that it did.
  public let lastRollback: MetricsEvent?
  /// Why it ended before its last step, if it did.
  public let earlyEnd: String?

  enum CodingKeys: String, CodingKey {
    case run
    case configuration
    case checkpoints
    case latest
    case best
    case lastTrain = "last_train"
    case lastTest = "last_test"
    case isComplete = "is_complete"
    case failure
    case rollbacks
    case lastRollback = "last_rollback"
    case earlyEnd = "early_end"
  }

  /// Reads a run folder; damaged checkpoints are described, not refused.
  public init(_ folder: RunFolder) {
    run = folder.path
    var settings: [String: String] = [:]
    checkpoints = folder.checkpoints.steps.map { step in
      let path = folder.checkpoints.path(step: step)
      var problem: String?
      do throws(CheckpointError) {
        let saved = try SavedModel(path: path)
        settings = Dictionary(uniqueKeysWithValues: saved.configuration.settings)
      } catch {
        problem = "\(error)"
      }
      return Checkpoint(
        step: step, file: CheckpointFolder.fileName(step: step), problem: problem)
    }
    configuration = settings
    latest = folder.checkpoints.target(of: "latest")
    best = folder.checkpoints.target(of: "best")
    let events = MetricsEvent.all(in: folder.metricsPath)
    lastTrain = events.last { $0.event == "train" }
    lastTest = events.last { $0.event == "evaluate" }
    isComplete = events.last?.event == "end"
    rollbacks = events.count { $0.event == "rollback" }
    lastRollback = events.last { $0.event == "rollback" }
    earlyEnd = events.last.flatMap { $0.event == "end" ? $0.message : nil }
    failure = events.last.flatMap { $0.event == "failure" ? $0 : nil }
  }
}

/// What `vae-dist inspect` finds in a checkpoint.
public struct CheckpointInspection: Codable, Sendable {
  /// A tensor of the file.
  public struct Tensor: Codable, Sendable {
    /// Its name.
    public let name: String
    /// Its number type.
    public let type: String
    /// Its extents.
    public let shape: [Int]
  }

  /// The file.
  public let checkpoint: String
  /// All metadata.
  public let metadata: [String: String]
  /// All tensors.
  public let tensors: [Tensor]
  /// What is wrong with the tensors' bytes; nil if they are those that were written.
  public let problem: String?

  /// Reads a safetensors file, ours or another's.
  ///
  /// - Throws: `CheckpointError` if it is missing or not a whole safetensors file.
  public init(path: String) throws(CheckpointError) {
    let file = try SafetensorsFile(path: path)
    checkpoint = path
    metadata = file.metadata
    tensors = file.entries.map { Tensor(name: $0.name, type: $0.type, shape: $0.shape) }
    var problem: String?
    do throws(CheckpointError) { try file.verify() } catch { problem = "\(error)" }
    self.problem = problem
  }
}
