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
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw Self.systemError(path) }
    defer { close(descriptor) }
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw Self.systemError(path) }
    if status.st_mode & S_IFMT == S_IFDIR {
      throw .unreadable(path: path, reason: "it is a folder")
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

  /// Copies bytes.
  init(copying source: [UInt8]) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 64)
    source.withUnsafeBytes { copy.copyMemory(from: $0) }
    bytes = UnsafeRawBufferPointer(copy)
    isMapped = false
  }

  deinit {
    if isMapped, let start = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: start), bytes.count)
    } else {
      bytes.deallocate()
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

  /// Up to `count` more bytes; fewer only at the end.
  func read(upTo count: Int) throws(DataError) -> [UInt8] {
    var bytes: [UInt8] = []
    let piece = 1 << 22
    while bytes.count < count {
      let start = bytes.count
      let wanted = min(piece, count - start)
      // Grows as data arrive: a promise in a header is no reason to allocate.
      bytes.append(contentsOf: repeatElement(0, count: wanted))
      let got = bytes.withUnsafeMutableBytes {
        gzread(file, $0.baseAddress.map { $0 + start }, UInt32(wanted))
      }
      if got < 0 {
        var code: Int32 = 0
        throw .damagedGzip(path: path, reason: String(cString: gzerror(file, &code)))
      }
      bytes.removeLast(wanted - Int(got))
      if Int(got) < wanted { break }
    }
    // A stream that is cut short ends without an error from gzread; gzclose would tell.
    var code: Int32 = 0
    let text = gzerror(file, &code)
    if code == Z_BUF_ERROR || code == Z_DATA_ERROR, let text {
      throw .damagedGzip(path: path, reason: String(cString: text))
    }
    return bytes
  }
}
