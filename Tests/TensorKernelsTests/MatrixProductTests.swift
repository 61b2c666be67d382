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

  @Test(arguments: shapes) func weightGradientSumsOverTheBatch(
    _ shape: (Int, Int, Int)
  ) throws {
    let (b, inputs, outputs) = shape
    var random = TestRandom(seed: UInt64(b * 1000 + inputs + 2))
    let x = random.uniform(b * inputs)
    let g = random.uniform(b * outputs)
    let product = MatrixProduct(.weightGradient, leading: inputs, columns: outputs)
    let result = FloatBuffer.poisoned(inputs * outputs)
    let (source, gradient) = (
      FloatBuffer(x).matrix(rows: b, columns: inputs),
      FloatBuffer(g).matrix(rows: b, columns: outputs)
    )
    try product.run(source, gradient, into: result.matrix(rows: inputs, columns: outputs))
    let expected = Self.naive(Self.transposed(x, b, inputs), g, inputs, b, outputs)
    expectClose(result.values, expected, within: Self.bound(b))

    // Some rows only.
    let rows = inputs / 3..<(inputs + 1) / 2
    if rows.isEmpty { return }
    let part = FloatBuffer.poisoned(rows.count * outputs)
    try product.run(
      source, gradient, into: part.matrix(rows: rows.count, columns: outputs), rows: rows)
    expectClose(
      part.values, Array(expected[rows.lowerBound * outputs..<rows.upperBound * outputs]),
      within: Self.bound(b))
  }

  @Test(arguments: [(3, 5, 7), (50, 100, 130)]) func rowsMayLieApart(
    _ b: Int, _ inputs: Int, _ outputs: Int
  ) throws {
    var random = TestRandom(seed: UInt64(b))
    let (x, w, g) = (
      random.uniform(b * inputs), random.uniform(inputs * outputs), random.uniform(b * outputs)
    )
    func apart(_ values: [Double], _ rows: Int, _ columns: Int, by gap: Int) -> MatrixView {
      FloatBuffer.matrix(values, rows: rows, columns: columns, stride: columns + gap)
    }
    func poisoned(_ rows: Int, _ columns: Int, by gap: Int) -> MatrixView {
      apart(Array(repeating: .nan, count: rows * columns), rows, columns, by: gap)
    }
    let (source, weights, gradient) = (
      apart(x, b, inputs, by: 1), apart(w, inputs, outputs, by: 2), apart(g, b, outputs, by: 3)
    )
    let zeros = FloatBuffer(count: outputs)
    let forward = poisoned(b, outputs, by: 4)
    try MatrixProduct(.forward, leading: inputs, columns: outputs, hasBias: true).run(
      source, weights, bias: zeros.base, into: forward)
    expectClose(
      forward.values, Self.naive(x, w, b, inputs, outputs), within: Self.bound(inputs))
    let weightGradient = poisoned(inputs, outputs, by: 5)
    try MatrixProduct(.weightGradient, leading: inputs, columns: outputs).run(
      source, gradient, into: weightGradient)
    expectClose(
      weightGradient.values, Self.naive(Self.transposed(x, b, inputs), g, inputs, b, outputs),
      within: Self.bound(b))
    let inputGradient = poisoned(b, inputs, by: 6)
    try MatrixProduct(.inputGradient, leading: outputs, columns: inputs).run(
      gradient, weights, into: inputGradient)
    expectClose(
      inputGradient.values, Self.naive(g, Self.transposed(w, inputs, outputs), b, outputs, inputs),
      within: Self.bound(outputs))
    for written in [forward, weightGradient, inputGradient] {
      #expect(written.gaps.count { !$0.isNaN } == 0)
    }
  }

  @Test func rowsOfOperandsAreAnOddNumberOfCacheLines() {
    for (columns, stride) in [
      (20, 20), (100, 112), (128, 144), (400, 400), (500, 528), (512, 528), (784, 784),
      (3072, 3088),
    ] {
      #expect(FloatBuffer.rowStride(columns: columns) == stride)
    }
  }

  @Test(.enabled(if: processorHasBFloat16), arguments: shapes)
  func bfloat16OperandsAreAddedInSinglePrecision(_ shape: (Int, Int, Int)) throws {
    let (b, inputs, outputs) = shape
    var random = TestRandom(seed: UInt64(b * 1000 + inputs + 3))
    // Operands that are exact in bfloat16, so that only the sums can differ.
    func exact(_ count: Int) -> [Double] {
      random.uniform(count).map {
        Double(Float(bitPattern: Float($0).bitPattern & 0xffff_0000))
      }
    }
    let (x, w, g) = (exact(b * inputs), exact(inputs * outputs), exact(b * outputs))
    func rounded(_ values: [Double], _ rows: Int, _ columns: Int) -> BFloat16View {
      BFloat16Buffer(rows: rows, columns: columns).round(
        FloatBuffer(values).matrix(rows: rows, columns: columns))
    }
    let (source, weights, gradient) = (
      rounded(x, b, inputs), rounded(w, inputs, outputs), rounded(g, b, outputs)
    )
    let zeros = FloatBuffer(count: outputs)
    let forward = FloatBuffer.poisoned(b * outputs)
    try MatrixProduct(
      .forward, leading: inputs, columns: outputs, hasBias: true, precision: .bf16
    ).run(
      source, weights, bias: zeros.base, into: forward.matrix(rows: b, columns: outputs))
    expectClose(
      forward.values, Self.naive(x, w, b, inputs, outputs), within: Self.bound(inputs))
    let weightGradient = FloatBuffer.poisoned(inputs * outputs)
    try MatrixProduct(.weightGradient, leading: inputs, columns: outputs, precision: .bf16).run(
      source, gradient, into: weightGradient.matrix(rows: inputs, columns: outputs))
    expectClose(
      weightGradient.values, Self.naive(Self.transposed(x, b, inputs), g, inputs, b, outputs),
      within: Self.bound(b))
    let inputGradient = FloatBuffer.poisoned(b * inputs)
    try MatrixProduct(.inputGradient, leading: outputs, columns: inputs, precision: .bf16).run(
      gradient, weights, into: inputGradient.matrix(rows: b, columns: inputs))
    expectClose(
      inputGradient.values, Self.naive(g, Self.transposed(w, inputs, outputs), b, outputs, inputs),
      within: Self.bound(outputs))
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
    try MatrixProduct(.weightGradient, leading: 2, columns: 3).run(
      FloatBuffer(count: 0).matrix(rows: 0, columns: 2),
      FloatBuffer(count: 0).matrix(rows: 0, columns: 3), into: gradient.matrix(rows: 2, columns: 3))
    #expect(gradient.values == [0, 0, 0, 0, 0, 0])
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
