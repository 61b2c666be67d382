import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

@Suite struct ClosedFormTests {
  private static func divergence(_ mean: [Double], _ logVariance: [Double]) -> Double {
    let posterior = FloatBuffer(mean + logVariance)
    let noise = FloatBuffer(count: mean.count)
    let latents = FloatBuffer.poisoned(mean.count)
    return withFigures(1) {
      reparameterize(
        posterior: posterior.matrix(rows: 1, columns: 2 * mean.count),
        noise: noise.matrix(rows: 1, columns: mean.count), draws: 1,
        into: latents.matrix(rows: 1, columns: mean.count), klDivergence: $0)
    }[0]
  }

  @Test func divergenceIsZeroAtThePriorAndPositiveElsewhere() {
    #expect(Self.divergence([0, 0, 0], [0, 0, 0]) == 0)
    for seed in UInt64(1)...20 {
      var random = TestRandom(seed: seed)
      #expect(Self.divergence(random.uniform(5), random.uniform(5, in: -3...3)) > 0)
    }
  }

  @Test func divergenceIsTheMonteCarloMean() {
    // KL = E_q[log q − log p], with the mean's own standard error.
    let (mean, logVariance) = ([0.5, -1.0], [-1.0, 0.4])
    var random = TestRandom(seed: 4)
    var sum = 0.0
    var squares = 0.0
    let count = 100_000
    for _ in 0..<count {
      var ratio = 0.0
      for j in 0..<2 {
        // Box & Muller in Double: the test's own normal numbers must be exact ones.
        let u = random.uniform(2, in: 1e-12...1)
        let e = (-2 * log(u[0])).squareRoot() * cos(2 * Double.pi * u[1])
        let z = mean[j] + exp(0.5 * logVariance[j]) * e
        ratio += 0.5 * (z * z - e * e - logVariance[j])
      }
      sum += ratio
      squares += ratio * ratio
    }
    let average = sum / Double(count)
    let error = ((squares / Double(count) - average * average) / Double(count)).squareRoot()
    #expect(abs(Self.divergence(mean, logVariance) - average) < 4 * error)
  }

  @Test func bernoulliAtOneHalfIsMinusDLogTwo() {
    let width = 784
    let data = FloatBuffer((0..<width).map { Double($0 % 2) })
    let figures = withFigures(1) {
      Likelihood.bernoulli.score(
        data.matrix(rows: 1, columns: width),
        parameters: FloatBuffer(count: width).matrix(rows: 1, columns: width), draws: 1, into: $0)
    }
    #expect(abs(figures[0] + Double(width) * log(2.0)) < 1e-4)
  }

  @Test(arguments: [-2.0, 0, 0.7]) func bernoulliSumsToOne(_ logit: Double) {
    let probabilities = [0.0, 1].map { value in
      exp(
        withFigures(1) {
          Likelihood.bernoulli.score(
            FloatBuffer([value]).matrix(rows: 1, columns: 1),
            parameters: FloatBuffer([logit]).matrix(rows: 1, columns: 1), draws: 1, into: $0)
        }[0])
    }
    #expect(abs(probabilities[0] + probabilities[1] - 1) < 1e-6)
  }

  @Test(arguments: [(0.0, 0.0, false), (1.5, -2.0, false), (0.3, 1.0, true)])
  func gaussianIntegratesToOne(mean: Double, logVariance: Double, sigmoidMean: Bool) {
    // Trapezoids on ±12 standard deviations: exact far beyond the precision of Float.
    let deviation = exp(0.5 * logVariance)
    let step = deviation / 50
    let center = sigmoidMean ? 1 / (1 + exp(-mean)) : mean
    let points = (-600...600).map { center + Double($0) * step }
    let parameters = FloatBuffer(points.flatMap { _ in [mean, logVariance] })
    let figures = withFigures(points.count) {
      Likelihood.gaussian(sigmoidMean: sigmoidMean).score(
        FloatBuffer(points).matrix(rows: points.count, columns: 1),
        parameters: parameters.matrix(rows: points.count, columns: 2), draws: 1, into: $0)
    }
    let integral = figures.reduce(0) { $0 + exp($1) * step }
    #expect(abs(integral - 1) < 1e-5)
  }
}
