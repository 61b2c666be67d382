internal import CKernels

/// values[i, j] += bias[j], in place.
///
/// - Shape: `values` is dense; its elements are rows of `columns`.
public func addBias(_ bias: UnsafePointer<Float>, columns: Int, to values: MatrixView) {
  precondition(
    columns > 0 && values.columns % columns == 0,
    "A bias of \(columns) does not fit \(values.shape)")
  vd_kernel_add_bias(values.count / columns, columns, bias, values.denseBase)
}

/// sums[c] = Σ over the pixels of values[pixel, c]: the gradient of a bias of channels.
public func sumChannels(
  _ values: UnsafePointer<Float>, pixels: Int, channels: Int, into sums: UnsafeMutablePointer<Float>
) {
  vd_kernel_column_sums(pixels, channels, channels, values, sums)
}

/// outputs = inputs · factors, where the factor of a uniform number below `probability` is 0 and that of
/// the others 1 / (1 − probability).
///
/// - Shape: All are alike and dense.
/// - Parameters:
///   - inputs: What some are dropped of.
///   - probability: How many.
///   - factors: Uniform numbers on entry, overwritten by their factors.
///   - outputs: Receives the products.
public func dropOut(
  _ inputs: MatrixView, probability: Float, factors: MatrixView, into outputs: MatrixView
) {
  precondition(
    inputs.count == factors.count && inputs.count == outputs.count,
    "Cannot drop from \(inputs.shape) by \(factors.shape) into \(outputs.shape)")
  vd_kernel_drop_out(
    inputs.count, probability, factors.denseBase, inputs.denseBase, outputs.denseBase)
}

/// values ⊙= factors, in place.
///
/// - Shape: Both are alike and dense.
public func multiply(_ values: MatrixView, by factors: MatrixView) {
  precondition(
    values.count == factors.count, "Cannot multiply \(values.shape) by \(factors.shape)")
  vd_kernel_multiply(values.count, factors.denseBase, values.denseBase)
}

/// sums = values + sums, in place.
///
/// - Shape: Both are alike and dense.
public func add(_ values: MatrixView, to sums: MatrixView) {
  precondition(values.count == sums.count, "Cannot add \(values.shape) to \(sums.shape)")
  vd_kernel_add(values.count, values.denseBase, sums.denseBase)
}

/// From channels that hold several heads at each pixel to one head after the other.
///
/// - Shape: `together` is `[batch, pixels, heads, channels]`, `apart` is `[batch, heads, pixels,
///   channels]`.
public func splitHeads(_ together: MatrixView, heads: Int, of pixels: Int, into apart: MatrixView) {
  let channels = headChannels(together, apart, heads, pixels)
  vd_kernel_split_heads(
    together.rows, pixels, heads, channels, together.denseBase, apart.denseBase)
}

/// The reverse of ``splitHeads(_:heads:of:into:)``.
///
/// - Shape: `apart` is `[batch, heads, pixels, channels]`, `together` is `[batch, pixels, heads,
///   channels]`.
public func joinHeads(_ apart: MatrixView, heads: Int, of pixels: Int, into together: MatrixView) {
  let channels = headChannels(together, apart, heads, pixels)
  vd_kernel_join_heads(
    together.rows, pixels, heads, channels, apart.denseBase, together.denseBase)
}

private func headChannels(
  _ together: MatrixView, _ apart: MatrixView, _ heads: Int, _ pixels: Int
) -> Int {
  precondition(
    together.rows == apart.rows && together.columns == apart.columns
      && together.columns % (heads * pixels) == 0,
    "\(heads) heads of \(pixels) pixels do not fit \(together.shape) and \(apart.shape)")
  return together.columns / (heads * pixels)
}

/// Group normalization of images or vectors: each group of channels of each example has mean 0 and
/// variance 1, then each channel is scaled and shifted.
///
/// - Source: Wu & He 2018; with one group, Ba, Kiros & Hinton 2016 (over all of an example).
public struct GroupNormalization {
  /// Of an example.
  public let extents: Extents
  /// How many groups the channels make.
  public let groups: Int
  /// What is added to the variance.
  public static var epsilon: Float { 1e-5 }

  private let means: FloatBuffer  // [capacity, groups]
  private let inverseDeviations: FloatBuffer  // [capacity, groups]
  private let scratch: FloatBuffer  // [4, channels]

  /// Allocates what the backward needs of the forward.
  public init(_ extents: Extents, groups: Int, capacity: Int) {
    precondition(
      groups > 0 && extents.channels % groups == 0,
      "\(extents.channels) channels do not make \(groups) groups")
    self.extents = extents
    self.groups = groups
    means = FloatBuffer(count: capacity * groups)
    inverseDeviations = FloatBuffer(count: capacity * groups)
    scratch = FloatBuffer(count: 4 * extents.channels)
  }

  /// outputs = scales · normalized inputs + shifts.
  ///
  /// - Shape: `inputs` and `outputs` are `[batch, extents]`, `scales` and `shifts` `[channels]`.
  public func forward(
    _ inputs: MatrixView, scales: UnsafePointer<Float>, shifts: UnsafePointer<Float>,
    into outputs: MatrixView
  ) {
    check(inputs, outputs)
    var what = description(inputs.rows, scales, shifts)
    vd_kernel_normalize(&what, inputs.denseBase, outputs.denseBase)
  }

  /// From ∂/∂outputs to ∂/∂inputs, in place, and ∂/∂scales and ∂/∂shifts.
  ///
  /// - Shape: As of the forward with these inputs, which must be the latest.
  public func backward(
    _ gradient: MatrixView, inputs: MatrixView, scales: UnsafePointer<Float>,
    scaleGradient: UnsafeMutablePointer<Float>, shiftGradient: UnsafeMutablePointer<Float>
  ) {
    check(inputs, gradient)
    var what = description(inputs.rows, scales, scales)
    vd_kernel_normalize_backward(
      &what, inputs.denseBase, gradient.denseBase, scaleGradient, shiftGradient)
  }

  private func check(_ inputs: MatrixView, _ others: MatrixView) {
    precondition(
      inputs.columns == extents.count && inputs.rows * groups <= means.count
        && inputs.rows == others.rows && inputs.columns == others.columns,
      "Cannot normalize \(inputs.shape) and \(others.shape) as \(extents)")
  }

  private func description(
    _ rows: Int, _ scales: UnsafePointer<Float>, _ shifts: UnsafePointer<Float>
  ) -> vd_kernel_group_normalization {
    vd_kernel_group_normalization(
      rows: rows, pixels: extents.pixelCount, channels: extents.channels, groups: groups,
      epsilon: Self.epsilon, scales: scales, shifts: shifts, means: means.base,
      inverse_deviations: inverseDeviations.base, scratch: scratch.base)
  }
}
