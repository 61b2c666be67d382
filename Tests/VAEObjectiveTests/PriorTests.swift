import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Learned priors and labels: bounds and gradients against the formula and differences in `Double`.
@Suite struct PriorTests {
  static let draws = 3
  static let examples = 4

  struct Case: Sendable, CustomTestStringConvertible {
    var prior = Prior.standardNormal
    var classes = 0
    var likelihood = "bernoulli"
    var bound = Bound.elbo
    var estimator = GradientEstimator.standard
    var testDescription: String {
      "\(prior) \(classes) classes \(likelihood) \(bound) \(estimator)"
    }
  }

  static let cases = [
    Case(prior: .mixture(components: 5)),
    Case(prior: .vamp(components: 5)),
    Case(prior: .mixture(components: 3), bound: .iwae),
    Case(prior: .vamp(components: 18), bound: .iwae),
    Case(prior: .mixture(components: 3), estimator: .stickingTheLanding),
    Case(prior: .mixture(components: 3), bound: .iwae, estimator: .doublyReparameterized),
    // What the encoder reads is not the data.
    Case(prior: .vamp(components: 4), likelihood: "poisson"),
    Case(prior: .vamp(components: 4), likelihood: "categorical"),
    Case(classes: 3),
    Case(classes: 3, likelihood: "poisson"),
    Case(classes: 3, likelihood: "categorical", bound: .iwae),
    Case(prior: .mixture(components: 2), classes: 3, likelihood: "gaussian"),
    Case(prior: .vamp(components: 2), classes: 3),
  ]

  struct Setup {
    let test: Case
    let reference: ReferenceVAE
    let parameters: ReferenceVAE.Tensors
    let harness: ModelHarness
    let data: [[Double]]
    let labels: [UInt32]
    let noise: [[Double]]

    init(_ test: Case) {
      self.test = test
      var reference = ReferenceVAE(
        inputs: 6, hidden: [5], latent: 3, activation: "tanh", likelihood: test.likelihood,
        draws: PriorTests.draws)
      reference.classes = test.classes
      self.reference = reference
      parameters = reference.parameters(seed: 7, prior: test.prior)
        .mapValues { $0.map { Double(Float($0)) } }
      var configuration = ModelConfiguration(
        inputs: 6, hidden: [5], latent: 3, activation: .tanh,
        likelihood: reference.observed.likelihood, classes: test.classes, draws: PriorTests.draws,
        bound: test.bound, estimator: test.estimator)
      configuration.prior = test.prior
      harness = ModelHarness(configuration, capacity: PriorTests.examples + 2)
      harness.set(parameters)
      var random = TestRandom(seed: 8)
      let observed = reference.observed
      data = (0..<PriorTests.examples).map { _ in
        (0..<6).map { _ in Double(Float(observed.sample(&random))) }
      }
      labels = [2, 0, 1, 2]
      noise = (0..<PriorTests.examples * PriorTests.draws).map { _ in
        random.normal(3).map { Double(Float($0)) }
      }
    }

    func withLabels<Result>(
      _ body: (UnsafeBufferPointer<UInt32>?) throws -> Result
    ) rethrows -> Result {
      if test.classes == 0 { return try body(nil) }
      return try labels.withUnsafeBufferPointer { try body($0) }
    }

    func compute() throws -> GradientOutcome {
      harness.gradient.mutableElements.update(repeating: .nan)
      return try withLabels { labels in
        try harness.model.computeGradient(
          of: matrix(data, columns: 6), labels: labels, noise: matrix(noise, columns: 3),
          parameters: harness.parameters, into: harness.gradient)
      }
    }

    // Sums over the examples of what `value` says of each one's terms.
    func sum(
      _ p: ReferenceVAE.Tensors,
      _ value: (
        _ example: Int,
        _ terms: (logLikelihoods: [Double], logPriors: [Double], logPosteriors: [Double])
      ) -> Double
    ) -> Double {
      data.indices.reduce(0) { sum, example in
        let noise = Array(
          noise[example * PriorTests.draws..<(example + 1) * PriorTests.draws])
        let label = test.classes > 0 ? Int(labels[example]) : nil
        let held = test.estimator == .standard ? p : parameters
        return sum
          + value(
            example,
            reference.terms(p, held: held, test.prior, data[example], label: label, noise))
      }
    }

    func logWeights(
      _ terms: (logLikelihoods: [Double], logPriors: [Double], logPosteriors: [Double])
    ) -> [Double] {
      terms.logLikelihoods.indices.map {
        terms.logLikelihoods[$0] + terms.logPriors[$0] - terms.logPosteriors[$0]
      }
    }

    func label(_ example: Int) -> Int? { test.classes > 0 ? Int(labels[example]) : nil }

    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

    func reconstruction(_ p: ReferenceVAE.Tensors) -> Double {
      sum(p) { mean($1.logLikelihoods) }
    }

    func divergence(_ p: ReferenceVAE.Tensors) -> Double {
      if test.prior == .standardNormal {
        return data.indices.reduce(0) { sum, example in
          let q = reference.encode(p, data[example], label: label(example))
          return zip(q.mean, q.logVariance).reduce(sum) {
            $0 + 0.5 * ($1.0 * $1.0 + exp($1.1) - 1 - $1.1)
          }
        }
      }
      return sum(p) { example, terms in
        reference.negativeEntropy(p, data[example], label: label(example)) - mean(terms.logPriors)
      }
    }
  }

