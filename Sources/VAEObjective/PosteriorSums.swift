/// What is known of the posteriors of a set of examples, as sums, so that parts can be added.
///
/// - Units: divergences in nats.
public struct PosteriorSums: Sendable, Equatable {
  /// KL(q(z_j|x) ‖ N(0, 1)) of each latent, summed over the examples.
  public var divergences: [Double]
  /// The posterior means of each latent, summed.
  public var means: [Double]
  /// Their squares, summed.
  public var squares: [Double]
  /// How many examples were summed.
  public var exampleCount = 0

  /// Of no examples.
  public init(latent: Int) {
    divergences = [Double](repeating: 0, count: latent)
    means = divergences
    squares = divergences
  }

  /// The mean KL divergence of each latent, nats.
  public var meanDivergences: [Double] { divergences.map { $0 / Double(exampleCount) } }

  /// The variance of each latent's posterior mean over the examples.
  public var variances: [Double] {
    zip(means, squares).map { mean, square in
      let average = mean / Double(exampleCount)
      return max(square / Double(exampleCount) - average * average, 0)
    }
  }

  /// How many latents' posterior means vary by more than 0.01 (Burda, Grosse & Salakhutdinov 2016,
  /// section 5.1).
  public var activeUnitCount: Int { variances.count { $0 > 0.01 } }

  /// Whether the decoder has learned to do without z.
  ///
  /// No unit is active, or, where p(z) is N(0, I) and so the divergences are those of the bound, fewer than
  /// half of them are and less than half a nat is told through all. Fewer than ``fewestToJudge`` examples
  /// may be alike, and tell nothing.
  public func isCollapsed(hasStandardPrior: Bool) -> Bool {
    if exampleCount < Self.fewestToJudge { return false }
    let active = activeUnitCount
    return active == 0
      || (hasStandardPrior && 2 * active < means.count && meanDivergences.reduce(0, +) < 0.5)
  }

  /// The examples that a verdict takes.
  public static var fewestToJudge: Int { 50 }

  /// Adds the examples of another part.
  public static func += (sum: inout PosteriorSums, part: PosteriorSums) {
    for latent in sum.means.indices {
      sum.divergences[latent] += part.divergences[latent]
      sum.means[latent] += part.means[latent]
      sum.squares[latent] += part.squares[latent]
    }
    sum.exampleCount += part.exampleCount
  }

  /// All numbers in a row, for the other ranks.
  public var encoded: [Double] { divergences + means + squares + [Double(exampleCount)] }

  /// Sums from ``encoded``.
  public init(encoded: [Double]) {
    let latent = (encoded.count - 1) / 3
    divergences = Array(encoded[..<latent])
    means = Array(encoded[latent..<2 * latent])
    squares = Array(encoded[2 * latent..<3 * latent])
    exampleCount = Int(encoded[3 * latent])
  }
}
