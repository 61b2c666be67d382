internal import TensorKernels

/// An array of examples in its file's own number format, read row by row as `Float`.
///
/// - Shape: `[examples, …]`; an example is the flattened rest, last axis fastest.
public struct NumericArray: Sendable {
  /// Where it came from, for messages.
  public let path: String
  /// All extents; the first counts examples.
  public let shape: [Int]
  /// The file's number format.
  public let type: ElementType
  let isBigEndian: Bool
  private let storage: ByteStorage
  private let dataOffset: Int
  /// What a gzipped file says of its contents, for comparing files before they are loaded.
  public let checksum: [UInt8]

  /// How many examples.
  public var exampleCount: Int { shape[0] }
  /// Values of an example.
  public var width: Int { shape[1...].reduce(1, *) }
  /// Whether the file is mapped into memory rather than held in it.
  public var isMapped: Bool { storage.isMapped }
  /// What tells a mapped file from any other of its machine; empty for memory.
  public var identity: String { storage.identity }
  /// Bytes of an example in the file's format.
  var rowByteCount: Int { width * type.byteCount }
  /// The elements' bytes.
  public var bytes: UnsafeRawBufferPointer {
    precondition(storage.pendingByteCount == 0, "The elements of '\(path)' have not been loaded")
    let count = exampleCount * rowByteCount
    return UnsafeRawBufferPointer(rebasing: storage.bytes[dataOffset..<dataOffset + count])
  }

