internal import CLibdeflate
internal import CZlib

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

/// The contents of a gzip file that does not say how large they are; it is inflated twice.
///
/// - Throws: ``DataError/damagedGzip(path:reason:)``.
func inflatedFile(_ path: String) throws(DataError) -> ByteStorage {
  let part = ByteStorage(count: 1 << 22, path: path) { memory throws(DataError) in
    let reader = try GzipReader(path: path)
    var size = 0
    while case let count = try reader.read(into: memory), count > 0 { size += count }
    memory.storeBytes(of: size, as: Int.self)
  }
  try part.load()
  let size = withExtendedLifetime(part) { part.bytes.loadUnaligned(as: Int.self) }
  let storage = ByteStorage(count: size, path: path) { memory throws(DataError) in
    _ = try GzipReader(path: path).read(into: memory)
  }
  try storage.load()
  return storage
}

/// Inflates a whole gzip file into memory of the size that its contents promise, and a byte more.
///
/// libdeflate does it when all is well; when something is wrong, zlib says what.
///
/// - Throws: ``DataError/damagedGzip(path:reason:)``, or ``DataError/wrongSize(path:actual:promised:)``
///   if the contents are shorter or longer than promised.
func inflateFile(
  _ path: String, into memory: UnsafeMutableRawBufferPointer
) throws(DataError) {
  let promised = memory.count - 1
  let compressed = try ByteStorage(mapping: path)
  let quickly = withExtendedLifetime(compressed) { inflateQuickly(compressed.bytes, into: memory) }
  if quickly == promised { return }
  let count = try GzipReader(path: path).read(into: memory)
  if count != promised { throw .wrongSize(path: path, actual: count, promised: promised) }
}

// How many bytes all members of a gzip file inflated to; nil if they are damaged or do not fit.
private func inflateQuickly(
  _ compressed: UnsafeRawBufferPointer, into memory: UnsafeMutableRawBufferPointer
) -> Int? {
  guard let decompressor = libdeflate_alloc_decompressor() else { return nil }
  defer { libdeflate_free_decompressor(decompressor) }
  guard let source = compressed.baseAddress, let target = memory.baseAddress else { return nil }
  var (read, written) = (0, 0)
  repeat {
    var (used, made) = (0, 0)
    let result = libdeflate_gzip_decompress_ex(
      decompressor, source + read, compressed.count - read, target + written,
      memory.count - written, &used, &made)
    guard result == LIBDEFLATE_SUCCESS else { return nil }
    read += used
    written += made
  } while compressed[read...].starts(with: [0x1f, 0x8b])
  return written
}
