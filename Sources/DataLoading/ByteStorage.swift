internal import CZlib

#if canImport(Glibc)
internal import Glibc
#endif

/// Bytes that do not change: a file mapped into memory, or memory of our own.
///
/// Sound to send between threads: nothing writes to the bytes after the initialiser.
public final class ByteStorage: @unchecked Sendable {
  /// The bytes; valid as long as the storage lives.
  public let bytes: UnsafeRawBufferPointer
  /// Whether the bytes are a mapped file, of which only what is touched is read.
  public let isMapped: Bool

  /// Maps a whole file.
  ///
  /// - Throws: ``DataError`` if the file is missing or unreadable.
  init(mapping path: String) throws(DataError) {
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
  }

  /// Memory of this size, zero until `fill` writes to it.
  ///
  /// Only what is written to is taken from the system, so that a size that a damaged header
  /// promises costs nothing by itself.
  ///
  /// - Throws: ``DataError/unreadable(path:reason:)`` if there is no such memory, or what `fill`
  ///   throws.
  init(
    count: Int, path: String,
    fill: (UnsafeMutableRawBufferPointer) throws(DataError) -> Void
  ) throws(DataError) {
    isMapped = false
    let memory = mmap(
      nil, max(count, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
      0)
    guard let memory, memory != MAP_FAILED else {
      throw .unreadable(
        path: path, reason: "its \(DataError.grouped(count)) bytes need more memory")
    }
    bytes = UnsafeRawBufferPointer(start: memory, count: count)
    try fill(UnsafeMutableRawBufferPointer(start: memory, count: count))
  }

  deinit {
    if let start = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: start), max(bytes.count, 1))
    }
  }

  static func systemError(_ path: String) -> DataError {
    let code = errno
    if code == ENOENT || code == ENOTDIR { return .missing(path: path) }
    return .unreadable(path: path, reason: String(cString: strerror(code)))
  }
}

/// Inflates a gzip file piece by piece, so that a small file that inflates to a huge one costs no
/// more than what its header promises.
struct GzipReader: ~Copyable {
  private let path: String
  private let file: gzFile

  init(path: String) throws(DataError) {
    guard let file = gzopen(path, "rbe") else { throw ByteStorage.systemError(path) }
    gzbuffer(file, 1 << 18)
    self.file = file
    self.path = path
  }

  deinit {
    gzclose(file)
  }

  /// Fills the memory as far as the file goes, and returns how many bytes that was.
  func read(into memory: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
    var filled = 0
    while filled < memory.count {
      let wanted = min(1 << 22, memory.count - filled)
      let got = Int(gzread(file, memory.baseAddress.map { $0 + filled }, UInt32(wanted)))
      if got < 0 { throw failure() }
      filled += got
      if got < wanted { break }
    }
    // A stream that is cut short ends without an error from gzread.
    var code: Int32 = 0
    _ = gzerror(file, &code)
    if code == Z_BUF_ERROR || code == Z_DATA_ERROR { throw failure() }
    return filled
  }

  private func failure() -> DataError {
    var code: Int32 = 0
    return .damagedGzip(path: path, reason: gzerror(file, &code).map { String(cString: $0) } ?? "")
  }
}
