extension NumericArray {
  /// Opens a file: NPY or IDX, gzipped or not, an array of an NPZ archive or an HDF5 file, CSV or TSV, and
  /// reads its header.
  ///
  /// What is neither gzipped nor in Fortran order is mapped, so that opening reads next to nothing;
  /// the elements of others are there once they have been loaded.
  ///
  /// - Parameters:
  ///   - path: The file, or an array of one: `x.npz:name`.
  ///   - choice: What is read of a table of text.
  /// - Throws: ``DataError`` with what is wrong.
  init(opening path: String, _ choice: ColumnChoice = ColumnChoice()) throws(DataError) {
    try self.init(opening: path, column: nil, choice)
  }

  /// Opens a file of one value for each example, which may do without a second axis.
  ///
  /// - Parameters:
  ///   - path: The file, or a column of one: `x.csv:name`.
  ///   - exampleCount: How many examples there are; texts of another number are not read.
  /// - Throws: ``DataError`` with what is wrong.
  init(columnAt path: String, exampleCount: Int) throws(DataError) {
    try self.init(opening: path, column: exampleCount, ColumnChoice())
  }

  // `column` counts the examples of a file of one value for each; nil for other files.
  private init(
    opening path: String, column exampleCount: Int?, _ choice: ColumnChoice
  ) throws(DataError) {
    let isColumn = exampleCount != nil
    if let (file, column) = DelimitedText.split(path) {
      var own = choice
      own.only = column
      try self.init(opening: file, column: exampleCount, own)
      return
    }
    if let (file, name) = NPZArchive.split(path) {
      self = try Self.openArchive(file, member: name, path, isColumn: isColumn)
      return
    }
    if let (file, name) = HDF5File.split(path) {
      self = try Self.openHDF5(file, member: name, column: exampleCount)
      return
    }
    let mapped = try ByteStorage(mapping: path)
    let isGzip = mapped.bytes.starts(with: [0x1f, 0x8b])
    let separator = DelimitedText.separator(of: path)
    if isGzip && separator == nil {
      self = try Self.openGzip(path, mapped, isColumn: isColumn)
      return
    }
    if let separator {
      let text = isGzip ? try inflatedFile(path) : mapped
      let table = try DelimitedText(path, text, separator: separator, choice: choice)
      let (header, storage, checksum) = try table.array()
      try self.init(
        path: choice.only.map { "\(path):\($0)" } ?? path, header: header, storage: storage,
        checksum: checksum)
      (names, columnNumbers, note) = (table.names, table.columnNumbers, table.note)
      return
    }
    let header = try Self.header(mapped.bytes, path, isColumn: isColumn)
    let promised = header.dataOffset + header.dataByteCount
    if mapped.bytes.count != promised {
      throw .wrongSize(path: path, actual: mapped.bytes.count, promised: promised)
    }
    try self.init(path: path, header: header, storage: mapped, checksum: [])
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

  static func header(
    _ bytes: UnsafeRawBufferPointer, _ path: String, isColumn: Bool
  ) throws(DataError) -> ArrayHeader {
    var header = try ArrayHeader(parsing: bytes, path: path)
    if isColumn && header.shape.count == 1 { header.shape.append(1) }
    return header
  }

  // Elements are mapped where they lie in the file as they are. What must go through libhdf5 is held in memory
  // if it fits, and read row by row if not.
  private static func openHDF5(
    _ path: String, member name: String?, column exampleCount: Int?
  ) throws(DataError) -> NumericArray {
    let isColumn = exampleCount != nil
    return try HDF5File.guarded(path) { () throws(DataError) in
      let file = try HDF5File(path: path)
      if let exampleCount, let name, let count = file.textCount(name) {
        if count != exampleCount {
          throw .otherLabelCount(
            path: "\(path):\(name)", shape: [count], exampleCount: exampleCount)
        }
        if let texts = file.texts(name, atMost: count) {
          return try classes(of: texts, "\(path):\(name)", file)
        }
      }
      var array =
        switch try file.only(name, isColumn: isColumn) {
        case .array(let array): try dense(array, in: file, isColumn: isColumn)
        case .sparse(let matrix): try sparse(matrix, in: file)
        }
      if isColumn {
        let classes = try name.map { name throws(DataError) in try file.classes(name) } ?? []
        if !classes.isEmpty { array.names.classes[0] = classes }
      } else if name.map({ $0 == "X" || $0.hasPrefix("layers/") }) ?? true {
        array.names.columns = file.columnNames(count: array.width)
      }
      return array
    }
  }

  // Texts as the numbers of classes.
  private static func classes(
    of texts: [String], _ path: String, _ file: HDF5File
  ) throws(DataError) -> NumericArray {
    let (names, numbers) = DataNames.number(texts)
    if names.count > Labels.mostClasses { throw .tooManyTexts(path: path, column: "1") }
    let header = try ArrayHeader(
      path: path, extents: [UInt64(numbers.count), 1], type: .int32, isBigEndian: false,
      isColumnMajor: false, dataOffset: 0)
    let storage = ByteStorage(count: header.dataByteCount, path: path) { memory in
      _ = memory.bindMemory(to: Int32.self).update(
        fromContentsOf: numbers.map { Int32($0).littleEndian })
    }
    var array = try NumericArray(
      path: path, header: header, storage: storage, checksum: file.checksum)
    array.names.classes[0] = names
    return array
  }

  private static func dense(
    _ array: HDF5Array, in file: HDF5File, isColumn: Bool
  ) throws(DataError) -> NumericArray {
    var header = try array.header
    if isColumn && header.shape.count == 1 { header.shape.append(1) }
    try check(header, path: array.path)
    if let rows = array.mapped {
      return try NumericArray(
        path: array.path, header: header, elements: .dense(rows), residence: .mapped,
        identity: file.mapped.identity, checksum: file.checksum)
    }
    if header.dataByteCount > mostBytesToHold() {
      return try NumericArray(
        path: array.path, header: header,
        elements: .dense(RowStore(place: .reader(array), rowByteCount: header.rowByteCount)),
        residence: .read, identity: file.mapped.identity, checksum: file.checksum)
    }
    let storage = ByteStorage(count: header.dataByteCount, path: array.path) {
      memory throws(DataError) in try array.read(rows: 0..<array.shape[0], into: memory)
    }
    return try NumericArray(
      path: array.path, header: header, storage: storage, checksum: file.checksum)
  }

  private static func sparse(
    _ matrix: HDF5File.SparseMatrix, in file: HDF5File
  ) throws(DataError) -> NumericArray {
    let (starts, columns, values) = (matrix.starts, matrix.columns, matrix.values)
    let path = matrix.path
    if !matrix.isByRow { throw .sparseByColumn(path: path) }
    let header = try ArrayHeader(
      path: path, extents: matrix.shape.map { UInt64($0) }, type: values.type,
      isBigEndian: values.isBigEndian, isColumnMajor: false, dataOffset: 0)
    try check(header, path: path)
    for array in [starts, columns, values] where array.shape.count != 1 {
      throw .malformedHeader(path: array.path, reason: "its shape \(array.shape) is not one axis")
    }
    let count = values.shape[0]
    let bounds = try starts.integers(atMost: header.shape[0] + 1)
    guard bounds.count == header.shape[0] + 1, bounds.first == 0, bounds.last == count,
      columns.shape[0] == count, zip(bounds, bounds.dropFirst()).allSatisfy({ $0 <= $1 })
    else {
      throw .malformedHeader(
        path: path,
        reason: "\(starts.shape[0]) beginnings of rows and \(columns.shape[0]) columns do not fit"
          + " \(count) values in \(header.shape[0]) rows")
    }
    let columnByteCount = count * columns.rowByteCount
    let byteCount = columnByteCount + count * values.rowByteCount
    func matrixOf(_ columnStore: RowStore, _ valueStore: RowStore) -> SparseRows {
      SparseRows(
        starts: bounds, columns: columnStore, columnType: columns.type, values: valueStore,
        valueType: values.type, isBigEndian: values.isBigEndian,
        columnsAreBigEndian: columns.isBigEndian, width: header.shape[1], path: path)
    }
    func place(_ array: HDF5Array) -> RowStore {
      array.mapped ?? RowStore(place: .reader(array), rowByteCount: array.rowByteCount)
    }
    let areMapped = columns.mapped != nil && values.mapped != nil
    if count == 0 || areMapped || byteCount > mostBytesToHold() {
      return try NumericArray(
        path: path, header: header, elements: .sparse(matrixOf(place(columns), place(values))),
        residence: areMapped ? .mapped : .read, identity: file.mapped.identity,
        checksum: file.checksum)
    }
    let storage = ByteStorage(count: byteCount, path: path) { memory throws(DataError) in
      try columns.read(
        rows: 0..<count, into: UnsafeMutableRawBufferPointer(rebasing: memory[..<columnByteCount]))
      try values.read(
        rows: 0..<count, into: UnsafeMutableRawBufferPointer(rebasing: memory[columnByteCount...]))
    }
    func loaded(_ array: HDF5Array, at offset: Int) -> RowStore {
      RowStore(place: .contiguous(storage, offset: offset), rowByteCount: array.rowByteCount)
    }
    return try NumericArray(
      path: path, header: header,
      elements: .sparse(matrixOf(loaded(columns, at: 0), loaded(values, at: columnByteCount))),
      pending: storage, residence: .loaded, identity: "", checksum: file.checksum)
  }
}
