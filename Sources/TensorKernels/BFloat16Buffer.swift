/// A fixed block of bfloat16 numbers, zero at first: the rounded copy of a ``FloatBuffer`` or a part.
public final class BFloat16Buffer {
  /// The first element; the upper half of a float each.
  let base: UnsafeMutablePointer<UInt16>
  /// How many elements there are.
  public let count: Int

  /// Allocates `count` zeros, aligned to cache lines.
  public init(count: Int) {
    precondition(count >= 0, "Cannot allocate \(count) elements")
    let padded = max(1, count)
    base = UnsafeMutableRawPointer.allocate(
      byteCount: padded * MemoryLayout<UInt16>.stride, alignment: 64
    ).bindMemory(to: UInt16.self, capacity: padded)
    base.initialize(repeating: 0, count: padded)
    self.count = count
  }

  /// Room for a matrix whose rows lie as far apart as products like it.
  public convenience init(rows: Int, columns: Int) {
    self.init(count: rows * Self.rowStride(columns: columns))
  }

  deinit {
    base.deallocate()
  }

  /// The elements, for messages between ranks.
  public var elements: UnsafeMutableBufferPointer<UInt16> {
    UnsafeMutableBufferPointer(start: base, count: count)
  }

  /// Copies a range of a buffer, each value rounded to the nearest.
  ///
  /// - Shape: Both have the same count.
  public func round(_ source: FloatBuffer, _ range: Range<Int>) {
    precondition(
      source.count == count && range.lowerBound >= 0 && range.upperBound <= count,
      "Elements \(range) of \(source.count) do not fit \(count)")
    roundToBFloat16(
      UnsafeBufferPointer(rebasing: source.elements[range]),
      into: UnsafeMutableBufferPointer(rebasing: elements[range]))
  }

  /// Copies a matrix to the beginning, each value rounded to the nearest.
  ///
  /// - Returns: The copy.
  public func round(_ source: MatrixView) -> BFloat16View {
    let view = matrix(rows: source.rows, columns: source.columns)
    if source.isDense && view.isDense {
      roundToBFloat16(
        UnsafeBufferPointer(source.elements),
        into: UnsafeMutableBufferPointer(start: base, count: source.count))
      return view
    }
    for row in 0..<source.rows {
      roundToBFloat16(
        UnsafeBufferPointer(source.row(row)),
        into: UnsafeMutableBufferPointer(start: base + row * view.stride, count: view.columns))
    }
    return view
  }

  /// Copies a dense matrix to the beginning, each value rounded to the nearest, rows following each
  /// other directly.
  ///
  /// - Returns: The copy.
  public func roundDensely(_ source: MatrixView) -> BFloat16View {
    let view = denseMatrix(rows: source.rows, columns: source.columns)
    roundToBFloat16(
      UnsafeBufferPointer(source.elements),
      into: UnsafeMutableBufferPointer(start: base, count: source.count))
    return view
  }

  /// The beginning as a matrix whose rows follow each other directly.
  public func denseMatrix(rows: Int, columns: Int) -> BFloat16View {
    precondition(
      rows >= 0 && columns >= 0 && rows * columns <= count,
      "Cannot view \(count) elements as [\(rows), \(columns)]")
    return BFloat16View(owner: self, base: base, rows: rows, columns: columns, stride: columns)
  }

  /// The beginning as a matrix, its rows as far apart as products like it.
  public func matrix(rows: Int, columns: Int) -> BFloat16View {
    let stride = Self.rowStride(columns: columns)
    precondition(
      rows >= 0 && columns >= 0 && rows * stride <= count,
      "Cannot view \(count) elements as [\(rows), \(columns)] with a stride of \(stride)")
    return BFloat16View(owner: self, base: base, rows: rows, columns: columns, stride: stride)
  }

  private static func rowStride(columns: Int) -> Int {
    FloatBuffer.rowStride(
      columns: columns, elementsPerLine: 2 * FloatBuffer.alignmentInElements)
  }
}

/// A row-major matrix at the beginning of a ``BFloat16Buffer``, which it keeps alive.
public struct BFloat16View: ProductOperand {
  private let owner: BFloat16Buffer
  private let base: UnsafeMutablePointer<UInt16>
  /// The first extent.
  public let rows: Int
  /// The second extent; neighbours in memory.
  public let columns: Int
  /// Elements from one row to the next.
  public let stride: Int

  init(
    owner: BFloat16Buffer, base: UnsafeMutablePointer<UInt16>, rows: Int, columns: Int, stride: Int
  ) {
    self.owner = owner
    self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  var isDense: Bool { stride == columns }

  /// What a product of such matrices is planned for.
  public static var precision: Precision { .bf16 }

  /// Where column `column` of the first row lies.
  public func address(ofColumn column: Int) -> UnsafeRawPointer {
    UnsafeRawPointer(base + column)
  }
}
