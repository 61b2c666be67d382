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
}
