import Foundation
import TensorKernels
import TestSupport
import Testing
import VectorMathProbe

/// The error of the vectorised elementary functions, in units in the last place of the exact result.
///
/// The bounds are those that `vector_math.h` states. Every 211th float of the range is tried: all
/// exponents, and every pattern of the lowest bits.
@Suite struct VectorMathTests {
  typealias Kernel = (Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void

  /// The largest error over the floats between two positive ones.
  static func largestError(
    from low: Float, to high: Float, sign: Float = 1, of kernel: Kernel,
    against reference: (Double) -> Double
  ) -> (ulps: Double, at: Float) {
    let bits = stride(from: low.bitPattern, through: high.bitPattern, by: 211)
    let inputs = bits.map { sign * Float(bitPattern: $0) }
    var outputs = [Float](repeating: .nan, count: inputs.count)
    kernel(inputs.count, inputs, &outputs)
    var worst = (ulps: 0.0, at: Float.nan)
    for (input, output) in zip(inputs, outputs) {
      let exact = reference(Double(input))
      // In double, since other tests make their threads treat small floats as zero.
      let error = abs(Double(output) - exact) / (exact.magnitude.binade * 0x1p-23)
      if !(error <= worst.ulps) { worst = (error, input) }
    }
    return worst
  }

  @Test(arguments: [Float(1), -1]) func exponential(sign: Float) {
    let worst = Self.largestError(
      from: 1e-30, to: sign > 0 ? 88.3 : 87.3, sign: sign, of: vd_probe_exp, against: exp)
    #expect(worst.ulps < 1.25, "\(worst)")
  }

  @Test func logarithmOfOnePlus() {
    let worst = Self.largestError(
      from: 1e-30, to: 1, of: vd_probe_log1p_unit, against: log1p)
    #expect(worst.ulps < 2, "\(worst)")
  }

  @Test(arguments: [(Float(0x1p-126), Float(0.7)), (0.7, 1.4), (1.4, 3e38)])
  func logarithm(low: Float, high: Float) {
    let worst = Self.largestError(from: low, to: high, of: vd_probe_log, against: log)
    #expect(worst.ulps < 2, "\(worst)")
  }

  @Test(arguments: [Float(1), -1]) func hyperbolicTangent(sign: Float) {
    let worst = Self.largestError(
      from: 1e-30, to: 60, sign: sign, of: vd_probe_tanh, against: tanh)
    #expect(worst.ulps < 3, "\(worst)")
  }

  @Test(arguments: [(Float(1), Float(1e30)), (-1, 0.99)])
  func logarithmOfOnePlusAnything(sign: Float, high: Float) {
    let worst = Self.largestError(
      from: 1e-30, to: high, sign: sign, of: vd_probe_log1p, against: log1p)
    #expect(worst.ulps < 3, "\(worst)")
  }

  @Test(arguments: [Float(1), -1]) func fusedHyperbolicTangent(sign: Float) throws {
    // oneDNN's, through a product by one.
    let worst = try Self.largestErrorOfFused(.tanh, sign: sign, to: 12, against: tanh)
    #expect(worst.ulps < 1.5, "\(worst)")
  }

  @Test(arguments: [Float(1), -1]) func fusedSigmoid(sign: Float) throws {
    let worst = try Self.largestErrorOfFused(.sigmoid, sign: sign, to: 80) { 1 / (1 + exp(-$0)) }
    #expect(worst.ulps < 5, "\(worst)")
  }

  static func largestErrorOfFused(
    _ activation: Activation, sign: Float, to high: Float, against reference: (Double) -> Double
  ) throws -> (ulps: Double, at: Float) {
    let width = 4096
    let product = MatrixProduct(
      .forward, leading: 1, columns: width, hasBias: true, activation: activation)
    let one = FloatBuffer([1]).matrix(rows: 1, columns: 1)
    let zeros = FloatBuffer(count: width)
    let (row, result) = (FloatBuffer(count: width), FloatBuffer(count: width))
    return largestError(
      from: 1e-6, to: high, sign: sign,
      of: { count, inputs, outputs in
        for start in stride(from: 0, to: count, by: width) {
          let part = min(width, count - start)
          row.base.update(from: inputs + start, count: part)
          do {
            try product.run(
              one, row.matrix(rows: 1, columns: width), bias: zeros.base,
              into: result.matrix(rows: 1, columns: width))
          } catch {
            Issue.record(error)
          }
          (outputs + start).update(from: result.base, count: part)
        }
      }, against: reference)
  }
}
