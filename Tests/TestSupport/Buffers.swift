package import TensorKernels

extension FloatBuffer {
  /// A buffer with these values.
  package convenience init(_ values: [Double]) {
    self.init(count: values.count)
    for (index, value) in values.enumerated() { base[index] = Float(value) }
  }

  /// A buffer full of NaN, so that an element that is not written shows.
  package static func poisoned(_ count: Int) -> FloatBuffer {
    let buffer = FloatBuffer(count: count)
    buffer.mutableElements.update(repeating: .nan)
    return buffer
  }

  /// A matrix with these values, row after row, and NaN between its rows.
  package static func matrix(
    _ values: [Double], rows: Int, columns: Int, stride: Int
  ) -> MatrixView {
    let view = poisoned(rows * stride).matrix(rows: rows, columns: columns, stride: stride)
    for row in 0..<rows {
      for column in 0..<columns { view.row(row)[column] = Float(values[row * columns + column]) }
    }
    return view
  }

  /// The values.
  package var values: [Float] { Array(elements) }
}

extension MatrixView {
  /// The values, row after row, without what lies between the rows.
  package var values: [Float] { (0..<rows).flatMap { Array(row($0)) } }

  /// What lies between the rows.
  package var gaps: [Float] {
    (0..<rows).flatMap { row in (columns..<stride).map { base[row * stride + $0] } }
  }
}

/// Gives temporary room for figures in nats, full of NaN.
package func withFigures(
  _ count: Int, _ body: (UnsafeMutableBufferPointer<Double>) -> Void
)
  -> [Double]
{
  var figures = [Double](repeating: .nan, count: count)
  figures.withUnsafeMutableBufferPointer { body($0) }
  return figures
}
