import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// The reference's gradient against finite differences, then the program's against the reference's.
@Suite struct GradientTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let hidden: [Int]
    let activation: String
    let likelihood: String
    let draws: Int
    let seed: UInt64
    var testDescription: String { "\(hidden) \(activation) \(likelihood) L=\(draws) seed \(seed)" }

    var reference: ReferenceVAE {
      ReferenceVAE(
        inputs: 9, hidden: hidden, latent: 3, activation: activation, likelihood: likelihood,
        draws: draws)
    }
  }

  static let cases: [Case] =
    Activation.allCases.enumerated().map { number, activation in
      Case(
        hidden: [7], activation: activation.rawValue,
        likelihood: ["bernoulli", "gaussian", "gaussian-sigmoid"][number % 3],
        draws: 1 + number % 2,
        seed: UInt64(number + 1))
    } + [
      Case(hidden: [], activation: "tanh", likelihood: "bernoulli", draws: 1, seed: 20),
      Case(hidden: [8, 6, 4], activation: "tanh", likelihood: "bernoulli", draws: 1, seed: 21),
      Case(hidden: [8, 6], activation: "relu", likelihood: "gaussian", draws: 3, seed: 22),
      Case(
        hidden: [5, 17], activation: "gelu", likelihood: "gaussian-sigmoid", draws: 2, seed: 23),
      // Rows that do not follow each other directly.
      Case(hidden: [15, 47], activation: "silu", likelihood: "bernoulli", draws: 1, seed: 24),
    ]
    + ReferenceLikelihood.named.keys.sorted().enumerated().map { number, likelihood in
      Case(
        hidden: [6], activation: "tanh", likelihood: likelihood, draws: 1 + number % 2,
        seed: UInt64(number + 30))
    }

  static func inputs(_ test: Case, examples: Int) -> (data: [[Double]], noise: [[Double]]) {
    var random = TestRandom(seed: test.seed)
    let observed = test.reference.observed
    return (
      (0..<examples).map { _ in (0..<9).map { _ in observed.sample(&random) } },
      (0..<examples * test.draws).map { _ in random.normal(3) }
    )
  }

  @Test(arguments: cases) func referenceAgreesWithFiniteDifferences(_ test: Case) {
    let reference = test.reference
    let parameters = reference.parameters(seed: test.seed)
    let (data, noise) = Self.inputs(test, examples: 2)
    let gradient = reference.gradient(parameters, data: data, noise: noise)
    func negative(_ p: ReferenceVAE.Tensors) -> Double {
      let elbo = reference.elbo(p, data: data, noise: noise)
      return elbo.kl - elbo.reconstruction
    }
    // Central differences in Double with h = 10⁻⁵: truncation h² and rounding 10⁻¹⁶ / h both give
    // about 10⁻¹⁰ of a sum of size ten.
    let h = 1e-5
    // A logistic in bins of 1/255 is a difference that has lost three digits.
    let bound = test.likelihood.hasPrefix("discretized") ? 1e-5 : 1e-7
    for (name, values) in parameters {
      let numerical = values.indices.map { index in
        var (above, below) = (parameters, parameters)
        above[name]?[index] += h
        below[name]?[index] -= h
        return (negative(above) - negative(below)) / (2 * h)
      }
      expectClose(gradient[name] ?? [], numerical, within: bound, name)
    }
  }

  @Test(arguments: cases, [1, 5]) func programAgreesWithReference(
    _ test: Case, examples: Int
  ) throws {
    let reference = test.reference
    let harness = ModelHarness(reference, capacity: 6)
    let parameters = reference.parameters(seed: test.seed)
      .mapValues { $0.map { Double(Float($0)) } }
    harness.set(parameters)
    var (data, noise) = Self.inputs(test, examples: examples)
    data = data.map { $0.map { Double(Float($0)) } }
    noise = noise.map { $0.map { Double(Float($0)) } }
    let x = matrix(data, columns: 9)
    let e = matrix(noise, columns: 3)
    harness.gradient.mutableElements.update(repeating: .nan)
    for tensor in harness.model.layout.tensors {
      tensor.write([Float](repeating: .nan, count: tensor.count), into: harness.gradient)
    }
    let elbo = try harness.model.computeGradient(
      of: x, noise: e, parameters: harness.parameters, into: harness.gradient
    ).elbo
    let expected = reference.elbo(parameters, data: data, noise: noise)
    #expect(elbo.exampleCount == examples)
    #expect(
      abs(elbo.reconstructionLogLikelihoodSum - expected.reconstruction)
        <= 2e-6 * abs(expected.reconstruction) + 2e-6)
    #expect(abs(elbo.klDivergenceSum - expected.kl) <= 2e-6 * abs(expected.kl) + 2e-6)
    let gradients = reference.gradient(parameters, data: data, noise: noise)
    let computed = harness.tensors(harness.gradient)
    // Float backward against Double: a few roundings of 6·10⁻⁸ through up to six layers.
    for (name, values) in gradients {
      expectClose(computed[name] ?? [], values, within: 1e-5, name)
    }

    let again = try harness.model.elbo(
      of: x, noise: e, parameters: harness.parameters)
    #expect(abs(again.elbo - elbo.elbo) <= 1e-6 * abs(elbo.elbo))
  }
}
