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

  /// The values.
  package var values: [Float] { Array(elements) }
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