  @Test(arguments: cases) func boundAndGradientAreThoseOfTheFormula(_ test: Case) throws {
    let setup = Setup(test)
    let outcome = try setup.compute()
    let start = setup.parameters
    let reconstruction = setup.reconstruction(start)
    let elbo = outcome.elbo
    #expect(
      abs(elbo.reconstructionLogLikelihoodSum - reconstruction) < 2e-6 * abs(reconstruction) + 1e-5)
    #expect(abs(elbo.klDivergenceSum - setup.divergence(start)) < 2e-5)

    func bound(_ p: ReferenceVAE.Tensors) -> Double {
      setup.sum(p) { ReferenceVAE.logMean(setup.logWeights($1)) }
    }
    if test.bound == .iwae {
      #expect(abs(outcome.importanceWeightedBoundSum - bound(start)) < 2e-6 * abs(bound(start)))
    }
    // Draws count as they do at the start; what goes through q alone may count once more.
    func surrogate(_ p: ReferenceVAE.Tensors, power: Double) -> Double {
      setup.sum(p) { example, terms in
        let shares: [Double]
        if test.bound == .elbo {
          shares = terms.logPriors.map { _ in 1 / Double(terms.logPriors.count) }
        } else {
          let noise = Array(setup.noise[example * Self.draws..<(example + 1) * Self.draws])
          let logs = setup.logWeights(
            setup.reference.terms(
              start, held: start, test.prior, setup.data[example], label: setup.label(example),
              noise))
          let total = ReferenceVAE.logMean(logs) + log(Double(Self.draws))
          shares = logs.map { exp($0 - total) }
        }
        return zip(setup.logWeights(terms), shares).reduce(0) { $0 + $1.0 * pow($1.1, power) }
      }
    }
    let reference = setup.reference
    let expected: ReferenceVAE.Tensors
    switch (test.bound, test.estimator) {
    case (.elbo, .standard):
      expected = reference.differences(start) { setup.reconstruction($0) - setup.divergence($0) }
    case (.iwae, .standard):
      expected = reference.differences(start, bound)
    default:
      let power: Double = test.estimator == .doublyReparameterized ? 2 : 1
      expected = reference.differences(start) { surrogate($0, power: power) }
        .filter { $0.key.hasPrefix("encoder") }
        .merging(
          reference.differences(start) { surrogate($0, power: 1) }
            .filter { !$0.key.hasPrefix("encoder") }
        ) { a, _ in a }
    }
    let computed = setup.harness.tensors(setup.harness.gradient)
    #expect(computed.count == expected.count)
    for (name, values) in expected {
      expectClose(computed[name] ?? [], values, within: 2e-5, name)
    }

    let again = try setup.withLabels { labels in
      try setup.harness.model.elbo(
        of: matrix(setup.data, columns: 6), labels: labels,
        noise: matrix(setup.noise, columns: 3), parameters: setup.harness.parameters)
    }
    #expect(abs(again.elbo - elbo.elbo) <= 1e-6 * abs(elbo.elbo))
  }

  // One Gaussian at 0 with variance 1 is the standard normal.
  @Test func oneStandardComponentIsTheStandardNormal() throws {
    var bounds: [[Double]] = []
    for prior in [Prior.standardNormal, .mixture(components: 1)] {
      let setup = Setup(Case(prior: prior))
      var parameters = setup.parameters
      parameters["prior.mean"] = prior.isLearned ? [0, 0, 0] : nil
      parameters["prior.log_variance"] = prior.isLearned ? [0, 0, 0] : nil
      setup.harness.set(parameters)
      let scratch = FloatBuffer(count: 60)
      try setup.harness.model.preparePrior(parameters: setup.harness.parameters)
      bounds.append(
        try setup.data.enumerated().map { number, x in
          try setup.harness.model.importanceWeightedBound(
            of: matrix([x], columns: 6), example: UInt32(number), drawCount: 50,
            noise: RandomStream(seed: 1, purpose: .evaluationNoise),
            parameters: setup.harness.parameters,
            scratch: scratch.matrix(rows: 12, columns: 3)
          ).bound
        })
    }
    for (a, b) in zip(bounds[0], bounds[1]) { #expect(abs(a - b) < 1e-5) }
  }

  // Parts of the gradient are told from the end of the buffer to its start, none left out.
  @Test(arguments: [Prior.mixture(components: 3), .vamp(components: 3)])
  func everyPartOfTheGradientIsTold(_ prior: Prior) throws {
    let setup = Setup(Case(prior: prior, likelihood: "negative-binomial"))
    final class Receiver: GradientReceiver {
      var ranges: [Range<Int>] = []
      var partElementCount: Int { 16 }
      func gradientIsComplete(_ range: Range<Int>) { ranges.append(range) }
      func progress() {}
    }
    let receiver = Receiver()
    let replica = CPUReplica(
      setup.harness.model.configuration, capacity: Self.examples, groupCapacity: 1,
      team: try WorkerTeam(count: 2))
    let indices: [UInt32] = [0, 1, 2, 3]
    _ = try indices.withUnsafeBufferPointer {
      try replica.computeGradient(
        of: ExampleBatch(indices: $0, values: matrix(setup.data, columns: 6)),
        noise: RandomStream(seed: 1, purpose: .trainingNoise), receiver: receiver)
    }
    var end = replica.layout.bufferCount
    for range in receiver.ranges {
      #expect(range.upperBound == end)
      end = range.lowerBound
    }
    #expect(end == 0)
  }
}
