#if canImport(Glibc)
internal import Glibc
#endif

/// Bytes that do not change: a file mapped into memory, or memory that is filled once.
///
/// Sound to send between threads: the one write, by ``load()`` or ``load(into:owner:fills:)``, comes
/// before anything else reads.
public final class ByteStorage: @unchecked Sendable {
  /// The bytes; valid as long as the storage lives, none before they are loaded.
  public private(set) var bytes: UnsafeRawBufferPointer
  /// Whether the bytes are a mapped file, of which only what is touched is read.
  public let isMapped: Bool
  /// How many bytes have yet to be loaded.
  public private(set) var pendingByteCount: Int

  /// What tells a mapped file from any other of its machine, and from what it was before; empty for
  /// memory.
  public private(set) var identity = ""

  private let path: String
  private var owner: AnyObject?  // of memory that is not ours
  // What writes the bytes; gone once it has, since it may hold a file's whole contents.
  private var fill: ((UnsafeMutableRawBufferPointer) throws(DataError) -> Void)?

  /// Maps a whole file.
  ///
  /// - Throws: ``DataError`` if the file is missing or unreadable.
  init(mapping path: String) throws(DataError) {
    self.path = path
    fill = nil
    pendingByteCount = 0
    // Not blocking: opening a pipe would wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { throw Self.systemError(path) }
    defer { close(descriptor) }
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw Self.systemError(path) }
    if status.st_mode & S_IFMT == S_IFDIR {
      throw .unreadable(path: path, reason: "it is a folder")
    }
    if status.st_mode & S_IFMT != S_IFREG {
      throw .unreadable(path: path, reason: "it is not a regular file")
    }
    let count = Int(status.st_size)
    isMapped = count > 0
    if count == 0 {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let mapping = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let mapping, mapping != MAP_FAILED else { throw Self.systemError(path) }
    bytes = UnsafeRawBufferPointer(start: mapping, count: count)
    identity =
      "\(status.st_dev) \(status.st_ino) \(count) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
  }

  /// Bytes that `fill` will write when they are loaded.
  init(
    count: Int, path: String,
    fill: @escaping (UnsafeMutableRawBufferPointer) throws(DataError) -> Void
  ) {
    self.path = path
    self.fill = fill
    isMapped = false
    pendingByteCount = count
    bytes = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// Fills memory of its own, unless that has been done.
  ///
  /// Only what is written to is taken from the system, so that a size that a damaged header
  /// promises costs nothing by itself.
  ///
  /// - Throws: ``DataError/unreadable(path:reason:)`` if there is no such memory, or what filling
  ///   it throws.
  func load() throws(DataError) {
    if pendingByteCount == 0 { return }
    let count = pendingByteCount
    let memory = mmap(
      nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else {
      throw .outOfMemory(path: path, byteCount: count)
    }
    bytes = UnsafeRawBufferPointer(start: memory, count: count)
    pendingByteCount = 0
    let fill = fill.take()
    try fill?(UnsafeMutableRawBufferPointer(start: memory, count: count))
  }

  /// Takes memory that several processes see, and fills it on one of them.
  ///
  /// - Parameters:
  ///   - memory: ``pendingByteCount`` bytes.
  ///   - owner: What must live as long as the memory is used.
  ///   - fills: Whether this process is the one that fills it.
  /// - Throws: What filling it throws.
  func load(
    into memory: UnsafeMutableRawBufferPointer, owner: AnyObject, fills: Bool
  ) throws(DataError) {
    precondition(
      memory.count >= pendingByteCount,
      "\(memory.count) bytes cannot hold \(pendingByteCount)")
    bytes = UnsafeRawBufferPointer(rebasing: memory[..<pendingByteCount])
    self.owner = owner
    let count = pendingByteCount
    pendingByteCount = 0
    let fill = fill.take()
    if fills { try fill?(UnsafeMutableRawBufferPointer(rebasing: memory[..<count])) }
  }

  deinit {
    if owner == nil, let start = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: start), max(bytes.count, 1))
    }
  }

  static func systemError(_ path: String) -> DataError {
    let code = errno
    if code == ENOENT || code == ENOTDIR { return .missing(path: path) }
    return .unreadable(path: path, reason: String(cString: strerror(code)))
  }
}
