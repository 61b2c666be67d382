/// The evidence lower bound of a set of examples, as sums, so that parts can be added.
///
/// `ELBO = E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)) ≤ log p(x)`, every constant kept.
///
/// - Units: nats; the means are nats per example.
/// - Source: Kingma & Welling 2014, equation 3.
public struct ELBO: Sendable, Equatable {
  /// Σ over examples of the mean over draws of log p(x|z).
  public var reconstructionLogLikelihoodSum: Double
  /// Σ over examples of KL(q(z|x) ‖ p(z)).
  public var klDivergenceSum: Double
  /// How many examples were summed.
  public var exampleCount: Int
  /// Σ over examples of the square of each one's bound, nats².
  public var squareSum = 0.0

  /// Of no examples, unless sums are given.
  public init(
    reconstructionLogLikelihoodSum: Double = 0, klDivergenceSum: Double = 0, exampleCount: Int = 0
  ) {
    self.reconstructionLogLikelihoodSum = reconstructionLogLikelihoodSum
    self.klDivergenceSum = klDivergenceSum
    self.exampleCount = exampleCount
  }

  /// Mean of E_q[log p(x|z)], nats per example; NaN of no examples.
  public var reconstructionLogLikelihood: Double {
    reconstructionLogLikelihoodSum / Double(exampleCount)
  }
  /// Mean KL divergence, nats per example, ≥ 0; NaN of no examples.
  public var klDivergence: Double { klDivergenceSum / Double(exampleCount) }
  /// Mean bound, nats per example; NaN of no examples.
  public var elbo: Double { reconstructionLogLikelihood - klDivergence }

  /// The standard error of ``elbo`` over examples, nats; that of the draws is part of it.
  public var standardError: Double {
    let count = Double(exampleCount)
    let variance = max(squareSum / count - elbo * elbo, 0) * count / max(count - 1, 1)
    return (variance / count).squareRoot()
  }

  /// Whether both sums are numbers.
  public var isFinite: Bool {
    reconstructionLogLikelihoodSum.isFinite && klDivergenceSum.isFinite
  }

  /// Adds the examples of another part.
  public static func += (sum: inout ELBO, part: ELBO) {
    sum.reconstructionLogLikelihoodSum += part.reconstructionLogLikelihoodSum
    sum.klDivergenceSum += part.klDivergenceSum
    sum.exampleCount += part.exampleCount
    sum.squareSum += part.squareSum
  }
}
