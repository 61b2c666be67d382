import Foundation
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// A VAE whose log p(x) is known: x = W z + b + σ ε with orthogonal columns of W, so that the true
/// posterior is a diagonal Gaussian that a linear encoder can be.
@Suite struct LinearGaussianTests {
  static let columns = [[0.8, 0.8, 0.8, 0.8], [0.5, -0.5, 0.5, -0.5]]  // W, by latents
  static let offset = [0.1, -0.2, 0.3, 0.4]
  static let logVariance = -1.2  // log σ²

  /// log N(x; b, W Wᵀ + σ² I), along the columns of W and across them.
  static func logDensity(_ x: [Double]) -> Double {
    let variance = exp(logVariance)
    let d = zip(x, offset).map(-)
    var rest = d.reduce(0) { $0 + $1 * $1 }
    var result = 4 * log(2 * Double.pi) + 2 * logVariance
    for column in columns {
      let size = column.reduce(0) { $0 + $1 * $1 }
      let along = zip(d, column).reduce(0) { $0 + $1.0 * $1.1 } / size.squareRoot()
      rest -= along * along
      result += log(variance + size) + along * along / (variance + size)
    }
    return -0.5 * (result + rest / variance)
  }

  /// The model; the encoder's means are off by `error`, so that q is not the true posterior.
  static func harness(error: Double) -> ModelHarness {
    let harness = ModelHarness(
      ModelConfiguration(
        inputs: 4, hidden: [], latent: 2, activation: .identity,
        likelihood: .gaussian(sigmoidMean: false)),
      capacity: 64)
    let variance = exp(logVariance)
    var tensors: [String: [Double]] = [
      "decoder.mean.weight": (0..<8).map { columns[$0 % 2][$0 / 2] },
      "decoder.mean.bias": offset,
      "decoder.log_variance.weight": [Double](repeating: 0, count: 8),
      "decoder.log_variance.bias": [Double](repeating: logVariance, count: 4),
      "encoder.mean.weight": [], "encoder.mean.bias": [],
      "encoder.log_variance.weight": [Double](repeating: 0, count: 8),
      "encoder.log_variance.bias": [],
    ]
    // z | x ~ N(wᵀ (x − b) / (σ² + |w|²), σ² / (σ² + |w|²)) for each column w.
    for column in columns {
      let total = variance + column.reduce(0) { $0 + $1 * $1 }
      let shift = zip(column, offset).reduce(0) { $0 + $1.0 * $1.1 } / total
      tensors["encoder.mean.weight"]? += column.map { $0 / total }
      tensors["encoder.mean.bias"]?.append(error - shift)
      tensors["encoder.log_variance.bias"]?.append(log(variance / total))
    }
    harness.set(tensors)
    return harness
  }

  static func examples(_ count: Int) -> [[Double]] {
    var random = TestRandom(seed: 9)
    return (0..<count).map { _ in random.uniform(4, in: -2...2) }
  }

  static func bound(
    _ harness: ModelHarness, _ x: [Double], example: UInt32, draws: Int
  ) throws -> Double {
    try estimate(harness, x, example: example, draws: draws).bound
  }

  static func estimate(
    _ harness: ModelHarness, _ x: [Double], example: UInt32, draws: Int
  ) throws -> ImportanceEstimate {
    let data = FloatBuffer(x)
    let scratch = FloatBuffer(count: 128)
    return try harness.model.importanceWeightedBound(
      of: data.matrix(rows: 1, columns: 4), example: example, drawCount: draws,
      noise: RandomStream(seed: 1, purpose: .evaluationNoise), parameters: harness.parameters,
      scratch: scratch.matrix(rows: 64, columns: 2))
  }

  @Test(arguments: [1, 7, 64, 200]) func withTheTruePosteriorEveryBoundIsLogDensity(
    _ draws: Int
  ) throws {
    let harness = Self.harness(error: 0)
    for (number, x) in Self.examples(10).enumerated() {
      let bound = try Self.bound(harness, x, example: UInt32(number), draws: draws)
      // Every weight is p(x); what is left is the rounding of terms of size ten.
      #expect(abs(bound - Self.logDensity(x)) < 1e-5)
    }
  }

  @Test func boundsAreOrderedAndTighten() throws {
    let harness = Self.harness(error: 0.3)
    let x = Self.examples(1)[0]
    let truth = Self.logDensity(x)
    func mean(draws: Int) throws -> (value: Double, error: Double) {
      let values = try (0..<400).map {
        try Self.bound(harness, x, example: UInt32($0), draws: draws)
      }
      let average = values.reduce(0, +) / 400
      let variance = values.reduce(0) { $0 + ($1 - average) * ($1 - average) } / 399
      return (average, (variance / 400).squareRoot())
    }
    let bounds = try [1, 10, 100].map { try mean(draws: $0) }
    #expect(bounds[0].value < bounds[1].value)
    #expect(bounds[1].value < bounds[2].value)
    #expect(bounds[2].value <= truth + 4 * bounds[2].error)
    #expect(truth - bounds[2].value < 0.2 * (truth - bounds[0].value))

    // K = 1 in the mean is the ELBO with the exact KL: log p(x) − KL(q ‖ true posterior).
    let variance = exp(Self.logVariance)
    let gap = Self.columns.reduce(0.0) { sum, column in
      let total = variance + column.reduce(0) { $0 + $1 * $1 }
      return sum + 0.5 * 0.3 * 0.3 / (variance / total)
    }
    #expect(abs(bounds[0].value - (truth - gap)) < 4 * bounds[0].error)
  }

  @Test func elboIsLogDensityMinusTheGapInTheMean() throws {
    let harness = Self.harness(error: 0)
    let data = FloatBuffer(Self.examples(1)[0])
    let noise = FloatBuffer(count: 2)
    var sum = 0.0
    var squares = 0.0
    for draw in 0..<2000 {
      let row = noise.matrix(rows: 1, columns: 2)
      withUnsafePointer(to: UInt32(draw)) {
        RandomStream(seed: 2, purpose: .trainingNoise).fillNormal(
          row, examples: UnsafeBufferPointer(start: $0, count: 1))
      }
      let elbo = try harness.model.elbo(
        of: data.matrix(rows: 1, columns: 4), noise: row, parameters: harness.parameters
      ).elbo
      sum += elbo
      squares += elbo * elbo
    }
    let mean = sum / 2000
    let error = ((squares / 2000 - mean * mean) / 2000).squareRoot()
    #expect(abs(mean - Self.logDensity(Self.examples(1)[0])) < 4 * error)
  }
}
