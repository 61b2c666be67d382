import Foundation
import Layers
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Annealed importance sampling where log p(x) is known.
@Suite struct AnnealingTests {
  static let noise = RandomStream(seed: 3, purpose: .evaluationNoise)

  static func mean(_ values: [Double]) -> (value: Double, error: Double) {
    let count = Double(values.count)
    let mean = values.reduce(0, +) / count
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    return (mean, (variance / count).squareRoot())
  }

  // Weights of single chains: p(x) in the mean, however few steps, and closer to it with more.
  @Test func weightsAreTheDensityInTheMean() throws {
    let harness = LinearGaussianTests.harness(error: 0.6)
    let x = LinearGaussianTests.examples(1)[0]
    let truth = LinearGaussianTests.logDensity(x)
    var spreads: [Double] = []
    for steps in [1, 4, 30] {
      let logWeights = try (0..<500).map { example in
        try harness.model.annealedBound(
          of: matrix([x], columns: 4), example: UInt32(example),
          sampling: ImportanceSampling(drawCount: 1, annealingSteps: steps), noise: Self.noise,
          parameters: harness.parameters
        ).bound
      }
      let (value, error) = Self.mean(logWeights.map { exp($0 - truth) })
      #expect(abs(value - 1) < 4.5 * error, "\(steps) steps: \(value) ± \(error)")
      let logs = Self.mean(logWeights)
      spreads.append(logs.error)
      #expect(logs.value < truth + 4 * logs.error)
    }
    #expect(spreads[1] < 0.8 * spreads[0] && spreads[2] < 0.8 * spreads[1], "\(spreads)")
  }

  // One latent, so that p(x) = ∫ p(x|z) p(z) dz is a sum; every prior, a label, and a decoder with
  // normalized layers.
  @Test(arguments: [
    (Prior.standardNormal, 0), (.mixture(components: 4), 0), (.vamp(components: 3), 0),
    (.standardNormal, 3), (.mixture(components: 2), 3),
  ]) func agreesWithAnIntegral(_ prior: Prior, _ classes: Int) throws {
    var reference = ReferenceVAE(
      inputs: 6, hidden: [5], latent: 1, activation: "tanh", likelihood: "bernoulli")
    reference.classes = classes
    var parameters = reference.parameters(seed: 4, prior: prior)
    // A decoder that z matters to, and a posterior that is off.
    parameters["decoder.0.weight"] = parameters["decoder.0.weight"]?.map { 3 * $0 }
    parameters["decoder.logits.weight"] = parameters["decoder.logits.weight"]?.map { 4 * $0 }
    parameters["encoder.mean.bias"] = [0.7]
    var configuration = ModelConfiguration(
      inputs: 6, hidden: [5], latent: 1, activation: .tanh, likelihood: .bernoulli,
      classes: classes)
    configuration.prior = prior
    let harness = ModelHarness(configuration, capacity: 32)
    harness.set(parameters)
    let x: [Double] = [1, 0, 0, 1, 1, 0]
    let label = classes > 0 ? 1 : nil
    let step = 0.01
    let terms = stride(from: -12.0, through: 12, by: step).map { z in
      let logLikelihood = reference.observed.logLikelihood(
        x, reference.decode(parameters, [z], label: label), free: []
      ).value
      return logLikelihood + reference.logPrior(parameters, prior, [z])
    }
    let truth = log(terms.reduce(0) { $0 + exp($1) * step })
    let labels: [UInt32] = [1]
    try harness.model.preparePrior(parameters: harness.parameters)
    let estimate = try labels.withUnsafeBufferPointer { labels in
      try harness.model.annealedBound(
        of: matrix([x], columns: 6), labels: classes > 0 ? labels : nil, example: 5,
        sampling: ImportanceSampling(drawCount: 200, annealingSteps: 40), noise: Self.noise,
        parameters: harness.parameters)
    }
    let error = ((200 / estimate.effectiveSampleSize - 1) / 199).squareRoot()
    #expect(abs(estimate.bound - truth) < 4.5 * error + 1e-3, "\(estimate) \(truth)")
    #expect(estimate.effectiveSampleSize > 100)
  }

  // Layers of all kinds find the gradient of their inputs alone.
  @Test func networksOfImages() throws {
    let configuration = try ModelConfiguration(
      example: Extents(height: 4, width: 4, channels: 2),
      encoder: try LayerDescription.list("conv 3 kernel 3, dense 5"),
      decoder: try LayerDescription.list(
        "dense 4x4x4 layer-norm, dropout 0.3, residual 4 group-norm 2, conv kernel 3"),
      latent: 2, activation: .tanh, likelihood: .bernoulli)
    let harness = ModelHarness(configuration, capacity: 16)
    var random = TestRandom(seed: 12)
    for tensor in harness.model.layout.tensors {
      tensor.write(random.uniform(tensor.count).map { Float($0) }, into: harness.parameters)
    }
    let x = matrix([random.uniform(32, in: 0...1)], columns: 32)
    let scratch = FloatBuffer(count: 32)
    let many = try harness.model.importanceWeightedBound(
      of: x, example: 1, drawCount: 200_000, noise: Self.noise, parameters: harness.parameters,
      scratch: scratch.matrix(rows: 16, columns: 2))
    let annealed = try harness.model.annealedBound(
      of: x, example: 1, sampling: ImportanceSampling(drawCount: 64, annealingSteps: 100),
      noise: Self.noise, parameters: harness.parameters)
    let error =
      ((64 / annealed.effectiveSampleSize - 1) / 63).squareRoot()
      + (1 / many.effectiveSampleSize).squareRoot()
    #expect(abs(annealed.bound - many.bound) < 4.5 * error + 1e-3, "\(annealed) \(many)")
    #expect(annealed.effectiveSampleSize / 64 > 3 * many.effectiveSampleSize / 200_000)
  }
}
