import TensorKernels
import TestSupport
import Testing

/// What updates say of what they have written; what they write is held to PyTorch in `GoldenTests`.
@Suite struct OptimizerKernelTests {
  // A ReLU makes 0 of NaN, so the ELBO need not show a gradient that is none.
  @Test(arguments: [nil, Float.nan, .infinity, -.infinity, 1e38])
  func updatesTellWhetherParametersAreStillNumbers(_ bad: Float?) {
    for position in [0, 5, 36] {
      let gradient = FloatBuffer((0..<37).map { Double($0) / 100 })
      if let bad { gradient.base[position] = bad }
      let isFine = bad?.isFinite ?? true
      func buffer(_ value: Double) -> FloatBuffer {
        FloatBuffer([Double](repeating: value, count: 37))
      }
      let adam = AdamUpdate(gradientScale: 1, learningRate: 0.1, step: 1)
      // The square of 10³⁸ is infinite, and so every later step would be 0.
      let isSmall = isFine && (bad ?? 0) < 1e19
      #expect(
        adam.apply(
          to: buffer(1), 0..<37, gradient: gradient.base, firstMoment: buffer(0),
          secondMoment: buffer(0)) == isSmall)
      #expect(
        adagradUpdate(
          0..<37, parameters: buffer(1), gradient: gradient.base, squaredSum: buffer(0),
          gradientScale: 1, learningRate: 0.1, weightDecay: 0) == isSmall)
      #expect(
        momentumUpdate(
          0..<37, parameters: buffer(1), gradient: gradient.base, velocity: buffer(0),
          gradientScale: 1, learningRate: 0.1, momentum: 0.9, weightDecay: 0) == isFine)
    }
  }
}
