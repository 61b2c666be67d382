#if canImport(Glibc)
internal import Glibc
#endif

/// A file that comes into its place whole, or not at all: it is written beside it first.
///
/// What is not committed is removed with the object.
public final class DurableFileWriter {
  /// Where it will be.
  public let path: String
  /// Where it is until then.
  public let temporaryPath: String
  private var descriptor: Int32

  /// Creates the file beside its place.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public init(_ path: String) throws(CheckpointError) {
    self.path = path
    temporaryPath = DurableFile.temporaryPath(beside: path)
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw DurableFile.failure(path) }
  }

  deinit {
    if descriptor >= 0 {
      close(descriptor)
      unlink(temporaryPath)
    }
  }

  /// Adds bytes.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest)
      let count = Glibc.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
      if count < 0 {
        if errno == EINTR { continue }
        throw DurableFile.failure(path)
      }
      rest = rest.dropFirst(count)
    }
  }

  /// Adds bytes.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func write(_ bytes: [UInt8]) throws(CheckpointError) {
    try bytes.withUnsafeBufferPointer { bytes throws(CheckpointError) in
      try write(UnsafeRawBufferPointer(bytes))
    }
  }

  /// Goes on with what somebody else has put at ``temporaryPath``.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func reopen() throws(CheckpointError) {
    close(descriptor)
    descriptor = open(temporaryPath, O_WRONLY | O_APPEND | O_CLOEXEC)
    if descriptor < 0 { throw DurableFile.failure(path) }
  }

  /// Syncs, puts the file in its place, and syncs the folder; nothing can be added afterwards.
  ///
  /// - Throws: `CheckpointError.unwritable`; the place is then as it was, or, where only the folder
  ///   could not be synced, new but perhaps not durable.
  public func commit() throws(CheckpointError) {
    if fsync(descriptor) != 0 { throw DurableFile.failure(path) }
    let code = close(descriptor)
    descriptor = -1
    if code != 0 || rename(temporaryPath, path) != 0 {
      let error = DurableFile.failure(path)
      unlink(temporaryPath)
      throw error
    }
    try DurableFile.syncFolder(of: path)
  }
}
