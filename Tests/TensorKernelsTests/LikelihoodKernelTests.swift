import Foundation
import TensorKernels
import TestSupport
import Testing

@Suite struct LikelihoodKernelTests {
  // One column a row: each figure is one value of the function.
  @Test func bernoulliIsAccurateForEveryLogit() {
    let logits = (-3000...3000).map { Double(Float(Double($0) / 30)) }
    for x in [0.0, 0.25, 1] {
      let gradient = FloatBuffer.poisoned(logits.count)
      let data = FloatBuffer([Double](repeating: x, count: logits.count))
      let figures = withFigures(logits.count) {
        bernoulliLogLikelihood(
          of: data.matrix(rows: logits.count, columns: 1),
          logits: FloatBuffer(logits).matrix(rows: logits.count, columns: 1), draws: 1, scale: 2,
          into: $0, gradient: gradient.matrix(rows: logits.count, columns: 1))
      }
      for (index, l) in logits.enumerated() {
        let expected = x * l - max(l, 0) - log1p(exp(-abs(l)))
        // Below e^−87 the exponential is held at e^−87, which is 0 beside anything of size one.
        #expect(
          abs(figures[index] - expected) <= 3e-7 * abs(expected) + 1e-36, "logit \(l), x \(x)")
        let slope = 2 * (1 / (1 + exp(-l)) - x)
        #expect(abs(Double(gradient.base[index]) - slope) <= 4e-7, "logit \(l), x \(x)")
      }
    }
  }

  @Test(arguments: [1, 3, 16, 17, 784, 5000], [1, 3]) func rowsAreSummedInNats(
    width: Int, draws: Int
  ) {
    var random = TestRandom(seed: UInt64(width + draws))
    let examples = 3
    let x = random.uniform(examples * width, in: 0...1)
    let m = random.uniform(examples * draws * width, in: -4...4)
    let v = random.uniform(examples * draws * width, in: -3...3)
    for likelihood in ["bernoulli", "gaussian", "gaussian-sigmoid"] {
      let reference = ReferenceVAE(
        inputs: width, hidden: [], latent: 1, activation: "tanh", likelihood: likelihood)
      let isBernoulli = likelihood == "bernoulli"
      var parameters: [Double] = []
      for row in 0..<examples * draws {
        parameters += m[row * width..<(row + 1) * width]
        if !isBernoulli { parameters += v[row * width..<(row + 1) * width] }
      }
      let rows = examples * draws
      let columns = isBernoulli ? width : 2 * width
      let buffer = FloatBuffer(parameters)
      let view = buffer.matrix(rows: rows, columns: columns)
      let data = FloatBuffer(x).matrix(rows: examples, columns: width)
      let score = { (figures: UnsafeMutableBufferPointer<Double>, gradient: MatrixView?) in
        if isBernoulli {
          bernoulliLogLikelihood(
            of: data, logits: view, draws: draws, scale: 0.5, into: figures, gradient: gradient)
        } else {
          gaussianLogLikelihood(
            of: data, parameters: view, sigmoidMean: likelihood == "gaussian-sigmoid",
            draws: draws, scale: 0.5, into: figures, gradient: gradient)
        }
      }
      let alone = withFigures(rows) { score($0, nil) }
      // In place: the gradient takes the parameters' room.
      let together = withFigures(rows) { score($0, view) }
      var values: [Double] = []
      var gradients: [Double] = []
      for row in 0..<rows {
        let start = row / draws * width
        let scored = reference.logLikelihood(
          Array(x[start..<start + width]),
          [m, v].prefix(isBernoulli ? 1 : 2).map { Array($0[row * width..<(row + 1) * width]) })
        values.append(scored.value)
        gradients += scored.gradients.flatMap { $0.map { -0.5 * $0 } }
      }
      expectClose(alone, values, within: 2e-6, "\(likelihood) \(width)")
      expectClose(together, values, within: 2e-6, "\(likelihood) \(width) with gradient")
      expectClose(buffer.values, gradients, within: 2e-6, "\(likelihood) gradient")
    }
  }

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
