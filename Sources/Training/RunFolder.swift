public import Checkpointing

/// The folder of a run: `config.yaml`, `metrics.jsonl`, `checkpoints`.
///
/// Only the root writes.
public struct RunFolder: Sendable {
  /// Where the folder is.
  public let path: String

  static let checkpointsName = "checkpoints"

  /// The folder at a path; it need not exist yet.
  public init(path: String) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  }

  /// The resolved settings.
  public var configurationPath: String { "\(path)/config.yaml" }
  /// One JSON object a line.
  public var metricsPath: String { "\(path)/metrics.jsonl" }
  /// The checkpoints.
  public var checkpoints: CheckpointFolder {
    CheckpointFolder(path: "\(path)/\(Self.checkpointsName)")
  }

  /// Whether a run has begun here: settings, figures or checkpoints are there.
  public var holdsRun: Bool {
    DurableFile.exists(configurationPath) || DurableFile.exists(metricsPath)
      || !checkpoints.steps.isEmpty
  }

  /// Makes the folder, and shows at once whether it can be written to.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func create(configuration text: String) throws(CheckpointError) {
    try DurableFile.makeFolder(checkpoints.path)
    DurableFile.removeTemporaryFiles(in: path)
    DurableFile.removeTemporaryFiles(in: checkpoints.path)
    try DurableFile.replace(configurationPath, with: text)
  }

  /// The first path `base-1`, `base-2` … at which nothing exists.
  public static func nextFree(_ base: String) -> RunFolder {
    var number = 1
    while DurableFile.exists("\(base)-\(number)") { number += 1 }
    return RunFolder(path: "\(base)-\(number)")
  }
}
