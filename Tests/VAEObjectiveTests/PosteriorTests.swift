import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// What is known of the posteriors of a data set, and how well importance sampling does.
@Suite struct PosteriorTests {
  @Test(arguments: [1, 2]) func sumsAreThoseOfTheEncoder(threads: Int) throws {
    let reference = ReferenceVAE(
      inputs: 5, hidden: [4], latent: 3, activation: "tanh", likelihood: "bernoulli")
    let parameters = reference.parameters(seed: 2)
    let harness = ModelHarness(reference, capacity: 1)
    harness.set(parameters)
    let replica = CPUReplica(
      harness.model.configuration, capacity: 8, groupCapacity: 8,
      team: try WorkerTeam(count: threads))
    _ = replica.parameters.mutableElements.update(fromContentsOf: harness.parameters.elements)
    var random = TestRandom(seed: 6)
    let data = (0..<7).map { _ in random.uniform(5, in: 0...1) }
    let indices = (0..<7).map { UInt32($0) }
    let groups = try indices.withUnsafeBufferPointer {
      try replica.summarizePosteriors(
        ExampleBatch(indices: $0, values: matrix(data, columns: 5)), groups: [0..<3, 3..<4, 4..<7])
    }
    #expect(groups.map(\.exampleCount) == [3, 1, 3])
    var total = PosteriorSums(latent: 3)
    for group in groups { total += PosteriorSums(encoded: group.encoded) }
    let encoded = data.map { reference.encode(parameters, $0) }
    for j in 0..<3 {
      let means = encoded.map { $0.mean[j] }
      let divergence = encoded.reduce(0.0) {
        let (m, v) = ($1.mean[j], $1.logVariance[j])
        return $0 + 0.5 * (m * m + exp(v) - 1 - v)
      }
      let average = means.reduce(0, +) / 7
      let variance = means.reduce(0) { $0 + ($1 - average) * ($1 - average) } / 7
      #expect(abs(total.meanDivergences[j] - divergence / 7) < 1e-6)
      #expect(abs(total.variances[j] - variance) < 1e-6)
    }
  }

  @Test func unitsAreActiveBeyondAVarianceOfOneHundredth() {
    var sums = PosteriorSums(latent: 3)
    // Means ±0.11, ±0.09 and a constant 5.
    sums.exampleCount = 2
    sums.means = [0, 0, 10]
    sums.squares = [2 * 0.0121, 2 * 0.0081, 50]
    #expect(sums.activeUnitCount == 1)
    sums.divergences = [0.5, 0.25, 0]
    #expect(!sums.isCollapsed(hasStandardPrior: true), "Two examples tell nothing")
    sums.exampleCount = 100
    sums.means = [0, 0, 500]
    sums.squares = [100 * 0.0121, 100 * 0.0081, 2500]
    sums.divergences = [100, 25, 0]
    #expect(!sums.isCollapsed(hasStandardPrior: true))
    sums.divergences = [25, 12.5, 0]
    #expect(sums.isCollapsed(hasStandardPrior: true))
    (sums.means, sums.squares) = ([0, 0, 500], [0, 0, 2500])
    sums.divergences = [100, 25, 0]
    #expect(sums.isCollapsed(hasStandardPrior: true))
  }

  @Test func effectiveSampleSizeAndErrorAreThoseOfTheDraws() throws {
    // Under the true posterior all weights are equal.
    let exact = LinearGaussianTests.harness(error: 0)
    let x = LinearGaussianTests.examples(1)[0]
    func estimate(_ harness: ModelHarness, _ example: UInt32) throws -> ImportanceEstimate {
      try LinearGaussianTests.estimate(harness, x, example: example, draws: 200)
    }
    #expect(abs(try estimate(exact, 3).effectiveSampleSize - 200) < 1e-2)
    // Otherwise 1 / ESS − 1 / K is the variance of the bound.
    let harness = LinearGaussianTests.harness(error: 0.3)
    let estimates = try (0..<400).map { try estimate(harness, $0) }
    let mean = estimates.reduce(0) { $0 + $1.bound } / 400
    let variance = estimates.reduce(0) { $0 + ($1.bound - mean) * ($1.bound - mean) } / 399
    let predicted = estimates.reduce(0) { $0 + 1 / $1.effectiveSampleSize - 1.0 / 200 } / 400
    #expect(estimates.allSatisfy { $0.effectiveSampleSize > 1 && $0.effectiveSampleSize < 200 })
    // A variance of 400 figures is right to about 1 / √200.
    #expect(abs(predicted / variance - 1) < 0.3)
  }
}
