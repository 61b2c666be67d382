/// A matrix that a product can read.
public protocol ProductOperand {
  /// The number format of the elements.
  static var precision: Precision { get }
  /// The first extent.
  var rows: Int { get }
  /// The second extent; neighbours in memory.
  var columns: Int { get }
  /// Elements from one row to the next, `columns` or more.
  var stride: Int { get }
  /// Where column `column` of the first row lies.
  func address(ofColumn column: Int) -> UnsafeRawPointer
}

/// A row-major matrix somewhere in a ``FloatBuffer``, which it keeps alive.
///
/// Views are how layers and kernels name their operands: each kernel checks the extents before it
/// touches the memory. Rows follow each other directly unless ``stride`` says otherwise.
public struct MatrixView: ProductOperand {
  /// Element [0, 0].
  public let base: UnsafeMutablePointer<Float>
  /// The first extent; for activations, one row an example (or a draw).
  public let rows: Int
  /// The second extent; neighbours in memory.
  public let columns: Int
  /// Elements from one row to the next, `columns` or more.
  public let stride: Int

  private let owner: FloatBuffer

  /// A view of rows `stride` elements apart, from `offset` on.
  init(_ owner: FloatBuffer, offset: Int, rows: Int, columns: Int, stride: Int) {
    precondition(
      rows >= 0 && columns >= 0 && stride >= columns && offset >= 0
        && (rows == 0 || offset + (rows - 1) * stride + columns <= owner.count),
      "Cannot view \(owner.count) elements from \(offset) as [\(rows), \(columns)]"
        + " with a stride of \(stride)")
    self.owner = owner
    base = owner.base + offset
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  /// How many elements there are.
  public var count: Int { rows * columns }

  /// Whether there is nothing between the rows.
  public var isDense: Bool { stride == columns }

  /// The elements in order; of a dense matrix only.
  public var elements: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: denseBase, count: count)
  }

  /// Element [0, 0] for who reads on over the ends of rows.
  var denseBase: UnsafeMutablePointer<Float> {
    precondition(isDense, "The rows of \(shape) lie \(stride) elements apart")
    return base
  }

  /// Whether every element is a number, infinities not counted.
  public var isFinite: Bool { (0..<rows).allSatisfy { row($0).allSatisfy(\.isFinite) } }

  /// One row.
  public func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
    precondition(index >= 0 && index < rows, "Row \(index) is outside [\(rows), \(columns)]")
    return UnsafeMutableBufferPointer(start: base + index * stride, count: columns)
  }

  /// Rows `range` as a matrix of their own.
  public func rows(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows,
      "Rows \(range) are outside [\(rows), \(columns)]")
    return MatrixView(
      owner, offset: base - owner.base + range.lowerBound * stride, rows: range.count,
      columns: columns, stride: stride)
  }

  /// Columns `range` as a matrix of their own, whose rows lie as far apart as before.
  public func columns(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= columns,
      "Columns \(range) are outside [\(rows), \(columns)]")
    return MatrixView(
      owner, offset: base - owner.base + range.lowerBound, rows: rows, columns: range.count,
      stride: stride)
  }

  /// Takes the elements of another matrix of the same shape.
  public func copy(_ other: MatrixView) {
    precondition(
      rows == other.rows && columns == other.columns,
      "Cannot copy \(other.shape) into \(shape)")
    for index in 0..<rows {
      (base + index * stride).update(from: other.base + index * other.stride, count: columns)
    }
  }

  /// What a product of such matrices is planned for.
  public static var precision: Precision { .f32 }

  /// Where column `column` of the first row lies.
  public func address(ofColumn column: Int) -> UnsafeRawPointer { UnsafeRawPointer(base + column) }
}

extension ProductOperand {
  /// The extents as they are written in messages.
  public var shape: String { "[\(rows), \(columns)]" }
}
