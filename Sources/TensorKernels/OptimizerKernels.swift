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

  /// Updates parameters and moments in one pass.
  ///
  /// - Shape: All four buffers have the same count.
  /// - Complexity: 16 bytes read and 12 written an element.
  public func apply(
    to parameters: FloatBuffer, gradient: FloatBuffer, firstMoment: FloatBuffer,
    secondMoment: FloatBuffer
  ) {
    checkAlike([parameters, gradient, firstMoment, secondMoment])
    vd_kernel_adam(
      parameters.count, parameters.base, gradient.base, firstMoment.base, secondMoment.base,
      gradientScale, learningRate, betas.0, betas.1, epsilon, correction(betas.0),
      correction(betas.1), weightDecay, decouplesDecay ? 1 : 0)
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

/// sum += g²; p −= α g / (√sum + ε).
///
/// - Shape: All three buffers have the same count.
/// - Source: Duchi, Hazan & Singer 2011.
public func adagradUpdate(
  parameters: FloatBuffer, gradient: FloatBuffer, squaredSum: FloatBuffer, gradientScale: Float,
  learningRate: Float, epsilon: Float = 1e-10, weightDecay: Float
) {
  checkAlike([parameters, gradient, squaredSum])
  vd_kernel_adagrad(
    parameters.count, parameters.base, gradient.base, squaredSum.base, gradientScale,
    learningRate, epsilon, weightDecay)
}

/// velocity = momentum · velocity + g; p −= α · velocity.
///
/// - Shape: All three buffers have the same count.
public func momentumUpdate(
  parameters: FloatBuffer, gradient: FloatBuffer, velocity: FloatBuffer, gradientScale: Float,
  learningRate: Float, momentum: Float, weightDecay: Float
) {
  checkAlike([parameters, gradient, velocity])
  vd_kernel_sgd(
    parameters.count, parameters.base, gradient.base, velocity.base, gradientScale, learningRate,
    momentum, weightDecay)
}

/// Σ v², in double precision.
public func sumOfSquares(_ values: FloatBuffer) -> Double {
  vd_kernel_sum_of_squares(values.count, values.base)
}

/// destination += source, within a range of elements.
///
/// - Shape: Both have the same count.
public func add(_ source: FloatBuffer, to destination: FloatBuffer, range: Range<Int>) {
  checkAlike([source, destination])
  precondition(
    range.upperBound <= source.count, "Elements \(range) are outside 0..<\(source.count)")
  vd_kernel_add(
    range.count, source.base + range.lowerBound, destination.base + range.lowerBound)
}

private func checkAlike(_ buffers: [FloatBuffer]) {
  precondition(
    buffers.allSatisfy { $0.count == buffers[0].count },
    "Buffers of \(buffers.map(\.count)) elements do not belong together")
}
