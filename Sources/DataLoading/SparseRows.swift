/// A matrix of which only the values that are not zero are stored, row after row (CSR).
struct SparseRows: Sendable {
  /// Where each row begins among the values, and at the end how many there are.
  let starts: [Int]
  /// The column of each value.
  let columns: RowStore
  let columnType: ElementType
  /// The values.
  let values: RowStore
  let valueType: ElementType
  let isBigEndian: Bool
  let columnsAreBigEndian: Bool
  let width: Int
  let path: String

  /// Bytes that are stored.
  var byteCount: Int {
    (starts.last ?? 0) * (columns.rowByteCount + values.rowByteCount) + starts.count * 8
  }

  /// Lends what is stored of some rows: the columns' bytes and the values'.
  ///
  /// - Throws: ``DataError`` if they cannot be read, and what `body` throws.
  func withStored<Result>(
    of rows: Range<Int>,
    _ body: (_ columns: UnsafeRawBufferPointer, _ values: UnsafeRawBufferPointer)
      throws(DataError) -> Result
  ) throws(DataError) -> Result {
    let range = starts[rows.lowerBound]..<starts[rows.upperBound]
    return try columns.withBytes(of: range) { columns throws(DataError) in
      try values.withBytes(of: range) { values throws(DataError) in try body(columns, values) }
    }
  }

  /// Reads a row, zeros and all, each value multiplied by `scale`; values of one column add up.
  ///
  /// - Shape: `target` is `[width]`.
  /// - Throws: ``DataError`` if it cannot be read, or has a column that there is not.
  func read(
    row: Int, scale: Float, into target: UnsafeMutableBufferPointer<Float>
  ) throws(DataError) {
    target.update(repeating: 0)
    try withStored(of: row..<row + 1) { columns, values throws(DataError) in
      try forEach(row, columns, values) { column, value in target[column] += scale * value }
    }
  }

  /// Hands over the columns and values of a row whose bytes are at hand.
  ///
  /// - Throws: ``DataError`` if a column is none.
  @inline(__always)
  func forEach(
    _ row: Int, _ columns: UnsafeRawBufferPointer, _ values: UnsafeRawBufferPointer,
    _ body: (_ column: Int, _ value: Float) -> Void
  ) throws(DataError) {
    let count = starts[row + 1] - starts[row]
    guard count > 0, let firstColumn = columns.baseAddress, let first = values.baseAddress
    else { return }
    let numbers = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
    let places = UnsafeMutableBufferPointer<Int>.allocate(capacity: count)
    defer {
      numbers.deallocate()
      places.deallocate()
    }
    numbers.initialize(repeating: 0)
    places.initialize(repeating: 0)
    valueType.read(first, bigEndian: isBigEndian, scale: 1, into: numbers)
    columnType.readIntegers(firstColumn, bigEndian: columnsAreBigEndian, into: places)
    for index in 0..<count {
      let column = places[index]
      guard column >= 0 && column < width else {
        throw .malformedHeader(
          path: path, reason: "row \(row) has a value in column \(column) of \(width)")
      }
      body(column, numbers[index])
    }
  }
}
