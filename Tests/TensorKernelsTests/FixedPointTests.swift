import Foundation
import TensorKernels
import TestSupport
import Testing

/// Sums in fixed point: exact, in any order, and what does not fit is told.
@Suite struct FixedPointTests {
  static func buffers(_ count: Int, seed: UInt64) -> [FloatBuffer] {
    var random = TestRandom(seed: seed)
    return (0..<5).map { _ in
      FloatBuffer(
        (0..<count).map { _ in random.uniform(1)[0] * pow(10, random.uniform(1, in: -12...6)[0]) })
    }
  }

  // 5 to 10,007: whole blocks and what is left over.
  @Test(arguments: [5, 16, 2048, 10_007]) func sumsDoNotDependOnTheOrder(_ count: Int) {
    let values = Self.buffers(count, seed: UInt64(count))
    func sum(_ order: [Int], parts: Int) -> [Float] {
      let sums = (0..<parts).map { _ in FixedPointBuffer(count: count) }
      for (number, index) in order.enumerated() {
        let largest = sums[number % parts].take(
          values[index], scale: .usual, adds: number >= parts)
        #expect(largest == values[index].elements.map(\.magnitude).max())
      }
      let result = FloatBuffer.poisoned(count)
      GradientSum.fixedPoint(sums, .usual).write(0..<count, into: result)
      return result.values
    }
    let one = sum([0, 1, 2, 3, 4], parts: 1)
    #expect(sum([4, 2, 0, 3, 1], parts: 2) == one)
    #expect(sum([3, 1, 4, 0, 2], parts: 5) == one)
    for (index, value) in one.enumerated() {
      let exact = values.reduce(0.0) { $0 + Double($1.base[index]) }
      // Half a unit of 2⁻³⁶ for each value, and one rounding to a float.
      #expect(abs(Double(value) - exact) <= 5 * 0x1p-37 + abs(exact) * 0x1p-24)
    }
  }

  @Test func whatDoesNotFitIsTold() {
    let sums = FixedPointBuffer(count: 20)
    func largest(_ value: Float) -> Float {
      let values = FloatBuffer(count: 20)
      values.base[7] = value
      values.base[3] = 1
      return sums.take(values, scale: .usual, adds: false)
    }
    #expect(largest(-2) == 2)
    #expect(largest(.infinity) == .infinity)
    #expect(largest(.nan).isNaN && largest(-.nan).isNaN)
    #expect(FixedPointScale.usual.limit(ofEach: 2) == 0x1p25)
    // Coarser by steps until every float fits.
    var scale: FixedPointScale? = .usual
    var last = FixedPointScale.usual
    while let next = scale {
      last = next
      scale = next.coarser
    }
    #expect(last.limit(ofEach: 8) > .greatestFiniteMagnitude / 64)
    let values = FloatBuffer([1e36, -3e35, 0, 1])
    let coarse = FixedPointBuffer(count: 4)
    _ = coarse.take(values, scale: last, adds: false)
    let result = FloatBuffer(count: 4)
    GradientSum.fixedPoint([coarse], last).write(0..<4, into: result)
    #expect(abs(result.base[0] / 1e36 - 1) < 1e-6 && abs(result.base[1] / -3e35 - 1) < 1e-6)
  }

  @Test func blocksOfSquaresDoNotDependOnWhoAddsThem() {
    let values = Self.buffers(3 * sumOfSquaresBlock + 100, seed: 2)[0]
    func sums(_ bounds: [Int]) -> [Double] {
      var sums = [Double](repeating: 0, count: 4)
      sums.withUnsafeMutableBufferPointer { buffer in
        for (lower, upper) in zip(bounds, bounds.dropFirst()) {
          sumsOfSquares(values, lower..<upper, into: buffer)
        }
      }
      return sums
    }
    let whole = sums([0, values.count])
    #expect(sums([0, sumOfSquaresBlock, 3 * sumOfSquaresBlock, values.count]) == whole)
    #expect(abs(whole.reduce(0, +) / sumOfSquares(values) - 1) < 1e-12)
  }
}
