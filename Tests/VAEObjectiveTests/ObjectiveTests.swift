import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Objectives other than the plain ELBO: their gradients against differences in `Double`.
@Suite struct ObjectiveTests {
  static let draws = 4
  static let examples = 3

  struct Setup {
    let reference: ReferenceVAE
    let parameters: ReferenceVAE.Tensors
    let data: [[Double]]
    let noise: [[Double]]
    let harness: ModelHarness

    init(_ likelihood: String, _ bound: Bound, _ estimator: GradientEstimator, seed: UInt64) {
      reference = ReferenceVAE(
        inputs: 6, hidden: [5], latent: 3, activation: "tanh", likelihood: likelihood,
        draws: ObjectiveTests.draws)
      parameters = reference.parameters(seed: seed).mapValues { $0.map { Double(Float($0)) } }
      var random = TestRandom(seed: seed)
      let observed = reference.observed
      data = (0..<ObjectiveTests.examples).map { _ in
        (0..<6).map { _ in Double(Float(observed.sample(&random))) }
      }
      noise = (0..<ObjectiveTests.examples * ObjectiveTests.draws).map { _ in
        random.normal(3).map { Double(Float($0)) }
      }
      var configuration = ModelHarness(reference, capacity: 1).model.configuration
      configuration.bound = bound
      configuration.estimator = estimator
      harness = ModelHarness(configuration, capacity: ObjectiveTests.examples)
      harness.set(parameters)
    }

    func compute(_ weighting: KLWeighting = .same(1)) throws -> GradientOutcome {
      try harness.model.computeGradient(
        of: matrix(data, columns: 6), noise: matrix(noise, columns: 3),
        parameters: harness.parameters, into: harness.gradient, klWeighting: weighting)
    }

    func expect(_ gradient: ReferenceVAE.Tensors, within bound: Double = 1e-5) {
      let computed = harness.tensors(harness.gradient)
      for (name, values) in gradient {
        expectClose(computed[name] ?? [], values, within: bound, name)
      }
    }

    func noise(of example: Int) -> [[Double]] {
      Array(noise[example * ObjectiveTests.draws..<(example + 1) * ObjectiveTests.draws])
    }
  }

  @Test(arguments: ["bernoulli", "gaussian-shared", "negative-binomial-library"])
  func importanceWeightedBound(_ likelihood: String) throws {
    let setup = Setup(likelihood, .iwae, .standard, seed: 3)
    let reference = setup.reference
    func bound(_ p: ReferenceVAE.Tensors) -> Double {
      setup.data.indices.reduce(0) {
        $0
          + ReferenceVAE.logMean(
            reference.logWeights(p, held: p, setup.data[$1], setup.noise(of: $1)))
      }
    }
    let outcome = try setup.compute()
    let expected = bound(setup.parameters)
    #expect(abs(outcome.importanceWeightedBoundSum - expected) < 2e-6 * abs(expected))
    let elbo = reference.elbo(setup.parameters, data: setup.data, noise: setup.noise)
    #expect(abs(outcome.elbo.reconstructionLogLikelihoodSum - elbo.reconstruction) < 1e-4)
    #expect(abs(outcome.elbo.klDivergenceSum - elbo.kl) < 1e-4)
    setup.expect(reference.differences(setup.parameters, bound))
  }

  // The encoder's gradient comes through z alone, with weights that are held; the decoder's is that
  // of the bound.
  @Test(
    arguments: [Bound.elbo, .iwae],
    [GradientEstimator.stickingTheLanding, .doublyReparameterized])
  func pathGradients(_ bound: Bound, _ estimator: GradientEstimator) throws {
    if bound == .elbo && estimator == .doublyReparameterized { return }
    let setup = Setup("bernoulli", bound, estimator, seed: 5)
    let reference = setup.reference
    let start = setup.parameters
    let shares = setup.data.indices.map { example -> [Double] in
      let logs = reference.logWeights(
        start, held: start, setup.data[example], setup.noise(of: example))
      if bound == .elbo { return logs.map { _ in 1 / Double(logs.count) } }
      let total = ReferenceVAE.logMean(logs) + log(Double(logs.count))
      return logs.map { exp($0 - total) }
    }
    func surrogate(_ p: ReferenceVAE.Tensors, power: Double) -> Double {
      setup.data.indices.reduce(0) { sum, example in
        let logs = reference.logWeights(
          p, held: start, setup.data[example], setup.noise(of: example))
        return sum + zip(logs, shares[example]).reduce(0) { $0 + $1.0 * pow($1.1, power) }
      }
    }
    _ = try setup.compute()
    let isDoubly = estimator == .doublyReparameterized
    let encoder = reference.differences(start) { surrogate($0, power: isDoubly ? 2 : 1) }
    let decoder = reference.differences(start) { surrogate($0, power: 1) }
    setup.expect(encoder.filter { $0.key.hasPrefix("encoder") })
    setup.expect(decoder.filter { $0.key.hasPrefix("decoder") })
  }

