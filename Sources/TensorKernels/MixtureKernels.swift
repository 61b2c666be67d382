internal import CKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// A mixture of diagonal Gaussians over latents: densities, scores and gradients.
///
/// Components lie side by side, one latent after the other: that is how the loops read them.
public struct GaussianMixture {
  /// How many components.
  public let components: Int
  /// Dimensions of z.
  public let latent: Int
  private let means: FloatBuffer  // [latent, stride]
  private let precisions: FloatBuffer  // [latent, stride]
  private let weights: FloatBuffer  // [stride]
  // Of each component's weight and its density at its mean.
  private let logWeights: FloatBuffer  // [stride]
  private let meanGradient: FloatBuffer  // [latent, stride]
  private let varianceGradient: FloatBuffer  // [latent, stride]
  private let weightGradient: FloatBuffer  // [stride]

  // Log variances count as no further from 0 than this, so that squares times precisions are numbers.
  private static let largestLogVariance: Float = 60
  private static let largestPrecision = exp(largestLogVariance)

  /// Elements from the components of one latent to those of the next.
  public var stride: Int { FloatBuffer.roundedUp(components) }

  /// Room for a mixture and its gradient.
  public init(components: Int, latent: Int) {
    precondition(components > 0 && latent > 0, "\(components) components of \(latent) latents")
    self.components = components
    self.latent = latent
    let stride = FloatBuffer.roundedUp(components)
    means = FloatBuffer(count: latent * stride)
    precisions = FloatBuffer(count: latent * stride)
    weights = FloatBuffer(count: stride)
    logWeights = FloatBuffer(count: stride)
    logWeights.mutableElements.update(repeating: -.infinity)
    meanGradient = FloatBuffer(count: latent * stride)
    varianceGradient = FloatBuffer(count: latent * stride)
    weightGradient = FloatBuffer(count: stride)
  }

  /// Takes components.
  ///
  /// - Shape: `means` and `logVariances` are `[components, latent]`.
  /// - Parameters:
  ///   - means: A row a component.
  ///   - logVariances: A row a component.
  ///   - logits: Unnormalised logarithms of the weights, `[components]`; nil for equal weights.
  public func set(
    means: MatrixView, logVariances: MatrixView, logits: UnsafeBufferPointer<Float>?
  ) {
    checkComponents(means, logVariances)
    let largest = Double(logits?.max() ?? 0)
    func weight(_ component: Int) -> Double { exp(Double(logits?[component] ?? 0) - largest) }
    let total = (0..<components).reduce(0.0) { $0 + weight($1) }
    let halfLogTwoPi = 0.5 * log(2 * Double.pi)
    for component in 0..<components {
      let (mean, logVariance) = (means.row(component), logVariances.row(component))
      var logDensity = 0.0  // at the mean
      for index in 0..<latent {
        self.means.base[index * stride + component] = mean[index]
        let bounded = min(
          max(logVariance[index], -Self.largestLogVariance), Self.largestLogVariance)
        precisions.base[index * stride + component] = exp(-bounded)
        logDensity -= halfLogTwoPi + 0.5 * Double(bounded)
      }
      weights.base[component] = Float(weight(component) / total)
      logWeights.base[component] = Float(
        Double(logits?[component] ?? 0) - largest - log(total) + logDensity)
    }
  }

  /// Draws z from the mixture.
  ///
  /// - Shape: `normals` and `latents` are `[latent]`.
  /// - Parameters:
  ///   - uniform: On [0, 1); chooses the component.
  ///   - normals: Standard normal numbers.
  ///   - temperature: What deviations from the component's mean are multiplied by.
  ///   - latents: Receives z.
  public func draw(
    uniform: Float, normals: UnsafeMutableBufferPointer<Float>, temperature: Float,
    into latents: UnsafeMutableBufferPointer<Float>
  ) {
    var rest = uniform
    var component = 0
    while component < components - 1 && rest >= weights.base[component] {
      rest -= weights.base[component]
      component += 1
    }
    for index in 0..<latent {
      let place = index * stride + component
      latents[index] =
        means.base[place] + temperature * normals[index] / precisions.base[place].squareRoot()
    }
  }

  private var kernel: vd_kernel_mixture {
    vd_kernel_mixture(
      latents: latent, components: components, stride: stride,
      means: UnsafePointer(means.base), precisions: UnsafePointer(precisions.base),
      log_weights: UnsafePointer(logWeights.base))
  }

