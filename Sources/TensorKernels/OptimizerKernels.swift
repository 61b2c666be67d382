internal import CKernels

/// The constants of one Adam update.
///
/// - Source: Kingma & Ba 2015, algorithm 1; `decouplesDecay`: Loshchilov & Hutter 2019, algorithm 2.
public struct AdamUpdate: Sendable {
  /// What the gradient is multiplied by first.
  public var gradientScale: Float
  /// α of this step.
  public var learningRate: Float
  /// β₁ and β₂.
  public var betas: (Float, Float)
  /// ε, outside the square root.
  public var epsilon: Float
  /// The number of this update, from 1; it sets the bias corrections 1 − βᵗ.
  public var step: Int
  /// λ.
  public var weightDecay: Float
  /// Whether λ is taken off the parameters (AdamW) rather than added to the gradient (Adam).
  public var decouplesDecay: Bool

  /// All constants.
  public init(
    gradientScale: Float, learningRate: Float, betas: (Float, Float) = (0.9, 0.999),
    epsilon: Float = 1e-8, step: Int, weightDecay: Float = 0, decouplesDecay: Bool = false
  ) {
    self.gradientScale = gradientScale
    self.learningRate = learningRate
    self.betas = betas
    self.epsilon = epsilon
    self.step = step
    self.weightDecay = weightDecay
    self.decouplesDecay = decouplesDecay
  }

  /// Updates a range of parameters and moments in one pass.
  ///
  /// - Shape: `gradient` is `[range.count]`, its first element being that of `range.lowerBound`; the
  ///   buffers have the same count.
  /// - Complexity: 16 bytes read and 12 written an element.
  /// - Returns: Whether all updated parameters, and the state kept for them, are finite.
  @discardableResult
  public func apply(
    to parameters: FloatBuffer, _ range: Range<Int>, gradient: UnsafePointer<Float>,
    firstMoment: FloatBuffer, secondMoment: FloatBuffer
  ) -> Bool {
    check(range, [parameters, firstMoment, secondMoment])
    let start = range.lowerBound
    return vd_kernel_adam(
      range.count, parameters.base + start, gradient, firstMoment.base + start,
      secondMoment.base + start, gradientScale, learningRate, betas.0, betas.1, epsilon,
      correction(betas.0), correction(betas.1), weightDecay, decouplesDecay ? 1 : 0) != 0
  }

  // 1 − βᵗ by repeated squaring in double precision.
  private func correction(_ beta: Float) -> Float {
    var power = 1.0
    var square = Double(beta)
    var remaining = step
    while remaining > 0 {
      if remaining & 1 == 1 { power *= square }
      square *= square
      remaining >>= 1
    }
    return Float(1 - power)
  }
}

/// sum += g²; p −= α g / (√sum + ε), within a range.
///
/// - Shape: `gradient` is `[range.count]`; the buffers have the same count.
/// - Returns: Whether all updated parameters, and the state kept for them, are finite.
/// - Source: Duchi, Hazan & Singer 2011.
@discardableResult
public func adagradUpdate(
  _ range: Range<Int>, parameters: FloatBuffer, gradient: UnsafePointer<Float>,
  squaredSum: FloatBuffer, gradientScale: Float, learningRate: Float, epsilon: Float = 1e-10,
  weightDecay: Float
) -> Bool {
  check(range, [parameters, squaredSum])
  return vd_kernel_adagrad(
    range.count, parameters.base + range.lowerBound, gradient,
    squaredSum.base + range.lowerBound, gradientScale, learningRate, epsilon, weightDecay) != 0
}

/// velocity = momentum · velocity + g; p −= α · velocity, within a range.
///
/// - Shape: `gradient` is `[range.count]`; the buffers have the same count.
/// - Returns: Whether all updated parameters, and the state kept for them, are finite.
@discardableResult
public func momentumUpdate(
  _ range: Range<Int>, parameters: FloatBuffer, gradient: UnsafePointer<Float>,
  velocity: FloatBuffer, gradientScale: Float, learningRate: Float, momentum: Float,
  weightDecay: Float
) -> Bool {
  check(range, [parameters, velocity])
  return vd_kernel_sgd(
    range.count, parameters.base + range.lowerBound, gradient, velocity.base + range.lowerBound,
    gradientScale, learningRate, momentum, weightDecay) != 0
}

/// Σ v² over a range, in double precision.
public func sumOfSquares(_ values: FloatBuffer, _ range: Range<Int>? = nil) -> Double {
  let range = range ?? 0..<values.count
  check(range, [values])
  return vd_kernel_sum_of_squares(range.count, values.base + range.lowerBound)
}

/// destination[i] = Σ sources[s][i] over a range, added in the order of the sources.
///
/// - Shape: All have the same count; the destination may be one of the sources.
public func sum(
  _ sources: [FloatBuffer], _ range: Range<Int>, into destination: FloatBuffer
) {
  check(range, sources + [destination])
  forEachBlock(of: range, sources) { block, values in
    (destination.base + block.lowerBound).update(from: values, count: block.count)
  }
}

/// Walks through a range in blocks that fit the nearest cache, with the sources' sum of each.
///
/// - Parameters:
///   - range: Elements of the sources.
///   - sources: Added in this order; a single one is handed on as it is.
///   - body: Gets a block and its sum, which is valid during the call.
public func forEachBlock(
  of range: Range<Int>, _ sources: [FloatBuffer],
  _ body: (Range<Int>, UnsafePointer<Float>) -> Void
) {
  check(range, sources)
  if sources.count == 1 { return body(range, UnsafePointer(sources[0].base + range.lowerBound)) }
  let blockCount = 4096
  withUnsafeTemporaryAllocation(of: Float.self, capacity: blockCount) { scratch in
    guard let total = scratch.baseAddress else { return }
    for start in stride(from: range.lowerBound, to: range.upperBound, by: blockCount) {
      let block = start..<min(start + blockCount, range.upperBound)
      vd_kernel_sum(block.count, sources[0].base + start, sources[1].base + start, total)
      for source in sources.dropFirst(2) {
        vd_kernel_add(block.count, source.base + start, total)
      }
      body(block, UnsafePointer(total))
    }
  }
}

private func check(_ range: Range<Int>, _ buffers: [FloatBuffer]) {
  precondition(
    !buffers.isEmpty && range.lowerBound >= 0
      && buffers.allSatisfy { $0.count == buffers[0].count && range.upperBound <= $0.count },
    "Elements \(range) of buffers of \(buffers.map(\.count)) elements do not belong together")
}
