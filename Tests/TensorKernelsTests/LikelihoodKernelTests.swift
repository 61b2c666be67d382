import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

@Suite struct LikelihoodKernelTests {
  /// Runs the kernel on rows of heads, with free parameters for each dimension.
  static func score(
    _ likelihood: Likelihood, _ x: [Double], heads: [[Double]], free: [Double], examples: Int,
    draws: Int, gradientScale: Float?
  ) -> (figures: [Double], heads: [Float], free: [Float]) {
    let width = x.count / examples
    let rows = examples * draws
    var outputs: [Double] = []
    for row in 0..<rows {
      for head in heads { outputs += head[row * head.count / rows..<(row + 1) * head.count / rows] }
    }
    let buffer = FloatBuffer(outputs)
    let values = FloatBuffer(free)
    let gradient = FloatBuffer(count: free.count)
    var scoring = LikelihoodScoring(
      likelihood.family, draws: draws, gradientScale: gradientScale)
    if !free.isEmpty { scoring.free = (values, gradient) }
    scoring.floor = likelihood.spread == .fixed ? 0 : likelihood.spreadFloor
    scoring.sigmoidLocation = likelihood.sigmoidLocation
    if likelihood.usesLibrarySize { scoring.shares = FloatBuffer.poisoned(width) }
    let figures = withFigures(rows) {
      scoring.run(
        FloatBuffer(x).matrix(rows: examples, columns: width),
        outputs: buffer.matrix(rows: rows, columns: outputs.count / rows), into: $0)
    }
    return (figures, buffer.values, gradient.values)
  }

  @Test(arguments: ReferenceLikelihood.named.keys.sorted(), [1, 3, 16, 17, 784, 5000])
  func rowsAreSummedInNats(_ name: String, width: Int) throws {
    let likelihood = try #require(ReferenceLikelihood.named[name])
    let reference = ReferenceLikelihood(likelihood)
    let (examples, draws) = (2, 1 + width % 3)
    let rows = examples * draws
    var random = TestRandom(seed: UInt64(width))
    let x = (0..<examples * width).map { _ in reference.sample(&random) }
    let perHead = likelihood.decoderOutputs(inputs: width) / likelihood.heads.count
    let heads = likelihood.heads.indices.map { head in
      random.uniform(rows * perHead, in: head == 0 ? -2...3 : -3...1).map { Double(Float($0)) }
    }
    let free =
      reference.free(inputs: width) == nil
      ? [] : random.uniform(width, in: -2...2).map { Double(Float($0)) }
    let values = x.map { Double(Float($0)) }
    let alone = Self.score(
      likelihood, values, heads: heads, free: free, examples: examples, draws: draws,
      gradientScale: nil)
    let together = Self.score(
      likelihood, values, heads: heads, free: free, examples: examples, draws: draws,
      gradientScale: 0.5)
    var expected: [Double] = []
    var gradients: [Double] = []
    var freeGradient = [Double](repeating: 0, count: free.count)
    for row in 0..<rows {
      let scored = reference.logLikelihood(
        Array(x[row / draws * width..<(row / draws + 1) * width]),
        heads.map { Array($0[row * perHead..<(row + 1) * perHead]) }, free: free)
      expected.append(scored.value)
      gradients += scored.heads.flatMap { $0.map { -0.5 * $0 } }
      for j in free.indices { freeGradient[j] -= 0.5 * scored.free[j] }
    }
    // Terms of size one to ten, each to a few 10⁻⁷, of which rows are sums.
    expectClose(alone.figures, expected, within: 2e-6, name)
    expectClose(together.figures, expected, within: 2e-6, name)
    expectClose(together.heads, gradients, within: 3e-6, "\(name) gradient")
    expectClose(together.free, freeGradient, within: 1e-5, "\(name) free gradient")
  }

