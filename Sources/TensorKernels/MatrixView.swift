/// A dense row-major matrix somewhere in a ``FloatBuffer``; it owns nothing.
///
/// The buffer must outlive the view. Views are how layers and kernels name their operands: each
/// kernel checks the extents before it touches the memory.
public struct MatrixView {
  /// Element [0, 0].
  public let base: UnsafeMutablePointer<Float>
  /// The first extent; for activations, one row an example (or a draw).
  public let rows: Int
  /// The second extent; neighbours in memory.
  public let columns: Int

  /// A view of `rows * columns` elements from `base` on.
  public init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int) {
    precondition(rows >= 0 && columns >= 0, "A matrix cannot be [\(rows), \(columns)]")
    self.base = base
    self.rows = rows
    self.columns = columns
  }

  /// How many elements there are.
  public var count: Int { rows * columns }

  /// The elements in order.
  public var elements: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: base, count: count)
  }

  /// One row.
  public func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
    precondition(index >= 0 && index < rows, "Row \(index) is outside [\(rows), \(columns)]")
    return UnsafeMutableBufferPointer(start: base + index * columns, count: columns)
  }

  /// Rows `range` as a matrix of their own.
  public func rows(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows,
      "Rows \(range) are outside [\(rows), \(columns)]")
    return MatrixView(
      base: base + range.lowerBound * columns, rows: range.count, columns: columns)
  }

  /// The extents as they are written in messages.
  public var shape: String { "[\(rows), \(columns)]" }
}
