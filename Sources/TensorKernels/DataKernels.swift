internal import CKernels

/// sums[j] = Σ_i matrix[i, j]: the gradient of a bias.
///
/// - Shape: `sums` is `[matrix.columns]`.
public func columnSums(of matrix: MatrixView, into sums: UnsafeMutablePointer<Float>) {
  vd_kernel_column_sums(matrix.rows, matrix.columns, matrix.stride, matrix.base, sums)
}

/// A number that differs where one element's bits do, and almost certainly where several do; for comparing
/// what should be the same, not for keeping secrets.
public func digest(_ values: UnsafeBufferPointer<Float>) -> UInt64 {
  values.baseAddress.map { vd_kernel_digest(values.count, $0) } ?? 0
}

/// destination[i] = scale · source[i], from bytes.
public func convert(
  _ source: UnsafeBufferPointer<UInt8>, scale: Float,
  into destination: UnsafeMutableBufferPointer<Float>
) {
  precondition(
    source.count == destination.count,
    "Cannot convert \(source.count) values into \(destination.count)")
  guard let from = source.baseAddress, let to = destination.baseAddress else { return }
  vd_kernel_convert_bytes(source.count, from, scale, to)
}

/// Rows of bytes from anywhere in an array, one under the other and scaled.
///
/// - Shape: `source` is `[any, values.columns]`; `values` is `[rows.count, columns]`.
/// - Parameters:
///   - rows: Which rows; each must lie within the source.
///   - source: All rows.
///   - scale: What each value is multiplied by.
///   - values: Receives the rows in the order of `rows`.
public func gather(
  _ rows: UnsafeBufferPointer<UInt32>, of source: UnsafeRawBufferPointer, scale: Float,
  into values: MatrixView
) {
  precondition(
    values.rows == rows.count
      && rows.allSatisfy { (Int($0) + 1) * values.columns <= source.count },
    "\(rows.count) rows of \(source.count) bytes do not fit \(values.shape)")
  guard let start = rows.baseAddress, let bytes = source.baseAddress else { return }
  vd_kernel_gather_bytes(
    rows.count, values.columns, start, bytes.assumingMemoryBound(to: UInt8.self), scale,
    values.denseBase)
}

/// destination[i] = scale · source[i]; the two may be the same memory.
public func scale(
  _ source: UnsafeBufferPointer<Float>, by scale: Float,
  into destination: UnsafeMutableBufferPointer<Float>
) {
  precondition(
    source.count == destination.count,
    "Cannot scale \(source.count) values into \(destination.count)")
  guard let from = source.baseAddress, let to = destination.baseAddress else { return }
  vd_kernel_scale(source.count, from, scale, to)
}

/// values[i] = 1 where uniforms[i] < values[i], else 0: draws from Bernoulli(values), in place.
///
/// - Shape: Both are alike.
public func binarize(_ values: MatrixView, uniforms: MatrixView) {
  precondition(
    values.count == uniforms.count,
    "Cannot binarize \(values.shape) with uniforms \(uniforms.shape)")
  vd_kernel_binarize(values.count, uniforms.denseBase, values.denseBase)
}
