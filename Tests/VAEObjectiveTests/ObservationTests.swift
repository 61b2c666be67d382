import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Means of p(x|z) and draws from it, against the density that training maximises.
@Suite struct ObservationTests {
  static let inputs = 5
  static let draws = 8_000

  // A model whose decoder gives the same outputs for every z: all weights are zero.
  private struct Constant {
    let harness: ModelHarness
    let reference: ReferenceLikelihood
    /// Decoder outputs, then the free parameter, by value.
    let operands: [[Double]]

    init(_ likelihood: Likelihood) {
      reference = ReferenceLikelihood(likelihood)
      harness = ModelHarness(
        ModelConfiguration(
          inputs: inputs, hidden: [3], latent: 2, activation: .tanh, likelihood: likelihood),
        capacity: 100)
      var random = TestRandom(seed: 5)
      var tensors: [String: [Double]] = [:]
      for tensor in harness.model.layout.tensors {
        let name = tensor.name
        let isHead = likelihood.heads.contains { name == "decoder.\($0).bias" }
        let count = tensor.read(from: harness.parameters).count
        let isFree = name == reference.free(inputs: inputs)?.name
        let values = (isHead || isFree ? random.uniform(count) : .init(repeating: 0, count: count))
          .map { Double(Float($0)) }
        tensors[name] = values
      }
      harness.set(tensors)
      let names = likelihood.heads.map { "decoder.\($0).bias" }
      let heads = (names + [reference.free(inputs: inputs)?.name ?? ""]).compactMap { tensors[$0] }
      if case .categorical(let classes) = likelihood.family {
        operands = (0..<inputs).map { Array(heads[0][$0 * classes..<($0 + 1) * classes]) }
      } else {
        var columns = heads.map { $0.count == 1 ? Array(repeating: $0[0], count: inputs) : $0 }
        if likelihood.spread == .fixed {
          columns.append(Array(repeating: reference.fixedSpread, count: inputs))
        }
        operands = (0..<inputs).map { index in columns.map { $0[index] } }
      }
    }

    func observe(_ observation: Observation, rows: Range<Int>, total: Float = 0) throws -> [Float] {
      let latents = FloatBuffer(count: rows.count * 2).matrix(rows: rows.count, columns: 2)
      let values = FloatBuffer(count: rows.count * inputs).matrix(
        rows: rows.count, columns: inputs)
      try harness.model.observe(
        latents,
        query: ObservationQuery(
          observation, rows: rows.map { UInt32($0) }, seed: 3,
          totals: total > 0 ? rows.map { _ in total } : []),
        parameters: harness.parameters, into: values)
      return Array(values.elements)
    }

    func columns(_ count: Int, total: Float = 0) throws -> [[Double]] {
      var columns = [[Double]](repeating: [], count: inputs)
      for start in stride(from: 0, to: count, by: 100) {
        for (index, value) in try observe(.draw, rows: start..<start + 100, total: total)
          .enumerated()
        {
          columns[index % inputs].append(Double(value))
        }
      }
      return columns
    }
  }

  // Every value there may be with its probability: a sum, or the middles of a fine grid.
  static func distribution(
    _ likelihood: Likelihood, term: (Double) -> Double
  ) -> [(value: Double, probability: Double)] {
    switch likelihood.family {
    case .bernoulli: return [0, 1].map { ($0, exp(term($0))) }
    case .categorical(let classes):
      return (0..<classes).map { (Double($0), exp(term(Double($0)))) }
    case .discretizedLogistic:
      return (0...255).map { (Double($0) / 255, exp(term(Double($0) / 255))) }
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial:
      return (0...4_000).map { (Double($0), exp(term(Double($0)))) }
    default:
      let range = likelihood.family == .continuousBernoulli ? 0.0...1.0 : -60.0...60.0
      let count = 400_000
      let step = (range.upperBound - range.lowerBound) / Double(count)
      return (0..<count).map {
        let x = range.lowerBound + (Double($0) + 0.5) * step
        return (x, exp(term(x)) * step)
      }
    }
  }

  @Test(
    arguments: ReferenceLikelihood.named.keys.filter { !$0.hasSuffix("-library") }.sorted())
  func drawsFollowTheDensityAndTheirMeanIsTheMean(_ name: String) throws {
    let likelihood = try #require(ReferenceLikelihood.named[name])
    let model = Constant(likelihood)
    let means = try model.observe(.mean, rows: 0..<2)
    let columns = try model.columns(Self.draws)
    for index in 0..<Self.inputs {
      let expected = Self.distribution(likelihood) {
        model.reference.term($0, model.operands[index])
      }
      let mass = expected.reduce(0) { $0 + $1.probability }
      try #require(abs(mass - 1) < 1e-5, "the density has a mass of \(mass)")
      let mean = expected.reduce(0) { $0 + $1.value * $1.probability }
      let variance = expected.reduce(0) {
        $0 + ($1.value - mean) * ($1.value - mean) * $1.probability
      }
      if case .categorical = likelihood.family {
        let likeliest = try #require(expected.max { $0.probability < $1.probability })
        #expect(Double(means[index]) == likeliest.value)
      } else {
        #expect(abs(Double(means[index]) - mean) < 2e-5 * max(1, abs(mean)), "value \(index)")
      }
      let column = columns[index]
      let found = column.reduce(0, +) / Double(Self.draws)
      #expect(abs(found - mean) < 5 * (variance / Double(Self.draws)).squareRoot(), "\(index)")
      // Kolmogorov and Smirnov: 1.95 / √n is passed once in a thousand.
      let sorted = column.sorted()
      var (distance, below, drawn) = (0.0, 0.0, 0)
      for (value, probability) in expected {
        below += probability
        let edge = Double(Float(value)) + 1e-9
        while drawn < sorted.count && sorted[drawn] <= edge { drawn += 1 }
        distance = max(distance, abs(below - Double(drawn) / Double(Self.draws)))
      }
      #expect(distance < 2.2 / Double(Self.draws).squareRoot(), "value \(index): \(distance)")
    }
  }

