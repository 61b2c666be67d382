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
  /// Where the elements are.
  enum Elements: Sendable {
    case dense(RowStore)
    case sparse(SparseRows)
  }

  let elements: Elements
  // What has yet to be loaded, unless nothing has.
  private let storage: ByteStorage?
  /// What a gzipped file says of its contents, for comparing files before they are loaded.
  public let checksum: [UInt8]

  /// What values and their classes are called, where the file says so.
  public internal(set) var names = DataNames()
  /// For each value of an example of a table of text the number of its column in the file, from 1 on; else empty.
  public internal(set) var columnNumbers: [Int] = []
  /// What of a table of text was taken for names, for people; nil where that goes without saying.
  public internal(set) var note: String?

  /// How a value's column is called: by its name, or its number in the file.
  public func columnName(_ place: Int) -> String {
    if names.columns.indices.contains(place) { return "'\(names.columns[place])'" }
    return "\(columnNumbers.indices.contains(place) ? columnNumbers[place] : place + 1)"
  }

  /// How many examples.
  public var exampleCount: Int { shape[0] }
  /// Values of an example.
  public var width: Int { shape[1...].reduce(1, *) }
  /// How the elements come to be at hand.
  public enum Residence: String, Sendable, Codable {
    /// The file is mapped into memory: only what is touched is read.
    case mapped
    /// All elements are held in memory.
    case loaded
    /// Rows are read, and decompressed or decoded, at every look.
    case read
  }

  /// How the elements come to be at hand.
  public let residence: Residence
  /// What tells a file that is not held in memory from any other of its machine, and from what it was before;
  /// empty for memory.
  public let identity: String
  /// Bytes of all elements that are stored.
  public var storedByteCount: Int {
    switch elements {
    case .dense: exampleCount * rowByteCount
    case .sparse(let rows): rows.byteCount
    }
  }
  /// Bytes of an example in the file's format.
  var rowByteCount: Int { width * type.byteCount }
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
  public var pendingByteCount: Int { storage?.pendingByteCount ?? 0 }

  /// Loads the elements into memory of this process's own, unless that has been done.
  ///
  /// - Throws: ``DataError`` with what is wrong.
  public func load() throws(DataError) { try storage?.load() }

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
    try storage?.load(into: memory, owner: owner, fills: fills)
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
      try read(example: example, scale: 1, into: row.mutableElements)
      if let position = row.elements.firstIndex(where: { !$0.isFinite }) {
        throw .nonFinite(path: path, example: example, position: position)
      }
      values += row.elements
    }
    return values
  }

  /// Fails unless values have the names that they had elsewhere, where both have some.
  ///
  /// - Throws: ``DataError/otherColumns(path:place:found:expected:)``.
  func check(names known: DataNames) throws(DataError) {
    if let known = known.classes.first(where: { names.classes[$0.key] ?? $0.value != $0.value }) {
      throw .otherClasses(path: path, column: columnName(known.key), expected: known.value)
    }
    guard known.columns.count == names.columns.count else { return }
    for (place, pair) in zip(names.columns, known.columns).enumerated() where pair.0 != pair.1 {
      throw .otherColumns(path: path, place: place, found: pair.0, expected: pair.1)
    }
  }

  // What the header says must be examples, before anything is read or made for them.
  static func check(_ header: ArrayHeader, path: String) throws(DataError) {
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
    let own = header.isColumnMajor ? Self.rowMajorCopy(header, storage, path) : storage
    let rows = RowStore(
      place: .contiguous(own, offset: header.isColumnMajor ? 0 : header.dataOffset),
      rowByteCount: header.rowByteCount)
    try self.init(
      path: path, header: header, elements: .dense(rows), pending: own,
      residence: own.isMapped ? .mapped : .loaded, identity: own.identity, checksum: checksum)
  }

  /// An array whose elements are wherever `elements` says.
  ///
  /// - Throws: ``DataError`` if there are no examples.
  init(
    path: String, header: ArrayHeader, elements: Elements, pending: ByteStorage? = nil,
    residence: Residence, identity: String, checksum: [UInt8]
  ) throws(DataError) {
    try Self.check(header, path: path)
    self.path = path
    shape = header.shape
    type = header.type
    isBigEndian = header.isBigEndian
    self.elements = elements
    storage = pending
    self.residence = residence
    self.identity = identity
    self.checksum = checksum
  }

  /// Reads some examples of data that were scanned, each value multiplied by `scale`.
  ///
  /// A file that can no longer be read ends the process, as one does that is mapped and is gone.
  ///
  /// - Shape: `values` is `[rows.count, width]`.
  func read(rows: UnsafeBufferPointer<UInt32>, scale: Float, into values: MatrixView) {
    if type == .uint8, case .dense(let store) = elements, let start = store.contiguousBytes {
      let bytes = UnsafeRawBufferPointer(start: start, count: exampleCount * rowByteCount)
      return gather(rows, of: bytes, scale: scale, into: values)
    }
    do throws(DataError) {
      for (position, row) in rows.enumerated() {
        try read(example: Int(row), scale: scale, into: values.row(position))
      }
    } catch { fatalError("\(error)") }
  }

  /// Reads one example, each value multiplied by `scale`.
  ///
  /// - Shape: `values` is `[width]`.
  /// - Throws: ``DataError`` if it cannot be read; never of a file that is mapped whole or loaded.
  public func read(
    example: Int, scale: Float, into values: UnsafeMutableBufferPointer<Float>
  ) throws(DataError) {
    precondition(
      example >= 0 && example < exampleCount && values.count == width,
      "Example \(example) of \(values.count) values is outside \(shape)")
    switch elements {
    case .sparse(let rows): try rows.read(row: example, scale: scale, into: values)
    case .dense(let rows):
      try rows.withBytes(of: example..<example + 1) { bytes in
        read(bytes, scale: scale, into: values)
      }
    }
  }

  /// Reads the values of an example whose bytes are at hand.
  ///
  /// - Shape: `values` is `[width]`.
  func read(
    _ bytes: UnsafeRawBufferPointer, scale: Float, into values: UnsafeMutableBufferPointer<Float>
  ) {
    guard let row = bytes.baseAddress else { return }
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