  /// Opens a file: NPY or IDX, gzipped or not, an array of an NPZ archive, CSV or TSV, and reads its header.
  ///
  /// What is neither gzipped nor in Fortran order is mapped, so that opening reads next to nothing;
  /// the elements of others are there once they have been loaded.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  init(opening path: String) throws(DataError) {
    try self.init(opening: path, isColumn: false)
  }

  /// Opens a file of one value for each example, which may do without a second axis.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  init(columnAt path: String) throws(DataError) {
    try self.init(opening: path, isColumn: true)
  }

  private init(opening path: String, isColumn: Bool) throws(DataError) {
    if let (file, name) = NPZArchive.split(path) {
      self = try Self.openArchive(file, member: name, path, isColumn: isColumn)
      return
    }
    let mapped = try ByteStorage(mapping: path)
    if mapped.bytes.starts(with: [0x1f, 0x8b]) {
      self = try Self.openGzip(path, mapped, isColumn: isColumn)
      return
    }
    if let separator = DelimitedText.separator(of: path) {
      let (header, storage, checksum) = try DelimitedText(path, mapped, separator: separator)
        .array()
      try self.init(path: path, header: header, storage: storage, checksum: checksum)
      return
    }
    let header = try Self.header(mapped.bytes, path, isColumn: isColumn)
    let promised = header.dataOffset + header.dataByteCount
    if mapped.bytes.count != promised {
      throw .wrongSize(path: path, actual: mapped.bytes.count, promised: promised)
    }
    try self.init(path: path, header: header, storage: mapped, checksum: [])
  }

  /// Opens a file and loads its elements.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  public init(path: String) throws(DataError) {
    try self.init(opening: path)
    try load()
  }

  /// Reads the bytes of a file that is part of the program.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  init(name: String, contents: [UInt8], isColumn: Bool = false) throws(DataError) {
    let storage = ByteStorage(count: contents.count, path: name) { $0.copyBytes(from: contents) }
    try storage.load()
    let header = try Self.header(storage.bytes, name, isColumn: isColumn)
    try self.init(path: name, header: header, storage: storage, checksum: [])
  }

  /// How many bytes have yet to be loaded; 0 for mapped files.
  public var pendingByteCount: Int { storage.pendingByteCount }

  /// Loads the elements into memory of this process's own, unless that has been done.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  public func load() throws(DataError) { try storage.load() }

  /// Takes the elements from memory that several processes see, having filled it on one of them.
  ///
  /// - Parameters:
  ///   - memory: ``pendingByteCount`` bytes.
  ///   - owner: What must live as long as the memory is used.
  ///   - fills: Whether this process is the one that fills it.
  /// - Throws: ``DataError`` with what is wrong, on the one that fills it.
  public func load(
    into memory: UnsafeMutableRawBufferPointer, owner: AnyObject, fills: Bool
  ) throws(DataError) {
    try storage.load(into: memory, owner: owner, fills: fills)
  }

  /// All values, of an array that fits in memory.
  ///
  /// - Shape: `[exampleCount, width]`.
  /// - Throws: ``DataError/nonFinite(path:example:position:)``.
  public func finiteValues() throws(DataError) -> [Float] {
    let row = FloatBuffer(count: width)
    var values: [Float] = []
    values.reserveCapacity(exampleCount * width)
    for example in 0..<exampleCount {
      read(example: example, scale: 1, into: row.mutableElements)
      if let position = row.elements.firstIndex(where: { !$0.isFinite }) {
        throw .nonFinite(path: path, example: example, position: position)
      }
      values += row.elements
    }
    return values
  }

  private static func openArchive(
    _ file: String, member name: String?, _ path: String, isColumn: Bool
  ) throws(DataError) -> NumericArray {
    let archive = try NPZArchive(path: file)
    let member = try archive.member(name, isColumn: isColumn)
    var header = member.header
    if isColumn && header.shape.count == 1 { header.shape.append(1) }
    let checksum = withUnsafeBytes(of: member.checksum.littleEndian) { Array($0) }
    return try NumericArray(
      path: path, header: header, storage: archive.storage(of: member), checksum: checksum)
  }

  // A gzipped file: the header now, and later just as much as it promises.
  private static func openGzip(
    _ path: String, _ mapped: ByteStorage, isColumn: Bool
  ) throws(DataError) -> NumericArray {
    var startCount = 0
    let start = ByteStorage(count: 1 << 16, path: path) { memory throws(DataError) in
      startCount = try GzipReader(path: path).read(into: memory)
    }
    try start.load()
    let header = try withExtendedLifetime(start) { () throws(DataError) in
      try Self.header(
        UnsafeRawBufferPointer(rebasing: start.bytes[..<startCount]), path, isColumn: isColumn)
    }
    try check(header, path: path)
    // Room for one byte more than promised shows that there is more.
    let storage = ByteStorage(
      count: header.dataOffset + header.dataByteCount + 1, path: path
    ) { memory throws(DataError) in try inflateFile(path, into: memory) }
    // The last member's checksum and size.
    return try NumericArray(
      path: path, header: header, storage: storage, checksum: Array(mapped.bytes.suffix(8)))
  }

  private static func header(
    _ bytes: UnsafeRawBufferPointer, _ path: String, isColumn: Bool
  ) throws(DataError) -> ArrayHeader {
    var header = try ArrayHeader(parsing: bytes, path: path)
    if isColumn && header.shape.count == 1 { header.shape.append(1) }
    return header
  }

  // What the header says must be examples, before anything is read or made for them.
  private static func check(_ header: ArrayHeader, path: String) throws(DataError) {
    if header.shape.count < 2 { throw .notExamples(path: path, shape: header.shape) }
    if header.shape.contains(0) { throw .empty(path: path, shape: header.shape) }
    if header.shape[0] > Int(UInt32.max) {
      throw .tooManyExamples(path: path, count: header.shape[0])
    }
  }

  /// An array whose elements a storage has, or will have once it is loaded.
  ///
  /// - Throws: ``DataError`` if there are no examples.
  init(
    path: String, header: ArrayHeader, storage: ByteStorage, checksum: [UInt8]
  ) throws(DataError) {
    try Self.check(header, path: path)
    self.checksum = checksum
    self.path = path
    shape = header.shape
    type = header.type
    isBigEndian = header.isBigEndian
    if header.isColumnMajor {
      self.storage = Self.rowMajorCopy(header, storage, path)
      dataOffset = 0
    } else {
      self.storage = storage
      dataOffset = header.dataOffset
    }
  }

  /// Reads some examples, each value multiplied by `scale`.
  ///
  /// - Shape: `values` is `[rows.count, width]`.
  func read(rows: UnsafeBufferPointer<UInt32>, scale: Float, into values: MatrixView) {
    if type == .uint8 { return gather(rows, of: bytes, scale: scale, into: values) }
    for (position, row) in rows.enumerated() {
      read(example: Int(row), scale: scale, into: values.row(position))
    }
  }

  /// Reads one example, each value multiplied by `scale`.
  ///
  /// - Shape: `values` is `[width]`.
  public func read(
    example: Int, scale: Float, into values: UnsafeMutableBufferPointer<Float>
  ) {
    precondition(
      example >= 0 && example < exampleCount && values.count == width,
      "Example \(example) of \(values.count) values is outside \(shape)")
    guard let start = bytes.baseAddress else { return }
    let row = start + example * rowByteCount
    switch type {
    case .uint8:
      convert(
        UnsafeBufferPointer(start: row.assumingMemoryBound(to: UInt8.self), count: width),
        scale: scale, into: values)
    case .float32 where !isBigEndian && Int(bitPattern: row) % 4 == 0:
      TensorKernels.scale(
        UnsafeBufferPointer(start: row.assumingMemoryBound(to: Float.self), count: width),
        by: scale, into: values)
    default:
      type.read(row, bigEndian: isBigEndian, scale: scale, into: values)
    }
  }

  // Fortran order has the first axis fastest: element (i, j, k) lies at i + n_i (j + n_j k). Rows
  // would be strewn over the whole file, so they are brought together once.
  private static func rowMajorCopy(
    _ header: ArrayHeader, _ storage: ByteStorage, _ path: String
  ) -> ByteStorage {
    let size = header.type.byteCount
    var strides = [size]
    for extent in header.shape.dropLast() { strides.append(strides[strides.count - 1] * extent) }
    return ByteStorage(count: header.dataByteCount, path: path) { copy throws(DataError) in
      try storage.load()
      guard let target = copy.baseAddress, let start = storage.bytes.baseAddress else { return }
      var index = [Int](repeating: 0, count: header.shape.count)
      var source = start + header.dataOffset
      for position in stride(from: 0, to: copy.count, by: size) {
        (target + position).copyMemory(from: source, byteCount: size)
        var axis = header.shape.count - 1
        while axis >= 0 {
          index[axis] += 1
          source += strides[axis]
          if index[axis] < header.shape[axis] { break }
          source -= strides[axis] * header.shape[axis]
          index[axis] = 0
          axis -= 1
        }
      }
    }
  }
}
