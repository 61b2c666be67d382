public import Checkpointing
public import DataLoading
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

/// What `vae-dist inspect` finds in data.
public struct DataInspection: Codable, Sendable {
  /// One array of the data.
  public struct Array: Codable, Sendable {
    /// Where it came from.
    public let path: String
    /// `train` or `test`.
    public let split: String
    /// The file's number format.
    public let type: String
    /// All extents; the first counts examples.
    public let shape: [Int]
    /// The smallest value, in the file's units; nil if no value is a number.
    public let minimum: Float?
    /// The largest value, in the file's units; nil if no value is a number.
    public let maximum: Float?
    /// The first example that holds NaN or infinity.
    public let firstNonFiniteExample: Int?
    /// Values that are NaN.
    public let missingValues: Int
    /// Examples that are the same as one before.
    public let duplicates: Int
    /// Values of an example that are the same in all examples.
    public let constantColumns: Int
    /// How the elements come to be at hand.
    public let residence: NumericArray.Residence
    /// SHA-256 of shape, format and elements.
    public let digest: String

    enum CodingKeys: String, CodingKey {
      case path
      case split
      case type
      case shape
      case minimum
      case maximum
      case firstNonFiniteExample = "first_non_finite_example"
      case missingValues = "missing_values"
      case duplicates
      case constantColumns = "constant_columns"
      case residence
      case digest
    }
  }

  /// Which likelihood fits the training examples.
  public struct Advice: Codable, Sendable {
    /// Its name.
    public let likelihood: String
    /// Why.
    public let reason: String
    /// What to type.
    public let command: String
  }

  /// What was named.
  public let data: String
  /// Training examples, then test examples if there are any.
  public let arrays: [Array]
  /// How to start a run.
  public let advice: Advice

  /// Opens and scans data.
  ///
  /// - Throws: `DataError` if it is missing or damaged.
  public init(name: String) throws {
    let source = try DataSource(name: name)
    data = name
    var advice: DataAdvice?
    arrays = try [(Split.train, source.train), (.test, source.test)].compactMap { split, array in
      guard let array else { return nil }
      try array.load()
      let pieces = 0..<DataScan.pieceCount(of: array)
      let (scan, table) = (
        try DataScan(array, pieces: pieces),
        try TableScan(joining: [TableScan(array, pieces: pieces)])
      )
      let count = Double(array.exampleCount)
      let missing = table.columns.reduce(0.0) { $0 + count - $1.count - $1.infinityCount }
      if split == .train {
        advice = DataAdvice(
          array, table.columns, hasMissing: missing > 0, isGrey: source.knownScale != nil)
      }
      return Array(
        path: array.path, split: split.rawValue, type: array.type.rawValue, shape: array.shape,
        minimum: scan.minimum.isFinite ? scan.minimum : nil,
        maximum: scan.maximum.isFinite ? scan.maximum : nil,
        firstNonFiniteExample: scan.firstNonFinite.map { $0 / array.width },
        missingValues: Int(missing), duplicates: try Self.duplicateCount(array),
        constantColumns: table.columns.count { $0.minimum == $0.maximum && $0.count == count },
        residence: array.residence, digest: scan.digest(of: array))
    }
    let words = (advice?.flags ?? []).map { $0.contains(" ") ? "\"\($0)\"" : $0 }
    self.advice = Advice(
      likelihood: advice?.likelihood.rawValue ?? "", reason: advice?.reason ?? "",
      command: (["vae-dist train --data", name] + words).joined(separator: " "))
  }

  // By a hash of 64 bits of each example: one pair in 10¹⁹ / examples² is mistaken for the same.
  private static func duplicateCount(_ array: NumericArray) throws -> Int {
    let row = FloatBuffer(count: array.width)
    var seen: Set<Int> = []
    seen.reserveCapacity(array.exampleCount)
    for example in 0..<array.exampleCount {
      try array.read(example: example, scale: 1, into: row.mutableElements)
      var hasher = Hasher()
      hasher.combine(bytes: UnsafeRawBufferPointer(row.elements))
      seen.insert(hasher.finalize())
    }
    return array.exampleCount - seen.count
  }
}
