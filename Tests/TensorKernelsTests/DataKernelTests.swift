import TensorKernels
import TestSupport
import Testing

@Suite struct DataKernelTests {
  @Test(arguments: [0, 1, 15, 16, 17, 784]) func bytesAreScaled(_ count: Int) {
    let bytes = (0..<count).map { UInt8($0 % 256) }
    let result = FloatBuffer.poisoned(count)
    bytes.withUnsafeBufferPointer { convert($0, scale: 1 / 255, into: result.mutableElements) }
    #expect(result.values == bytes.map { Float(1) / 255 * Float($0) })
  }

  @Test func binarizationComparesWithTheUniforms() {
    let values = FloatBuffer([0, 0.5, 0.5, 1, 1])
    let uniforms = FloatBuffer([0, 0.49, 0.5, 0, 0.999])
    binarize(values.matrix(rows: 1, columns: 5), uniforms: uniforms.matrix(rows: 1, columns: 5))
    #expect(values.values == [0, 1, 0, 1, 1])
  }

  @Test(arguments: [1, 16, 1001]) func squaresAreSummedInDouble(_ count: Int) {
    var random = TestRandom(seed: UInt64(count))
    let buffer = FloatBuffer(random.uniform(count))
    let expected = buffer.values.reduce(0.0) { $0 + Double($1) * Double($1) }
    #expect(abs(sumOfSquares(buffer) - expected) <= 1e-14 * expected)
  }

  @Test func additionStaysInItsRange() {
    let sum = FloatBuffer([1, 2, 3, 4])
    add(FloatBuffer([10, 20, 30, 40]), to: sum, range: 1..<3)
    #expect(sum.values == [1, 22, 33, 4])
  }
}