  @Test(arguments: ["poisson-library", "negative-binomial-library", "zero-inflated-library"])
  func meansOfSharesAddUpToTheTotal(_ name: String) throws {
    let likelihood = try #require(ReferenceLikelihood.named[name])
    let model = Constant(likelihood)
    let sum = model.operands.reduce(0) { $0 + exp($1[0]) }
    let means = try model.observe(.mean, rows: 0..<1, total: 300)
    let columns = try model.columns(Self.draws, total: 300)
    for index in 0..<Self.inputs {
      let share = exp(model.operands[index][0]) / sum
      let kept =
        name == "zero-inflated-library" ? 1 - 1 / (1 + exp(-model.operands[index][1])) : 1
      #expect(abs(Double(means[index]) - 300 * share * kept) < 1e-3)
      let found = columns[index].reduce(0, +) / Double(Self.draws)
      let squares = columns[index].reduce(0) { $0 + ($1 - found) * ($1 - found) }
      let error = squares.squareRoot() / Double(Self.draws)
      #expect(abs(found - 300 * share * kept) < 5 * error, "\(index): \(found)")
    }
  }

  @Test func tablesAreDrawnColumnByColumnInTheirOwnUnits() throws {
    let columns = [
      TableColumn(.gaussian, center: 100, scale: 20),
      TableColumn(.logNormal, center: 1, scale: 0.5),
      TableColumn(.bernoulli), TableColumn(.poisson), TableColumn(.categorical(classes: 3)),
    ]
    let harness = ModelHarness(
      ModelConfiguration(
        inputs: 5, hidden: [3], latent: 2, activation: .tanh,
        likelihood: Likelihood(.table(columns))),
      capacity: 100)
    let outputs = [0.5, -0.8, 0.3, -0.4, 0.7, 1.1, 0.2, -0.5, 1.0]
    let head = try #require(
      harness.model.layout.tensors.first {
        $0.name.hasPrefix("decoder.") && $0.name.hasSuffix(".bias")
          && $0.read(from: harness.parameters).count == outputs.count
      })
    head.write(outputs.map { Float($0) }, into: harness.parameters)
    let model = harness.model
    func observe(_ observation: Observation, _ rows: Range<Int>) throws -> [Double] {
      let values = FloatBuffer(count: rows.count * 5).matrix(rows: rows.count, columns: 5)
      try model.observe(
        FloatBuffer(count: rows.count * 2).matrix(rows: rows.count, columns: 2),
        query: ObservationQuery(observation, rows: rows.map { UInt32($0) }, seed: 1),
        parameters: harness.parameters, into: values)
      return values.elements.map { Double($0) }
    }
    let variances = [exp(-0.8), exp(-0.4)]
    let expected = [
      100 + 20 * 0.5, exp(1 + 0.5 * 0.3 + 0.125 * variances[1]), 1 / (1 + exp(-0.7)), exp(1.1), 2,
    ]
    let means = try observe(.mean, 0..<1)
    for (mean, value) in zip(means, expected) { #expect(abs(mean - value) < 1e-4 * value) }

    var draws = [[Double]](repeating: [], count: 5)
    for start in stride(from: 0, to: Self.draws, by: 100) {
      for (index, value) in try observe(.draw, start..<start + 100).enumerated() {
        draws[index % 5].append(value)
      }
    }
    for index in 0..<4 {
      let found = draws[index].reduce(0, +) / Double(Self.draws)
      let squares = draws[index].reduce(0) { $0 + ($1 - found) * ($1 - found) }
      #expect(
        abs(found - expected[index]) < 5 * squares.squareRoot() / Double(Self.draws), "\(index)")
    }
    let weights = outputs.suffix(3).map { exp($0) }
    for (index, weight) in weights.enumerated() {
      let share = weight / weights.reduce(0, +)
      let found = Double(draws[4].count { $0 == Double(index) }) / Double(Self.draws)
      #expect(abs(found - share) < 5 * (share * (1 - share) / Double(Self.draws)).squareRoot())
    }
  }

  // Figures of a table of the normal distribution, and through it and back.
  @Test func theNormalQuantileInvertsTheDistribution() {
    for (probability, value) in [
      (0.975, 1.959963984540054), (0.025, -1.959963984540054), (0.5, 0), (0.9, 1.2815515655446004),
      (1e-10, -6.361340902404056), (0.8413447460685429, 1),
    ] {
      #expect(abs(Quantile.normal(probability) - value) < 1e-13 * max(1, abs(value)))
    }
    for exponent in stride(from: -300.0, through: -0.31, by: 0.37) {
      let probability = pow(10, exponent)
      let back = 0.5 * erfc(-Quantile.normal(probability) / 2.0.squareRoot())
      #expect(abs(back / probability - 1) < 1e-11, "\(probability)")
    }
    #expect(Quantile.normal(0) == -.infinity && Quantile.normal(1) == .infinity)
  }
}
