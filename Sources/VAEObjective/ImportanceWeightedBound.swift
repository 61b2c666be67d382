internal import Layers
public import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// log of a mean of exponentials, one term at a time, without overflow.
struct StreamingLogMeanExp {
  private var largest = -Double.infinity
  private var sum = 0.0
  private var squareSum = 0.0
  private var count = 0

  mutating func add(_ logarithm: Double) {
    count += 1
    if logarithm <= largest {
      let term = exp(logarithm - largest)
      sum += term
      squareSum += term * term
    } else {
      let factor = exp(largest - logarithm)
      sum = sum * factor + 1
      squareSum = squareSum * factor * factor + 1
      largest = logarithm
    }
  }

  var value: Double { largest + log(sum) - log(Double(count)) }

  /// (Σ w)² / Σ w², between 1 and the number of terms.
  var effectiveCount: Double { sum * sum / squareSum }
}

/// How log p(x) is estimated.
public struct ImportanceSampling: Sendable, Equatable {
  /// K: draws of z per example.
  public var drawCount: Int
  /// T: distributions between q(z|x) and p(z|x) that each draw is led through; 0 for none.
  public var annealingSteps: Int

  /// Both.
  public init(drawCount: Int, annealingSteps: Int = 0) {
    precondition(drawCount > 0 && annealingSteps >= 0)
    self.drawCount = drawCount
    self.annealingSteps = annealingSteps
  }
}

/// What importance sampling says of log p(x) of one example.
public struct ImportanceEstimate: Sendable, Equatable {
  /// log (1/K) Σ_k p(x, z_k) / q(z_k|x), nats.
  public let bound: Double
  /// (Σ w)² / Σ w²: how many equally weighted draws the K are worth.
  public let effectiveSampleSize: Double

  /// Both figures.
  public init(bound: Double, effectiveSampleSize: Double) {
    self.bound = bound
    self.effectiveSampleSize = effectiveSampleSize
  }
}

extension VariationalAutoencoder {
  /// The importance-weighted bound of one example: log (1/K) Σ_k p(x, z_k) / q(z_k|x), z_k ~ q.
  ///
  /// After ``preparePrior(parameters:)``. In the mean over draws it lies between the ELBO (K = 1) and log p(x), and rises with K.
  ///
  /// - Shape: `data` is `[1, inputs]`, `labels` `[1]`; `scratch` lends room for noise, `[capacity * draws, latent]`.
  /// - Units: nats.
  /// - Parameters:
  ///   - data: One example.
  ///   - labels: Its class; nil where the model knows none.
  ///   - example: Its number, which keys the noise.
  ///   - drawCount: K.
  ///   - noise: Where the noise comes from.
  ///   - parameters: The flat parameters.
  ///   - scratch: Overwritten.
  /// - Returns: The bound, and how evenly the draws count.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  /// - Source: Burda, Grosse & Salakhutdinov 2016, equation 8.
  public func importanceWeightedBound(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, example: UInt32,
    drawCount: Int, noise: RandomStream,
    parameters: FloatBuffer, scratch: MatrixView
  ) throws(KernelError) -> ImportanceEstimate {
    precondition(data.rows == 1 && drawCount > 0, "One example and at least one draw")
    let posterior = try encode(data, labels: labels, parameters: parameters)
    var mean = StreamingLogMeanExp()
    var drawn = 0
    let capacity = min(scratch.rows, drawFigures.count)
    while drawn < drawCount {
      let draws = min(drawCount - drawn, capacity)
      let noiseRows = scratch.rows(0..<draws)
      withUnsafePointer(to: example) {
        noise.fillNormal(
          noiseRows, examples: UnsafeBufferPointer(start: $0, count: 1), firstDraw: drawn,
          draws: draws)
      }
      try scoreDraws(
        data, labels, posterior: posterior, noise: noiseRows, parameters: parameters
      ) { mean.add($0) }
      drawn += draws
    }
    return ImportanceEstimate(bound: mean.value, effectiveSampleSize: mean.effectiveCount)
  }

  // log p(x|z) + log p(z) − log q(z|x) of each draw.
  private func scoreDraws(
    _ data: MatrixView, _ labels: UnsafeBufferPointer<UInt32>?, posterior: MatrixView,
    noise: MatrixView, parameters: FloatBuffer, _ body: (Double) -> Void
  ) throws(KernelError) {
    let draws = noise.rows
    let latents = latentRows(draws)
    reparameterize(
      posterior: posterior, noise: noise, draws: draws, into: latents, klDivergence: exampleFigures)
    let decoded = try decode(latents, labels: labels, scoring(parameters))
    scorer.score(
      data, outputs: decoded, draws: draws, parameters: parameters, into: drawFigures)
    let logLikelihoods = Array(drawFigures[..<draws])
    _ = prior?.density(of: latents, arena: arena)
    findPriorRatios(
      posterior: posterior, noise: noise, latents: latents, draws: draws, into: drawFigures)
    for (logLikelihood, logRatio) in zip(logLikelihoods, drawFigures) {
      body(logLikelihood + logRatio)
    }
  }

  /// log p(z) − log q(z|x) of each draw; a learned prior has found its densities before.
  private func findPriorRatios(
    posterior: MatrixView, noise: MatrixView, latents: MatrixView, draws: Int,
    into ratios: UnsafeMutableBufferPointer<Double>
  ) {
    guard let prior else {
      return logPriorRatio(
        posterior: posterior, noise: noise, latents: latents, draws: draws, into: ratios)
    }
    logPosterior(posterior, noise: noise, draws: draws, into: ratios)
    for (index, logDensity) in prior.logDensityOfDraws(latents.rows).enumerated() {
      ratios[index] = logDensity - ratios[index]
    }
  }

  /// Replaces ``drawWeights`` by each draw's share of its example's importance weights,
  /// w̃_k = w_k / Σ w, where w = p(x, z) / q(z|x).
  ///
  /// - Parameters:
  ///   - posterior: Means and log variances.
  ///   - noise: The noise that made the draws.
  ///   - latents: The draws, whose log p(x|z) are in ``drawFigures``.
  /// - Returns: Σ over the examples of log (1/K) Σ_k w_k, nats.
  func weighDraws(posterior: MatrixView, noise: MatrixView, latents: MatrixView) -> Double {
    let draws = configuration.draws
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: noise.rows) { ratios in
      findPriorRatios(
        posterior: posterior, noise: noise, latents: latents, draws: draws, into: ratios)
      var sum = 0.0
      for first in stride(from: 0, to: noise.rows, by: draws) {
        var mean = StreamingLogMeanExp()
        for draw in first..<first + draws {
          ratios[draw] += drawFigures[draw]
          mean.add(ratios[draw])
        }
        let total = mean.value + log(Double(draws))
        for draw in first..<first + draws { drawWeights[draw] = Float(exp(ratios[draw] - total)) }
        sum += mean.value
      }
      return sum
    }
  }
}
