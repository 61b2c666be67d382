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
///   - gradient: Receives ∂/∂μ and ∂/∂log σ², the KL divergence's own part included.
public func reparameterizeBackward(
  latentGradient: MatrixView, posterior: MatrixView, noise: MatrixView, draws: Int,
  into gradient: MatrixView
) {
  check(posterior, noise, latentGradient, draws)
  precondition(
    gradient.count == posterior.count,
    "The gradient \(gradient.shape) of a posterior \(posterior.shape) has its shape")
  vd_kernel_reparameterize_backward(
    posterior.rows, latentGradient.columns, draws, posterior.denseBase, noise.denseBase,
    latentGradient.denseBase, gradient.denseBase)
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