  /// log p(z), nats, and how much of it each component answers for.
  ///
  /// - Shape: `latents` is `[rows, latent]`, `responsibilities` `[rows, stride]`, `logDensity`
  ///   `[rows]`.
  public func density(
    of latents: MatrixView, responsibilities: MatrixView,
    into logDensity: UnsafeMutableBufferPointer<Double>
  ) {
    check(latents, responsibilities)
    precondition(logDensity.count >= latents.rows, "Too little room for \(latents.rows) densities")
    guard let figures = logDensity.baseAddress else { return }
    withUnsafePointer(to: kernel) {
      vd_kernel_mixture_density(
        $0, latents.rows, latents.denseBase, responsibilities.denseBase, figures)
    }
  }

  /// −∂log p(z)/∂z.
  ///
  /// - Shape: As in ``density(of:responsibilities:into:)``, which comes first; `scores` is like
  ///   `latents`.
  public func scores(of latents: MatrixView, responsibilities: MatrixView, into scores: MatrixView)
  {
    check(latents, responsibilities)
    precondition(scores.count == latents.count, "The scores \(scores.shape) of \(latents.shape)")
    withUnsafePointer(to: kernel) {
      vd_kernel_mixture_scores(
        $0, latents.rows, latents.denseBase, responsibilities.denseBase, scores.denseBase)
    }
  }

  /// The gradient of −scale · Σ weight · log p(z) with respect to what
  /// ``set(means:logVariances:logits:)`` took.
  ///
  /// - Parameters:
  ///   - latents: The draws.
  ///   - responsibilities: From ``density(of:responsibilities:into:)``.
  ///   - drawWeights: How much each draw counts, `[rows]`.
  ///   - scale: What all of these are multiplied by.
  ///   - means: Receives ∂/∂means.
  ///   - logVariances: Receives ∂/∂log variances.
  ///   - logits: Receives ∂/∂logits; nil where weights are equal.
  public func gradient(
    of latents: MatrixView, responsibilities: MatrixView,
    drawWeights: UnsafeBufferPointer<Float>, scale: Float, means: MatrixView,
    logVariances: MatrixView, logits: UnsafeMutableBufferPointer<Float>?
  ) {
    check(latents, responsibilities)
    checkComponents(means, logVariances)
    precondition(drawWeights.count >= latents.rows, "Too few weights for \(latents.rows) draws")
    for buffer in [meanGradient, varianceGradient, weightGradient] {
      buffer.mutableElements.update(repeating: 0)
    }
    withUnsafePointer(to: kernel) {
      vd_kernel_mixture_gradient(
        $0, latents.rows, latents.denseBase, responsibilities.denseBase, drawWeights.baseAddress,
        scale, meanGradient.base, varianceGradient.base, weightGradient.base)
    }
    let total = scale * drawWeights[..<latents.rows].reduce(0, +)
    for component in 0..<components {
      let (mean, logVariance) = (means.row(component), logVariances.row(component))
      for index in 0..<latent {
        mean[index] = meanGradient.base[index * stride + component]
        let place = index * stride + component
        // Nothing changes beyond the bounds.
        let isBounded =
          precisions.base[place] >= Self.largestPrecision
          || precisions.base[place] <= 1 / Self.largestPrecision
        logVariance[index] = isBounded ? 0 : varianceGradient.base[place]
      }
      // A logit raises its own weight and lowers all.
      logits?[component] = weightGradient.base[component] + total * weights.base[component]
    }
  }

  private func checkComponents(_ means: MatrixView, _ logVariances: MatrixView) {
    precondition(
      means.rows == components && means.columns == latent && logVariances.rows == components
        && logVariances.columns == latent,
      "Means \(means.shape) and log variances \(logVariances.shape) are not \(components)"
        + " components of \(latent) latents")
  }

  private func check(_ latents: MatrixView, _ responsibilities: MatrixView) {
    precondition(
      latents.columns == latent && responsibilities.rows == latents.rows
        && responsibilities.columns == stride,
      "Latents \(latents.shape) and responsibilities \(responsibilities.shape) do not fit"
        + " \(components) components of \(latent) latents")
  }
}

/// log q(z|x) of each draw from its own posterior, from the noise that made it.
///
/// - Shape: `posterior` is `[examples, 2 * latent]`; `noise` is `[examples * draws, latent]`.
/// - Units: nats.
public func logPosterior(
  _ posterior: MatrixView, noise: MatrixView, draws: Int,
  into logDensity: UnsafeMutableBufferPointer<Double>
) {
  precondition(
    posterior.columns == 2 * noise.columns && noise.rows == posterior.rows * draws
      && logDensity.count >= noise.rows,
    "A posterior \(posterior.shape) with \(draws) draws does not fit noise \(noise.shape)")
  guard let figures = logDensity.baseAddress else { return }
  vd_kernel_log_posterior(
    noise.rows, noise.columns, draws, posterior.denseBase, noise.denseBase, figures)
}
