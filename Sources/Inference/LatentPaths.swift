internal import VAEObjective

#if canImport(Glibc)
internal import Glibc
#endif

func naturalExponential(_ value: Float) -> Float { exp(value) }

/// Latents that belong together, one row after the other.
public enum LatentPaths {
  /// From one latent vector to another in equal steps, both ends included.
  ///
  /// - Parameters:
  ///   - start: The first.
  ///   - end: The last.
  ///   - count: How many, 2 at least.
  ///   - isSpherical: Whether along the great circle, the length changing evenly, since draws of many
  ///     dimensions lie near a sphere (White 2016).
  /// - Returns: `[count, latent]`.
  public static func interpolate(
    from start: [Float], to end: [Float], count: Int, isSpherical: Bool
  ) -> [Float] {
    precondition(start.count == end.count && count > 1, "A path has two ends of one size")
    func norm(_ values: [Float]) -> Double {
      values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    }
    let (first, last) = (norm(start), norm(end))
    let product = zip(start, end).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let angle =
      first > 0 && last > 0 ? acos(min(max(product / (first * last), -1), 1)) : 0
    return (0..<count).flatMap { step -> [Float] in
      let t = Double(step) / Double(count - 1)
      var (a, b) = (1 - t, t)
      // Neither opposite ends nor equal directions have one great circle between them.
      if isSpherical && angle > 1e-6 && angle < .pi - 1e-6 {
        let length = first + t * (last - first)
        a = length * sin((1 - t) * angle) / sin(angle) / first
        b = length * sin(t * angle) / sin(angle) / last
      }
      return zip(start, end).map { Float(a * Double($0) + b * Double($1)) }
    }
  }

  /// One latent at a time from low to high, the others where they are; a row of steps a latent.
  ///
  /// - Parameters:
  ///   - origin: Where the others stay, `[latent]`.
  ///   - latents: Which ones move.
  ///   - range: From where to where.
  ///   - count: Steps of each, 2 at least.
  /// - Returns: `[latents.count * count, latent]`.
  public static func traverse(
    _ origin: [Float], latents: [Int], range: ClosedRange<Float>, count: Int
  ) -> [Float] {
    latents.flatMap { latent in
      (0..<count).flatMap { step -> [Float] in
        var z = origin
        let t = Float(step) / Float(max(count - 1, 1))
        z[latent] = range.lowerBound + t * (range.upperBound - range.lowerBound)
        return z
      }
    }
  }

  /// The unit square in equal steps, through the Gaussian inverse distribution function: as many draws of
  /// N(0, I) fall between any two neighbours.
  ///
  /// The first latent rises from left to right, the second from bottom to top.
  ///
  /// - Source: Kingma & Welling 2014, appendix A and figure 4.
  /// - Parameter size: Steps along each axis.
  /// - Returns: `[size * size, 2]`, the topmost row first.
  public static func manifold(size: Int) -> [Float] {
    let axis = (0..<size).map {
      Float(Quantile.normal((Double($0) + 0.5) / Double(size)))
    }
    return axis.reversed().flatMap { y in axis.flatMap { x in [x, y] } }
  }
}
