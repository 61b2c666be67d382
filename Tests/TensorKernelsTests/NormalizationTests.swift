import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Every likelihood is a distribution: what the kernels give sums or integrates to one.
@Suite struct NormalizationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let operands: [Double]  // of the heads, then of the free parameter
    var testDescription: String { "\(name) \(operands)" }
  }

  static let cases: [Case] = [
    ("bernoulli", [[-2], [0], [0.7]]),
    ("continuous-bernoulli", [[-30], [-2], [0], [1e-3], [0.99], [1.01], [12]]),
    ("gaussian", [[0, 0], [1.5, -2]]),
    ("gaussian-sigmoid", [[0.3, 1]]),
    ("gaussian-floor", [[0.5, -3]]),
    ("gaussian-per-dimension", [[1, -1]]),
    ("gaussian-fixed", [[1, -2.5]]),
    ("laplace", [[0.2, -1], [-3, 0.5]]),
    ("laplace-shared", [[0.4, -2]]),
    ("discretized-logistic", [[0.5, -3], [1.2, -2], [-0.1, -7], [0.3, 1]]),
    ("discretized-logistic-per-dimension", [[-2, -4]]),
    ("poisson", [[-3], [0.5], [3], [6]]),
    ("negative-binomial", [[0, 0], [3, -1], [4, 3], [-2, -4]]),
    ("zero-inflated", [[2, 0.5, 1], [3, -2, 0]]),
    ("categorical", [[0, 1, -2, 0.5]]),
  ].flatMap { name, lists in lists.map { Case(name: name, operands: $0) } }

  // Points of the support, and what each counts for.
  static func points(_ test: Case, _ likelihood: Likelihood) -> [(x: Double, weight: Double)] {
    switch likelihood.family {
    case .bernoulli: return [(0, 1), (1, 1)]
    case .categorical(let classes): return (0..<classes).map { (Double($0), 1) }
    case .discretizedLogistic: return (0...255).map { (Double($0) / 255, 1) }
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial:
      return (0..<6000).map { (Double($0), 1) }
    case .table: return []  // TableTests
    case .continuousBernoulli:
      // Simpson's rule.
      let count = 4000
      return (0...count).map { index in
        let weight = index == 0 || index == count ? 1.0 : index % 2 == 1 ? 4 : 2
        return (Double(index) / Double(count), weight / Double(3 * count))
      }
    case .gaussian, .laplace:
      // Trapezoids around the location, where a Laplace density has its corner.
      let location =
        likelihood.sigmoidLocation ? 1 / (1 + exp(-test.operands[0])) : test.operands[0]
      let own = exp(likelihood.family == .gaussian ? test.operands[1] / 2 : test.operands[1])
      let scale = own + (likelihood.spread == .fixed ? 0 : Double(likelihood.spreadFloor))
      return (-4000...4000).map { (location + Double($0) * scale / 200, scale / 200) }
    }
  }

  @Test(arguments: cases) func probabilitiesAddUpToOne(_ test: Case) throws {
    let likelihood = try #require(ReferenceLikelihood.named[test.name])
    let isFree = ReferenceLikelihood(likelihood).free(inputs: 1) != nil
    let points = Self.points(test, likelihood)
    let own = isFree ? Array(test.operands.dropLast()) : test.operands
    let outputs = FloatBuffer(points.flatMap { _ in own })
    let free = FloatBuffer([test.operands[test.operands.count - 1]])
    let unused = FloatBuffer(count: 1)
    var scoring = LikelihoodScoring(likelihood.family, draws: 1)
    if isFree { scoring.free = (free, unused) }
    scoring.floor = likelihood.spread == .fixed ? 0 : likelihood.spreadFloor
    scoring.sigmoidLocation = likelihood.sigmoidLocation
    let figures = withFigures(points.count) {
      scoring.run(
        FloatBuffer(points.map(\.x)).matrix(rows: points.count, columns: 1),
        outputs: outputs.matrix(rows: points.count, columns: own.count), into: $0)
    }
    let total = zip(figures, points).reduce(0) { $0 + exp($1.0) * $1.1.weight }
    // Sums of thousands of terms, each right to about 10⁻⁶ of itself; points themselves are rounded.
    #expect(abs(total - 1) < 2e-5)
  }
}
