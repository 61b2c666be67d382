public import Checkpointing

#if canImport(Glibc)
internal import Glibc
#endif

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

  /// The folder of the run that a checkpoint lies in; nil where there are no settings beside it.
  init?(ofCheckpoint path: String) {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    guard parts.last == Self.checkpointsName[...] else { return nil }
    let own = parts.dropLast()
    self.init(path: own.isEmpty ? "." : own.joined(separator: "/"))
    if !DurableFile.exists(configurationPath) { return nil }
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

  /// Makes the folder, claims it for this process, and writes the settings; this shows at once whether
  /// results can be written.
  ///
  /// - Parameters:
  ///   - text: What `config.yaml` is to say.
  ///   - isNew: Whether there must not be a run in the folder yet.
  /// - Returns: The claim, which ends with the object or the process.
  /// - Throws: `CheckpointError.unwritable`, or ``TrainingError`` if the folder is not free.
  public func create(configuration text: String, isNew: Bool) throws -> RunClaim {
    try DurableFile.makeFolder(checkpoints.path)
    // The ranks of a run that has just been killed may live a moment longer.
    let claim = try RunClaim(path, patience: isNew ? 0 : 10)
    if isNew && holdsRun { throw TrainingError.runExists(path: path) }
    DurableFile.removeTemporaryFiles(in: path)
    DurableFile.removeTemporaryFiles(in: checkpoints.path)
    try DurableFile.replace(configurationPath, with: text)
    return claim
  }

  /// Makes what has vanished of a folder that this process has claimed, and claims it again if it was
  /// the folder itself.
  ///
  /// - Parameters:
  ///   - claim: The claim, replaced with the folder.
  ///   - text: What `config.yaml` is to say.
  /// - Returns: Whether something had vanished.
  /// - Throws: As ``create(configuration:isNew:)``.
  func mend(_ claim: inout RunClaim, configuration text: String) throws -> Bool {
    if claim.isInPlace && DurableFile.exists(configurationPath) { return false }
    try DurableFile.makeFolder(checkpoints.path)
    // The lock of a folder in its place is this process's own, and would refuse a second claim.
    if !claim.isInPlace { claim = try RunClaim(path, patience: 0) }
    try DurableFile.replace(configurationPath, with: text)
    return true
  }

  /// Makes the first folder `base-1`, `base-2` … that does not exist.
  ///
  /// - Returns: The new folder; no other process can get the same.
  /// - Throws: `CheckpointError.unwritable`.
  public static func makeNextFree(_ base: String) throws(CheckpointError) -> RunFolder {
    if let slash = base.lastIndex(of: "/") { try DurableFile.makeFolder(String(base[..<slash])) }
    for number in 1... {
      let path = "\(base)-\(number)"
      if mkdir(path, 0o755) == 0 { return RunFolder(path: path) }
      if errno != EEXIST {
        throw .unwritable(path: path, reason: String(cString: strerror(errno)))
      }
    }
    preconditionFailure("Numbers do not end")
  }
}

/// A run folder held by one process at a time.
///
/// The lock is the system's and ends with the process, however that ends. File systems that have no
/// locks are trusted.
public final class RunClaim {
  private let path: String
  private let descriptor: Int32

  /// Whether the folder is still where it was.
  var isInPlace: Bool { DurableFile.isSame(path, as: descriptor) }

  fileprivate init(_ path: String, patience: Double) throws {
    self.path = path
    descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0 {
      throw CheckpointError.unwritable(path: path, reason: String(cString: strerror(errno)))
    }
    let start = ContinuousClock.now
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
      if start.secondsUntilNow >= patience {
        close(descriptor)
        throw TrainingError.runInUse(path: path)
      }
      usleep(100_000)
    }
  }

  deinit {
    close(descriptor)
  }
}
