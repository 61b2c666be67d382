#if canImport(Glibc)
internal import Glibc
#endif

/// The checkpoints of a run: `step-00001200.safetensors` …, and the links `latest` and `best`.
///
/// A checkpoint is written whole before `latest` points at it. Only the root writes.
public struct CheckpointFolder: Sendable {
  /// Where the folder is.
  public let path: String

  /// A checkpoint that was passed over, and why.
  public struct Skipped: Sendable {
    /// The file's path.
    public let path: String
    /// What is wrong with it.
    public let reason: CheckpointError
  }

  /// The folder at a path; it need not exist yet.
  public init(path: String) {
    self.path = path
  }

  /// The name of a step's checkpoint.
  public static func fileName(step: Int) -> String {
    let digits = String(step)
    return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
      + ".safetensors"
  }

  /// The steps that have a checkpoint, in order, whole or damaged.
  public var steps: [Int] {
    DurableFile.names(in: path).compactMap { name in
      guard name.hasPrefix("step-"), name.hasSuffix(".safetensors") else { return nil }
      return Int(name.dropFirst(5).dropLast(12))
    }.sorted()
  }

  /// The path of a step's checkpoint.
  public func path(step: Int) -> String { "\(path)/\(Self.fileName(step: step))" }

  /// Writes a checkpoint, points `latest` at it, and removes those that are no longer wanted.
  ///
  /// - Parameters:
  ///   - step: The step it holds.
  ///   - tensors: What it holds.
  ///   - metadata: What goes with it.
  ///   - isBest: Whether `best` is to point at it too.
  ///   - keep: How many of the newest stay; the best stays besides.
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``; older checkpoints are then untouched.
  public func save(
    step: Int, tensors: [TensorSource], metadata: [String: String], isBest: Bool, keep: Int
  ) throws(CheckpointError) {
    try DurableFile.makeFolder(path)
    try SafetensorsFile.write(tensors, metadata: metadata, to: path(step: step))
    try DurableFile.link("\(path)/latest", to: Self.fileName(step: step))
    if isBest { try DurableFile.link("\(path)/best", to: Self.fileName(step: step)) }
    let best = target(of: "best")
    for old in steps.filter({ $0 < step }).dropLast(max(keep, 1) - 1)
    where Self.fileName(step: old) != best {
      unlink(path(step: old))
    }
  }

  /// What the newest checkpoint that is whole and makes sense holds.
  ///
  /// - Parameters:
  ///   - limit: A step that it must be before; nil for any.
  ///   - onSkip: Told of each newer one that is damaged.
  ///   - read: Makes sense of a verified file, or throws.
  /// - Returns: What `read` made of the file.
  /// - Throws: ``CheckpointError/noneUsable(folder:skipped:)`` if every one is damaged; other
  ///   errors if the folder cannot be read.
  public func newestWhole<Content>(
    before limit: Int? = nil, onSkip: (Skipped) -> Void,
    read: (SafetensorsFile) throws(CheckpointError) -> Content
  ) throws(CheckpointError) -> Content {
    if access(path, R_OK | X_OK) != 0 && errno == EACCES {
      throw .unreadable(path: path, reason: String(cString: strerror(errno)))
    }
    var skipped = 0
    for step in steps.reversed() where limit.map({ step < $0 }) ?? true {
      do throws(CheckpointError) {
        let file = try SafetensorsFile(path: path(step: step))
        try file.verify()
        return try read(file)
      } catch {
        onSkip(Skipped(path: path(step: step), reason: error))
        skipped += 1
      }
    }
    throw .noneUsable(folder: path, skipped: skipped)
  }

  /// Makes the links name these steps again, where they do not: a run may have been stopped between
  /// a checkpoint and its links, or lost them.
  ///
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``.
  public func pointLinks(latest: Int, best: Int?) throws(CheckpointError) {
    for (link, step) in [("latest", latest), ("best", best)] {
      guard let step else { continue }
      let name = Self.fileName(step: step)
      if target(of: link) != name && DurableFile.exists(path(step: step)) {
        try DurableFile.link("\(path)/\(link)", to: name)
      }
    }
  }

  /// The file name that a link names; nil if there is none.
  public func target(of link: String) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      guard let start = buffer.baseAddress else { return nil }
      let count = readlink("\(path)/\(link)", start, buffer.count)
      guard count > 0 else { return nil }
      return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}