  // One column a row: each figure is one value of the function.
  @Test func bernoulliIsAccurateForEveryLogit() {
    let logits = (-3000...3000).map { Double(Float(Double($0) / 30)) }
    for x in [0.0, 0.25, 1] {
      let data = [Double](repeating: x, count: logits.count)
      let scored = Self.score(
        .bernoulli, data, heads: [logits], free: [], examples: logits.count, draws: 1,
        gradientScale: 2)
      for (index, l) in logits.enumerated() {
        let expected = x * l - max(l, 0) - log1p(exp(-abs(l)))
        // Below e^−87 the exponential is held at e^−87, which is 0 beside anything of size one.
        #expect(
          abs(scored.figures[index] - expected) <= 3e-7 * abs(expected) + 1e-36,
          "logit \(l), x \(x)")
        let slope = 2 * (1 / (1 + exp(-l)) - x)
        #expect(abs(Double(scored.heads[index]) - slope) <= 4e-7, "logit \(l), x \(x)")
      }
    }
  }

  // Far from where training is: no figure may overflow, and all stay close relative to their size.
  @Test(
    arguments: [
      ("continuous-bernoulli", [-80.0, -1.001, -0.999, -1e-3, 0, 1e-6, 0.5, 1, 1.01, 30, 85]),
      ("laplace", [-50.0, -1, 0, 0.3, 40]),
      ("poisson", [-60.0, -5, -0.1, 0, 1, 2.0794, 3, 6.9, 11, 14]),
    ])
  func figuresStayAccurateAtTheEdges(_ name: String, operands: [Double]) throws {
    let likelihood = try #require(ReferenceLikelihood.named[name])
    let reference = ReferenceLikelihood(likelihood)
    let isOfCounts = name == "poisson"
    for x in isOfCounts ? [0.0, 1, 7, 8, 9, 100, 1000, 1_000_000] : [0.0, 0.3, 1] {
      for operand in operands.map({ Double(Float($0)) }) {
        let heads = name == "laplace" ? [[operand], [-2.0]] : [[operand]]
        let scored = Self.score(
          likelihood, [Double(Float(x))], heads: heads, free: [], examples: 1, draws: 1,
          gradientScale: 1)
        let expected = reference.term(Double(Float(x)), heads.map { $0[0] })
        // The operand itself is rounded: its error times the slope is beyond the kernel's reach.
        let slope = abs(reference.derivatives(Double(Float(x)), heads.map { $0[0] })[0])
        let bound = 2e-6 * abs(expected) + 2e-6 + 1e-7 * slope * (abs(operand) + 1)
        #expect(
          abs(scored.figures[0] - expected) <= bound, "\(name) \(x) \(operand): \(expected)")
      }
    }
  }

  @Test(arguments: [0.0, 1, 7, 8, 9, 60, 1000, 100_000])
  func negativeBinomialsAreAccurateFromWideToNarrow(x: Double) throws {
    let likelihood = Likelihood(.negativeBinomial)
    let reference = ReferenceLikelihood(likelihood)
    for logMean in [-8.0, -1, 0, 2, 5, 11] {
      for logDispersion in [-12.0, -4, -0.5, 0, 2, 4, 8] {
        let scored = Self.score(
          likelihood, [x], heads: [[logMean]], free: [logDispersion], examples: 1, draws: 1,
          gradientScale: 1)
        let expected = reference.term(x, [logMean, logDispersion])
        let slopes = reference.derivatives(x, [logMean, logDispersion])
        let what = "\(x) \(logMean) \(logDispersion)"
        #expect(abs(scored.figures[0] - expected) <= 4e-6 * abs(expected) + 1e-5, "\(what)")
        // Digammas of Double lose what is left after θ · (ψ(x + θ) − ψ(θ) …) has cancelled.
        for (own, other) in [(scored.heads[0], slopes[0]), (scored.free[0], slopes[1])] {
          #expect(
            abs(Double(own) + other) <= 5e-6 * abs(other) + 1e-5 + 1e-7 * x, "\(what) \(other)")
        }
      }
    }
  }
}
