#if canImport(Glibc)
internal import Glibc
#endif

/// What makes rows anew at every look, from several threads at once.
protocol RowReader: AnyObject, Sendable {
  /// Reads rows one after another.
  ///
  /// - Throws: ``DataError`` if the file is damaged or cannot be read.
  func read(rows: Range<Int>, into memory: UnsafeMutableRawBufferPointer) throws(DataError)
}

/// Rows of bytes, all of one size, wherever they lie.
struct RowStore: Sendable {
  /// Where rows lie.
  enum Place: Sendable {
    /// One after another, in memory or in a mapped file.
    case contiguous(ByteStorage, offset: Int)
    /// In chunks of so many rows, strewn over a mapped file; `offsets` are where the chunks begin.
    case chunked(ByteStorage, rowsPerChunk: Int, offsets: [Int])
    /// Nowhere until they are read.
    case reader(any RowReader)
  }

  let place: Place
  let rowByteCount: Int

  /// What is to be loaded before rows can be read; nil where nothing is.
  var storage: ByteStorage? {
    switch place {
    case .contiguous(let storage, _), .chunked(let storage, _, _): storage
    case .reader: nil
    }
  }

  /// The bytes from the first row on, where they lie one after another and are loaded.
  var contiguousBytes: UnsafeRawPointer? {
    guard case .contiguous(let storage, let offset) = place, storage.pendingByteCount == 0
    else { return nil }
    return storage.bytes.baseAddress.map { $0 + offset }
  }

  /// Lends the bytes of rows that follow each other; where they do not lie so, those of a copy.
  ///
  /// - Throws: ``DataError`` if they cannot be read, and what `body` throws.
  func withBytes<Result>(
    of rows: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(DataError) -> Result
  ) throws(DataError) -> Result {
    if rows.isEmpty { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    let byteCount = rows.count * rowByteCount
    switch place {
    case .contiguous(let storage, let offset):
      precondition(storage.pendingByteCount == 0, "The elements have not been loaded")
      let start = offset + rows.lowerBound * rowByteCount
      return try body(UnsafeRawBufferPointer(rebasing: storage.bytes[start..<start + byteCount]))
    case .chunked(let storage, let size, let offsets)
    where rows.lowerBound / size == (rows.upperBound - 1) / size:
      let start =
        offsets[rows.lowerBound / size] + rows.lowerBound % size * rowByteCount
      return try body(UnsafeRawBufferPointer(rebasing: storage.bytes[start..<start + byteCount]))
    default:
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
      defer { copy.deallocate() }
      try read(rows, into: copy)
      return try body(UnsafeRawBufferPointer(copy))
    }
  }

  private func read(
    _ rows: Range<Int>, into copy: UnsafeMutableRawBufferPointer
  ) throws(DataError) {
    if case .reader(let reader) = place { return try reader.read(rows: rows, into: copy) }
    guard case .chunked(let storage, let size, let offsets) = place else { return }
    var row = rows.lowerBound
    while row < rows.upperBound {
      let end = min(rows.upperBound, (row / size + 1) * size)
      let start = offsets[row / size] + row % size * rowByteCount
      let target = (row - rows.lowerBound) * rowByteCount
      UnsafeMutableRawBufferPointer(rebasing: copy[target...]).copyMemory(
        from: UnsafeRawBufferPointer(
          rebasing: storage.bytes[start..<start + (end - row) * rowByteCount]))
      row = end
    }
  }
}

/// The most bytes that are held in memory where a file can as well be read row by row: half of what the machine
/// has, or of what this process may have.
func mostBytesToHold() -> Int {
  var most = sysconf(Int32(_SC_PAGESIZE)) * sysconf(Int32(_SC_PHYS_PAGES))
  var limit = rlimit()
  if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 {
    most = min(most, Int(clamping: limit.rlim_cur))
  }
  return most / 2
}