  // Three estimators of one gradient: their means over many draws agree.
  @Test func estimatorsAgreeInTheMean() throws {
    let count = 4000
    var means: [[Double]] = []
    var errors: [[Double]] = []
    for estimator in [GradientEstimator.standard, .doublyReparameterized] {
      let setup = Setup("bernoulli", .iwae, estimator, seed: 8)
      var random = TestRandom(seed: 21)
      var sums: [Double] = []
      var squares: [Double] = []
      for _ in 0..<count {
        let noise = (0..<Self.draws).map { _ in random.normal(3) }
        _ = try setup.harness.model.computeGradient(
          of: matrix([setup.data[0]], columns: 6), noise: matrix(noise, columns: 3),
          parameters: setup.harness.parameters, into: setup.harness.gradient)
        let tensors = setup.harness.tensors(setup.harness.gradient)
        let values = ["encoder.mean.bias", "encoder.log_variance.bias", "encoder.0.bias"]
          .flatMap { tensors[$0] ?? [] }.map(Double.init)
        if sums.isEmpty {
          sums = values.map { _ in 0 }
          squares = sums
        }
        for index in values.indices {
          sums[index] += values[index]
          squares[index] += values[index] * values[index]
        }
      }
      let mean = sums.map { $0 / Double(count) }
      means.append(mean)
      errors.append(
        zip(squares, mean).map {
          (($0 / Double(count) - $1 * $1) / Double(count)).squareRoot()
        })
    }
    for index in means[0].indices {
      let error = (errors[0][index] * errors[0][index] + errors[1][index] * errors[1][index])
        .squareRoot()
      #expect(abs(means[0][index] - means[1][index]) < 4.5 * error)
    }
  }

  @Test func klDivergencesAreWeighted() throws {
    let setup = Setup("bernoulli", .elbo, .standard, seed: 11)
    let reference = setup.reference
    var seen: [Double] = []
    let weights: [Float] = [0, 0.5, 2]
    _ = try setup.compute(
      .bySums { sums in
        seen = Array(sums)
        return weights
      })
    func divergences(_ p: ReferenceVAE.Tensors) -> [Double] {
      var sums = [0.0, 0, 0]
      for x in setup.data {
        let (m, v) = reference.encode(p, x)
        for j in 0..<3 { sums[j] += 0.5 * (m[j] * m[j] + exp(v[j]) - 1 - v[j]) }
      }
      return sums
    }
    expectClose(seen.map { Float($0) }, divergences(setup.parameters), within: 1e-6)
    setup.expect(
      reference.differences(setup.parameters) { p in
        let elbo = reference.elbo(p, data: setup.data, noise: setup.noise)
        return elbo.reconstruction
          - zip(divergences(p), weights).reduce(0) { $0 + $1.0 * Double($1.1) }
      })
    _ = try setup.compute(.same(0.25))
    setup.expect(
      reference.differences(setup.parameters) { p in
        let elbo = reference.elbo(p, data: setup.data, noise: setup.noise)
        return elbo.reconstruction - 0.25 * elbo.kl
      })
  }

  @Test(arguments: [1, 2, 3]) func weightsAreFoundFromAllThreads(_ threads: Int) throws {
    let setup = Setup("bernoulli", .elbo, .standard, seed: 13)
    let team = try WorkerTeam(count: threads)
    let replica = CPUReplica(
      setup.harness.model.configuration, capacity: Self.examples, groupCapacity: 1, team: team)
    _ = replica.parameters.mutableElements.update(fromContentsOf: setup.harness.parameters.elements)
    let noise = RandomStream(seed: 4, purpose: .trainingNoise)
    var calls: [[Double]] = []
    let indices: [UInt32] = [4, 2, 9]
    try indices.withUnsafeBufferPointer {
      _ = try replica.computeGradient(
        of: ExampleBatch(indices: $0, values: matrix(setup.data, columns: 6)), noise: noise,
        klWeighting: .bySums { sums in
          calls.append(Array(sums))
          return sums.map { Float($0) }
        })
    }
    #expect(calls.count == 1)
    var total = [0.0, 0, 0]
    for x in setup.data {
      let (m, v) = setup.reference.encode(setup.parameters, x)
      for j in 0..<3 { total[j] += 0.5 * (m[j] * m[j] + exp(v[j]) - 1 - v[j]) }
    }
    expectClose((calls.first ?? []).map { Float($0) }, total, within: 1e-6)
  }
}
