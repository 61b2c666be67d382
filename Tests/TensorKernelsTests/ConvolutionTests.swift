import TensorKernels
import TestSupport
import Testing

/// Convolutions and normalization against plain loops in Double.
@Suite struct ConvolutionTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let source: Extents
    let channels: Int
    let kernel: Int
    let stride: Int
    let padding: Int
    let batch: Int
    var testDescription: String {
      "\(batch) of \(source) to \(channels), \(kernel)/\(stride)/\(padding)"
    }

    var shape: ConvolutionShape {
      func extent(_ pixels: Int) -> Int {
        ConvolutionShape.outputExtent(pixels, kernel: kernel, stride: stride, padding: padding)
      }
      return ConvolutionShape(
        source: source,
        destination: Extents(
          height: extent(source.height), width: extent(source.width), channels: channels),
        kernel: kernel, stride: stride, padding: padding)
    }
  }

  // Channels that fill a vector, that do not, and one; windows that leave pixels over at the edge.
  static let cases = [
    Case(
      source: Extents(height: 8, width: 6, channels: 1), channels: 16, kernel: 4, stride: 2,
      padding: 1, batch: 3),
    Case(
      source: Extents(height: 7, width: 5, channels: 16), channels: 32, kernel: 3, stride: 2,
      padding: 1, batch: 2),
    Case(
      source: Extents(height: 6, width: 6, channels: 3), channels: 5, kernel: 5, stride: 1,
      padding: 2, batch: 4),
    Case(
      source: Extents(height: 9, width: 4, channels: 17), channels: 2, kernel: 2, stride: 3,
      padding: 0, batch: 1),
    Case(
      source: Extents(height: 4, width: 4, channels: 8), channels: 8, kernel: 1, stride: 1,
      padding: 0, batch: 5),
  ]

  /// Calls the body for every product of a convolution: example, destination, source and weight.
  static func forEachProduct(_ test: Case, _ body: (_ d: Int, _ s: Int, _ w: Int, _ o: Int) -> Void)
  {
    let (shape, k) = (test.shape, test.kernel)
    let (from, to) = (shape.source, shape.destination)
    for n in 0..<test.batch {
      for y in 0..<to.height {
        for x in 0..<to.width {
          for o in 0..<to.channels {
            for c in 0..<from.channels {
              for i in 0..<k {
                for j in 0..<k {
                  let (row, column) = (
                    test.stride * y + i - test.padding, test.stride * x + j - test.padding
                  )
                  if row < 0 || column < 0 || row >= from.height || column >= from.width {
                    continue
                  }
                  body(
                    ((n * to.height + y) * to.width + x) * to.channels + o,
                    ((n * from.height + row) * from.width + column) * from.channels + c,
                    ((o * from.channels + c) * k + i) * k + j, o)
                }
              }
            }
          }
        }
      }
    }
  }

  @Test(arguments: cases, [Precision.f32, .bf16]) func allThreeOperandsAgreeWithLoops(
    _ test: Case, precision: Precision
  ) throws {
    if precision == .bf16 && !processorHasBFloat16 { return }
    let shape = test.shape
    let (from, to) = (shape.source.count, shape.destination.count)
    let weightCount = shape.weightExtents.rows * shape.weightExtents.columns
    var random = TestRandom(seed: 11)
    // Values that bfloat16 holds exactly.
    func values(_ count: Int) -> [Double] {
      (0..<count).map { _ in Double(Int.random(in: -16...16, using: &random)) / 16 }
    }
    let source = values(test.batch * from)
    let weights = values(weightCount)
    let bias = values(shape.destination.channels)
    let gradient = values(test.batch * to)
    var expected = (0..<test.batch * to).map { bias[$0 % shape.destination.channels] }
    var sourceGradient = [Double](repeating: 0, count: source.count)
    var weightGradient = [Double](repeating: 0, count: weightCount)
    Self.forEachProduct(test) { d, s, w, _ in
      expected[d] += source[s] * weights[w]
      sourceGradient[s] += gradient[d] * weights[w]
      weightGradient[w] += gradient[d] * source[s]
    }
    func matrix(_ values: [Double], _ columns: Int) -> MatrixView {
      FloatBuffer(values).matrix(rows: values.count / columns, columns: columns)
    }
    func poisoned(_ count: Int, _ columns: Int) -> MatrixView {
      FloatBuffer.poisoned(count).matrix(rows: count / columns, columns: columns)
    }
    let convolution = Convolution(
      shape, hasBias: true, activation: .tanh, precision: precision)
    let biases = FloatBuffer(bias)
    let flat = matrix(weights, shape.weightExtents.columns)
    let output = poisoned(expected.count, to)
    let below = poisoned(source.count, from)
    let slopes = poisoned(weightCount, shape.weightExtents.columns)
    if precision == .bf16 {
      let rounded = BFloat16Buffer(count: source.count).roundDensely(matrix(source, from))
      let slope = BFloat16Buffer(count: gradient.count).roundDensely(matrix(gradient, to))
      try convolution.forward(rounded, weights: flat, bias: biases.base, into: output)
      try convolution.sourceGradient(slope, weights: flat, into: below)
      try convolution.weightGradient(rounded, slope, into: slopes)
    } else {
      try convolution.forward(
        matrix(source, from), weights: flat, bias: biases.base, into: output)
      try convolution.sourceGradient(matrix(gradient, to), weights: flat, into: below)
      try convolution.weightGradient(matrix(source, from), matrix(gradient, to), into: slopes)
    }
    withExtendedLifetime(biases) {}
    expectClose(
      output.elements, expected.map(ReferenceScalars(.tanh).value), within: 1e-6, "forward")
    expectClose(below.elements, sourceGradient, within: 1e-6, "source gradient")
    expectClose(slopes.elements, weightGradient, within: 1e-6, "weight gradient")
  }

  @Test func anEmptyBatchGivesZeroGradients() throws {
    let shape = Self.cases[0].shape
    let convolution = Convolution(shape)
    let nothing = FloatBuffer(count: 0)
    let slopes = FloatBuffer.poisoned(16 * 16).matrix(rows: 16, columns: 16)
    try convolution.weightGradient(
      nothing.matrix(rows: 0, columns: shape.source.count),
      nothing.matrix(rows: 0, columns: shape.destination.count), into: slopes)
    #expect(slopes.elements.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [(12, 1, 1), (12, 3, 4), (12, 12, 5), (1, 1, 9)])
  func normalizationAgreesWithLoops(channels: Int, groups: Int, pixels: Int) {
    let (batch, width) = (3, channels / groups)
    let count = channels * pixels
    var random = TestRandom(seed: 3)
    // Far from zero, where variances about zero would cancel.
    let x = random.normal(batch * count).map { Double(Float(100 + $0)) }
    let g = random.normal(batch * count).map { Double(Float($0)) }
    let scale = random.normal(channels).map { Double(Float($0)) }
    let shift = random.normal(channels).map { Double(Float($0)) }
    func members(_ n: Int, _ group: Int) -> [Int] {
      (0..<pixels).flatMap { p in
        (0..<width).map { n * count + p * channels + group * width + $0 }
      }
    }
    func forward(_ x: [Double], _ scale: [Double], _ shift: [Double]) -> [Double] {
      var y = x
      for n in 0..<batch {
        for group in 0..<groups {
          let own = members(n, group)
          let mean = own.reduce(0) { $0 + x[$1] } / Double(own.count)
          let variance = own.reduce(0) { $0 + (x[$1] - mean) * (x[$1] - mean) } / Double(own.count)
          for i in own {
            y[i] =
              (x[i] - mean) / (variance + 1e-5).squareRoot() * scale[i % channels]
              + shift[i % channels]
          }
        }
      }
      return y
    }
    // The gradient by central differences of Σ g y.
    func slope(_ change: (Double) -> [Double]) -> Double {
      let h = 1e-4
      return zip(g, zip(change(h), change(-h))).reduce(0) { $0 + $1.0 * ($1.1.0 - $1.1.1) }
        / (2 * h)
    }
    func changed(_ values: [Double], _ index: Int, _ h: Double) -> [Double] {
      var values = values
      values[index] += h
      return values
    }
    let normalization = GroupNormalization(
      Extents(height: pixels, width: 1, channels: channels), groups: groups, capacity: batch)
    let inputs = FloatBuffer(x).matrix(rows: batch, columns: count)
    let outputs = FloatBuffer.poisoned(batch * count).matrix(rows: batch, columns: count)
    let (scales, shifts) = (FloatBuffer(scale), FloatBuffer(shift))
    defer { withExtendedLifetime((scales, shifts)) {} }
    normalization.forward(inputs, scales: scales.base, shifts: shifts.base, into: outputs)
    // A mean near 100 is rounded to 4·10⁻⁶.
    expectClose(outputs.elements, forward(x, scale, shift), within: 2e-5, "outputs")
    let gradient = FloatBuffer(g).matrix(rows: batch, columns: count)
    let (scaleGradient, shiftGradient) = (
      FloatBuffer.poisoned(channels), FloatBuffer.poisoned(channels)
    )
    normalization.backward(
      gradient, inputs: inputs, scales: scales.base, scaleGradient: scaleGradient.base,
      shiftGradient: shiftGradient.base)
    if pixels * width > 1 {
      expectClose(
        gradient.elements,
        x.indices.map { i in slope { forward(changed(x, i, $0), scale, shift) } }, within: 1e-4,
        "inputs")
    }
    expectClose(
      scaleGradient.values,
      scale.indices.map { i in slope { forward(x, changed(scale, i, $0), shift) } }, within: 1e-4,
      "scales")
    expectClose(
      shiftGradient.values,
      shift.indices.map { i in slope { forward(x, scale, changed(shift, i, $0)) } }, within: 1e-6,
      "shifts")
  }

  @Test func droppedNumbersAreZeroAndTheOthersLarger() {
    let uniform: [Double] = [0, 0.24, 0.25, 0.5, 0.99]
    let factors = FloatBuffer(uniform).matrix(rows: 1, columns: 5)
    let inputs = FloatBuffer([1, 2, 3, 4, -5]).matrix(rows: 1, columns: 5)
    let outputs = FloatBuffer.poisoned(5).matrix(rows: 1, columns: 5)
    dropOut(inputs, probability: 0.25, factors: factors, into: outputs)
    expectClose(outputs.elements, [0, 0, 4, 16.0 / 3, -20.0 / 3], within: 1e-7)
    multiply(outputs, by: factors)
    expectClose(outputs.elements, [0, 0, 16.0 / 3, 64.0 / 9, -80.0 / 9], within: 1e-7)
  }

  @Test(arguments: [1, 3, 17, 64, 100, 300]) func biasesReachTheirChannels(channels: Int) {
    let rows = 19
    let bias = (0..<channels).map { Double($0) + 0.5 }
    let values = FloatBuffer((0..<rows * channels).map { Double($0 % 11) })
    let biases = FloatBuffer(bias)
    withExtendedLifetime(biases) {
      addBias(
        biases.base, columns: channels, to: values.matrix(rows: 1, columns: rows * channels))
    }
    #expect(
      values.values == (0..<rows * channels).map { Float($0 % 11) + Float(bias[$0 % channels]) })
  }
}
