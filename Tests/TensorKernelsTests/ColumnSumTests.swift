import TensorKernels
import TestSupport
import Testing

@Suite struct ColumnSumTests {
  @Test func columnSumsFitEveryWidth() {
    for columns in [1, 7, 63, 64, 65, 128, 200] {
      var random = TestRandom(seed: UInt64(columns))
      let rows = 9
      let values = random.uniform(rows * columns)
      let expected = (0..<columns).map { j in
        (0..<rows).reduce(0) { $0 + values[$1 * columns + j] }
      }
      for stride in [columns, columns + 5] {
        let matrix = FloatBuffer.matrix(values, rows: rows, columns: columns, stride: stride)
        let sums = FloatBuffer.poisoned(columns)
        columnSums(of: matrix, into: sums.base)
        expectClose(sums.values, expected, within: 1e-6)
      }
    }
  }
}
