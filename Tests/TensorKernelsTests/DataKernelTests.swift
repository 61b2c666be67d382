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

  @Test(arguments: 1...4) func sumsStayInTheirRange(_ count: Int) {
    func values(_ weight: Int) -> [Double] { (0..<10_000).map { Double(($0 % 97) * weight) } }
    let sources: [FloatBuffer] = (1...count).map { FloatBuffer(values($0)) }
    let total = FloatBuffer.poisoned(10_000)
    let range = 3..<9_001
    sum(sources, range, into: total)
    let expected = values(count * (count + 1) / 2)[range].map { Float($0) }
    #expect(Array(total.values[range]) == expected)
    let outside = total.values[..<range.lowerBound] + total.values[range.upperBound...]
    #expect(outside.allSatisfy { $0.isNaN })
    // In place of the first one, as threads do it.
    sum(sources, range, into: sources[0])
    #expect(sources[0].values[range] == total.values[range])
  }

  @Test(arguments: [1, 3, 16, 784]) func rowsOfBytesAreGathered(columns: Int) {
    let bytes = (0..<50 * columns).map { UInt8($0 * 7 % 256) }
    let rows: [UInt32] = [49, 0, 3, 3, 17, 48]
    for count in 0...rows.count {
      let chosen = Array(rows.prefix(count))
      let result = FloatBuffer.poisoned(rows.count * columns)
      bytes.withUnsafeBytes { bytes in
        chosen.withUnsafeBufferPointer {
          gather(
            $0, of: bytes, scale: 0.5, into: result.matrix(rows: count, columns: columns))
        }
      }
      let expected: [Float] = chosen.flatMap { row in
        bytes[Int(row) * columns..<(Int(row) + 1) * columns].map { 0.5 * Float($0) }
      }
      #expect(Array(result.values.prefix(count * columns)) == expected)
      #expect(result.values.dropFirst(count * columns).allSatisfy { $0.isNaN })
    }
  }

  @Test func bfloat16IsRoundedToTheNearest() {
    // Exact, below a tie, a tie to even downward and upward, above a tie, and what is not finite.
    let cases: [(UInt32, UInt16)] = [
      (0x3f80_0000, 0x3f80), (0x3f80_7fff, 0x3f80), (0x3f80_8000, 0x3f80),
      (0x3f81_8000, 0x3f82), (0x3f80_8001, 0x3f81), (0xc2f7_e979, 0xc2f8),
      (0x7f80_0000, 0x7f80), (0xff80_0000, 0xff80), (0x7f7f_ffff, 0x7f80), (0, 0),
      (0x8000_0000, 0x8000),
    ]
    let source = FloatBuffer(cases.map { Double(Float(bitPattern: $0.0)) } + [Double.nan])
    var rounded = [UInt16](repeating: 0xabcd, count: cases.count + 1)
    rounded.withUnsafeMutableBufferPointer { roundToBFloat16(source.elements, into: $0) }
    #expect(Array(rounded.dropLast()) == cases.map(\.1))
    let back = FloatBuffer.poisoned(rounded.count)
    rounded.withUnsafeBufferPointer { widenBFloat16($0, into: back.mutableElements) }
    #expect(back.values.dropLast().map(\.bitPattern) == cases.map { UInt32($0.1) << 16 })
    #expect(back.values.last?.isNaN == true)
  }
}
