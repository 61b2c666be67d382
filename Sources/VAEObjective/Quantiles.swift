#if canImport(Glibc)
internal import Glibc
#endif

/// Inverse distribution functions, for whoever turns uniform numbers into others.
public enum Quantile {
  /// The standard normal x with P(X ≤ x) = p.
  ///
  /// A first guess within 5e-4, and two of Halley's steps, which each triple the digits.
  ///
  /// - Source: Abramowitz & Stegun 1964, formula 26.2.23, for the guess.
  public static func normal(_ probability: Double) -> Double {
    if probability <= 0 { return -.infinity }
    if probability >= 1 { return .infinity }
    let tail = min(probability, 1 - probability)
    let t = (-2 * log(tail)).squareRoot()
    let upper =
      t - (2.515517 + t * (0.802853 + t * 0.010328))
      / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    var x = -upper  // of the lower tail, whose probability keeps its digits
    for _ in 0..<2 {
      let error = 0.5 * erfc(-x / 2.0.squareRoot()) - tail
      let step = error * (2 * Double.pi).squareRoot() * exp(0.5 * x * x)
      x -= step / (1 + 0.5 * x * step)
    }
    return probability < 0.5 ? x : -x
  }

  /// The smallest count k with P(X ≤ k) ≥ p.
  ///
  /// - Parameters:
  ///   - probability: p.
  ///   - mean: The mean, ≥ 0.
  ///   - dispersion: θ of a negative binomial, whose variance is mean + mean² / θ; infinite for Poisson.
  /// - Returns: k ≥ 0.
  static func count(_ probability: Double, mean: Double, dispersion: Double) -> Double {
    if !(mean > 0) { return 0 }
    let isPoisson = dispersion == .infinity
    let variance = isPoisson ? mean : mean + mean * mean / dispersion
    // Below there is nothing that a double can tell from 0.
    var k = max((mean - 12 * variance.squareRoot()).rounded(.down), 0)
    var mass = isPoisson ? poisson(k, mean) : negativeBinomial(k, mean, dispersion)
    var total = mass
    while total < probability && (k < mean || mass > 1e-18) {
      let ratio = isPoisson ? mean : (k + dispersion) * mean / (mean + dispersion)
      k += 1
      mass *= ratio / k
      total += mass
    }
    return k
  }

  private static func poisson(_ k: Double, _ mean: Double) -> Double {
    exp(k * log(mean) - mean - lgamma(k + 1))
  }

  private static func negativeBinomial(
    _ k: Double, _ mean: Double, _ dispersion: Double
  ) -> Double {
    let ways = lgamma(k + dispersion) - lgamma(dispersion) - lgamma(k + 1)
    return exp(ways - dispersion * log1p(mean / dispersion) - k * log1p(dispersion / mean))
  }
}
