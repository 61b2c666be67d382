internal import CKernels

// The fused loops of the objective, with their shapes checked. What each computes is derived beside
// the C loop; the plain versions that they are tested against are in Tests/TestSupport.

/// z = μ + σ ⊙ ε and KL(N(μ, σ²) ‖ N(0, I)).
///
/// - Shape: `posterior` is `[examples, 2 * latent]`, means then log variances; `noise` and `latents`
///   are `[examples * draws, latent]`; `klDivergence` is `[examples]`.
/// - Units: nats, summed over latents.
/// - Source: Kingma & Welling 2014, equation 10 and appendix B.
public func reparameterize(
  posterior: MatrixView, noise: MatrixView, draws: Int, into latents: MatrixView,
  klDivergence: UnsafeMutableBufferPointer<Double>
) {
  check(posterior, noise, latents, draws)
  guard let figures = klDivergence.baseAddress else { return }
  precondition(klDivergence.count >= posterior.rows, "Too little room for the KL divergences")
  vd_kernel_reparameterize(
    posterior.rows, latents.columns, draws, posterior.denseBase, noise.denseBase, latents.denseBase,
    figures)
}

/// The backward of ``reparameterize(posterior:noise:draws:into:klDivergence:)`` for the sum of
/// negative reconstruction and KL divergence.
///
/// - Shape: As in the forward; `latentGradient` is like `latents`, `gradient` like `posterior`.
/// - Parameters:
///   - latentGradient: ∂/∂z, with 1 / draws already in it.
///   - posterior: Means and log variances of the forward.
///   - noise: The noise of the forward.
///   - draws: Draws per example.
///   - klWeights: How often the KL divergence of each latent counts, `[latent]`.
///   - gradient: Receives ∂/∂μ and ∂/∂log σ², the KL divergence's own part included.
public func reparameterizeBackward(
  latentGradient: MatrixView, posterior: MatrixView, noise: MatrixView, draws: Int,
  klWeights: FloatBuffer, into gradient: MatrixView
) {
  check(posterior, noise, latentGradient, draws)
  precondition(
    gradient.count == posterior.count && klWeights.count == latentGradient.columns,
    "The gradient \(gradient.shape) of a posterior \(posterior.shape) has its shape")
  vd_kernel_reparameterize_backward(
    posterior.rows, latentGradient.columns, draws, posterior.denseBase, noise.denseBase,
    latentGradient.denseBase, klWeights.base, gradient.denseBase)
}

/// Adds KL(q ‖ N(0, I)) of each latent, summed over the rows.
///
/// - Shape: `posterior` is `[examples, 2 * latent]`; `sums` is `[latent]`.
/// - Units: nats.
public func addDivergences(of posterior: MatrixView, to sums: UnsafeMutableBufferPointer<Double>) {
  precondition(
    posterior.columns == 2 * sums.count,
    "A posterior \(posterior.shape) does not have \(sums.count) latents")
  guard let start = sums.baseAddress else { return }
  vd_kernel_add_divergences(posterior.rows, sums.count, posterior.denseBase, start)
}

/// What the gradient of a draw's log weight, log p(x|z) + log p(z) − log q(z|x), takes along.
public enum GradientEstimator: String, CaseIterable, Sendable, Codable {
  /// All of it.
  case standard
  /// What comes through z; q's own parameters in log q(z|x) are held (Roeder, Wu & Duvenaud 2017).
  case stickingTheLanding = "stl"
  /// What comes through z, with squared weights (Tucker, Lawson, Gu & Maddison 2019, equation 8).
  case doublyReparameterized = "dreg"
}

/// The gradient of −Σ weight · log w with respect to the posterior's parameters, the weights held.
///
/// - Shape: `posterior` and `gradient` are `[examples, 2 * latent]`; `noise`, `priorScores`
///   and `latentGradient` are `[examples * draws, latent]`; `weights` is `[examples * draws]`.
/// - Parameters:
///   - latentGradient: That of −log p(x|z), times each draw's weight.
///   - posterior: Means and log variances of the forward.
///   - noise: The noise of the forward.
///   - priorScores: −∂log p(z)/∂z of each draw; for N(0, I) the draw itself.
///   - weights: How much each draw counts; they add up to 1 for each example.
///   - draws: Draws per example.
///   - estimator: What is taken along.
///   - beta: What log p(z) − log q(z|x) is multiplied by.
///   - gradient: Receives ∂/∂μ and ∂/∂log σ².
public func drawGradient(
  latentGradient: MatrixView, posterior: MatrixView, noise: MatrixView, priorScores: MatrixView,
  weights: UnsafeBufferPointer<Float>, draws: Int, estimator: GradientEstimator, beta: Float,
  into gradient: MatrixView
) {
  check(posterior, noise, latentGradient, draws)
  precondition(
    gradient.count == posterior.count && priorScores.count == noise.count
      && weights.count >= noise.rows,
    "The gradient \(gradient.shape) of a posterior \(posterior.shape) has its shape")
  let kind =
    switch estimator {
    case .standard: VD_KERNEL_WHOLE
    case .stickingTheLanding: VD_KERNEL_PATH
    case .doublyReparameterized: VD_KERNEL_DOUBLY
    }
  vd_kernel_draw_gradient(
    posterior.rows, noise.columns, draws, kind, beta, posterior.denseBase, noise.denseBase,
    priorScores.denseBase, latentGradient.denseBase, weights.baseAddress, gradient.denseBase)
}

/// log p(z) − log q(z|x) of each draw, from the noise that made it.
///
/// - Shape: As in ``reparameterize(posterior:noise:draws:into:klDivergence:)``; `logRatio` is
///   `[examples * draws]`.
/// - Units: nats.
public func logPriorRatio(
  posterior: MatrixView, noise: MatrixView, latents: MatrixView, draws: Int,
  into logRatio: UnsafeMutableBufferPointer<Double>
) {
  check(posterior, noise, latents, draws)
  guard let figures = logRatio.baseAddress else { return }
  precondition(logRatio.count >= latents.rows, "Too little room for the ratios")
  vd_kernel_log_prior_ratio(
    latents.rows, latents.columns, draws, posterior.denseBase, noise.denseBase, latents.denseBase,
    figures)
}

private func check(
  _ posterior: MatrixView, _ noise: MatrixView, _ latents: MatrixView, _ draws: Int
) {
  precondition(
    posterior.columns == 2 * latents.columns && latents.rows == posterior.rows * draws
      && noise.count == latents.count,
    "A posterior \(posterior.shape) with \(draws) draws does not fit noise \(noise.shape)"
      + " and latents \(latents.shape)")
}
