import TensorKernels
import TestSupport
import Testing

@Suite struct MatrixProductTests {
  static let shapes = [
    (1, 1, 1), (1, 5, 3), (4, 1, 7), (3, 17, 1), (5, 33, 31), (50, 20, 64), (100, 129, 40),
    (128, 784, 16),
  ]

  // A sum of k products of floats of size one, in any order: relative error of about √k · 2⁻²⁴
  // norm-wise; 16 leaves room for the order of summation.
  static func bound(_ inner: Int) -> Double { 16 * Double(inner).squareRoot() * 0x1p-24 }

  static func naive(
    _ a: [Double], _ b: [Double], _ rows: Int, _ inner: Int, _ columns: Int
  )
    -> [Double]
  {
    (0..<rows * columns).map { index in
      let (i, j) = (index / columns, index % columns)
      return (0..<inner).reduce(0) { $0 + a[i * inner + $1] * b[$1 * columns + j] }
    }
  }

  static func transposed(_ a: [Double], _ rows: Int, _ columns: Int) -> [Double] {
    (0..<rows * columns).map { a[$0 % rows * columns + $0 / rows] }
  }

  @Test(arguments: shapes) func forwardAddsTheBias(_ b: Int, _ inputs: Int, _ outputs: Int) throws {
    var random = TestRandom(seed: UInt64(b * 1000 + inputs))
    let x = random.uniform(b * inputs)
    let w = random.uniform(inputs * outputs)
    let bias = random.uniform(outputs)
    let product = MatrixProduct(.forward, leading: inputs, columns: outputs, hasBias: true)
    let output = FloatBuffer.poisoned(b * outputs)
    let biases = FloatBuffer(bias)
    try product.run(
      FloatBuffer(x).matrix(rows: b, columns: inputs),
      FloatBuffer(w).matrix(rows: inputs, columns: outputs), bias: biases.base,
      into: output.matrix(rows: b, columns: outputs))
    let expected = Self.naive(x, w, b, inputs, outputs).enumerated().map {
      $1 + bias[$0 % outputs]
    }
    expectClose(output.values, expected, within: Self.bound(inputs))
  }

  @Test(arguments: shapes) func inputGradientTransposesTheWeights(
    _ b: Int, _ inputs: Int, _ outputs: Int
  ) throws {
    var random = TestRandom(seed: UInt64(b * 1000 + inputs + 1))
    let g = random.uniform(b * outputs)
    let w = random.uniform(inputs * outputs)
    let product = MatrixProduct(.inputGradient, leading: outputs, columns: inputs)
    let result = FloatBuffer.poisoned(b * inputs)
    try product.run(
      FloatBuffer(g).matrix(rows: b, columns: outputs),
      FloatBuffer(w).matrix(rows: inputs, columns: outputs),
      into: result.matrix(rows: b, columns: inputs))
    let expected = Self.naive(g, Self.transposed(w, inputs, outputs), b, outputs, inputs)
    expectClose(result.values, expected, within: Self.bound(outputs))
  }

  @Test(arguments: shapes, [false, true]) func weightGradientSumsOverTheBatch(
    _ shape: (Int, Int, Int), accumulates: Bool
  ) throws {
    let (b, inputs, outputs) = shape
    var random = TestRandom(seed: UInt64(b * 1000 + inputs + 2))
    let x = random.uniform(b * inputs)
    let g = random.uniform(b * outputs)
    let start = random.uniform(inputs * outputs)
    let product = MatrixProduct(
      .weightGradient(accumulates: accumulates), leading: inputs, columns: outputs)
    let result = accumulates ? FloatBuffer(start) : .poisoned(inputs * outputs)
    try product.run(
      FloatBuffer(x).matrix(rows: b, columns: inputs),
      FloatBuffer(g).matrix(rows: b, columns: outputs),
      into: result.matrix(rows: inputs, columns: outputs))
    var expected = Self.naive(Self.transposed(x, b, inputs), g, inputs, b, outputs)
    if accumulates { expected = zip(expected, start).map(+) }
    expectClose(result.values, expected, within: Self.bound(b))
  }

  @Test(arguments: Activation.allCases.filter { !$0.needsInputs }) func activationsAreFused(
    _ activation: Activation
  ) throws {
    // Products of one factor each, so that the activation's own error shows.
    let values = (0..<2001).map { Double($0 - 1000) / 100 }
    let product = MatrixProduct(
      .forward, leading: 1, columns: values.count, hasBias: true, activation: activation)
    let output = FloatBuffer.poisoned(values.count)
    let zeros = FloatBuffer(count: values.count)
    try product.run(
      FloatBuffer([1]).matrix(rows: 1, columns: 1),
      FloatBuffer(values).matrix(rows: 1, columns: values.count),
      bias: zeros.base,
      into: output.matrix(rows: 1, columns: values.count))
    let reference = ReferenceScalars(activation)
    for (value, result) in zip(values, output.values) {
      let expected = reference.value(Double(Float(value)))
      #expect(abs(Double(result) - expected) <= 2e-6 * max(1, abs(expected)), "f(\(value))")
    }
  }

  @Test func anEmptyBatchGivesZeroGradientsAndNoRows() throws {
    let gradient = FloatBuffer.poisoned(6)
    try MatrixProduct(.weightGradient(accumulates: false), leading: 2, columns: 3).run(
      FloatBuffer(count: 0).matrix(rows: 0, columns: 2),
      FloatBuffer(count: 0).matrix(rows: 0, columns: 3), into: gradient.matrix(rows: 2, columns: 3))
    #expect(gradient.values == [0, 0, 0, 0, 0, 0])
    let kept = FloatBuffer([1, 2, 3, 4, 5, 6])
    try MatrixProduct(.weightGradient(accumulates: true), leading: 2, columns: 3).run(
      FloatBuffer(count: 0).matrix(rows: 0, columns: 2),
      FloatBuffer(count: 0).matrix(rows: 0, columns: 3), into: kept.matrix(rows: 2, columns: 3))
    #expect(kept.values == [1, 2, 3, 4, 5, 6])
  }

  @Test func onePlanServesSeveralBatches() throws {
    let product = MatrixProduct(.forward, leading: 2, columns: 2, hasBias: true)
    let weights = FloatBuffer([1, 2, 3, 4])
    let bias = FloatBuffer([10, 20])
    for batch in [3, 1, 3, 2] {
      let x = FloatBuffer((0..<batch * 2).map(Double.init))
      let output = FloatBuffer.poisoned(batch * 2)
      try product.run(
        x.matrix(rows: batch, columns: 2), weights.matrix(rows: 2, columns: 2), bias: bias.base,
        into: output.matrix(rows: batch, columns: 2))
      let expected = (0..<batch).flatMap { row in
        let (a, b) = (Float(2 * row), Float(2 * row + 1))
        return [a + 3 * b + 10, 2 * a + 4 * b + 20]
      }
      #expect(output.values == expected)
    }
  }

  // "Cannot multiply [2, 3] by [2, 2] into [2, 2]"
  @Test func shapesThatDoNotFitStopAtOnce() async {
    await #expect(processExitsWith: .failure) {
      let product = MatrixProduct(.forward, leading: 2, columns: 2)
      try product.run(
        FloatBuffer(count: 6).matrix(rows: 2, columns: 3),
        FloatBuffer(count: 4).matrix(rows: 2, columns: 2),
        into: FloatBuffer(count: 4).matrix(rows: 2, columns: 2))
    }
  }
}
