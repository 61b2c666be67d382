internal import CKernels

// The fused loops of the objective, with their shapes checked. What each computes is derived beside
// the C loop; the plain versions that they are tested against are in Tests/TestSupport.

/// log Bernoulli(x; sigmoid(logits)), one figure a row, and the gradient of −log p.
///
/// `log p = Σ_j x_j l_j − log(1 + e^{l_j})`, computed without overflow for any logit.
///
/// - Shape: `data` is `[examples, width]`; `logits` is `[examples * draws, width]`, the draws of an
///   example together; `logLikelihood` is `[examples * draws]`; `gradient` is like `logits` and may
///   be `logits` itself.
/// - Units: nats, summed over a row.
/// - Parameters:
///   - data: Values in [0, 1].
///   - logits: The decoder's output.
///   - draws: Draws per example.
///   - scale: What the gradient is multiplied by; 1 / draws for a mean over draws.
///   - logLikelihood: Receives log p of each row.
///   - gradient: Receives `scale * (sigmoid(logits) - data)` unless nil.
/// - Source: Kingma & Welling 2014, appendix C.1.
public func bernoulliLogLikelihood(
  of data: MatrixView, logits: MatrixView, draws: Int, scale: Float = 1,
  into logLikelihood: UnsafeMutableBufferPointer<Double>, gradient: MatrixView? = nil
) {
  precondition(
    logits.rows == data.rows * draws && logits.columns == data.columns
      && logLikelihood.count >= logits.rows && gradient.map { $0.count == logits.count } ?? true,
    "Cannot score data \(data.shape) under logits \(logits.shape) with \(draws) draws")
  guard let figures = logLikelihood.baseAddress else { return }
  vd_kernel_bernoulli(
    logits.rows, logits.columns, draws, data.denseBase, logits.denseBase, scale, figures,
    gradient?.denseBase)
}

/// log N(x; mean, exp(log variance)), one figure a row, and the gradient of −log p.
///
/// `log p = −½ Σ_j (log 2π + v_j + (x_j − m_j)² e^{−v_j})`.
///
/// - Shape: `data` is `[examples, width]`; `parameters` is `[examples * draws, 2 * width]`, means
///   then log variances; `logLikelihood` is `[examples * draws]`; `gradient` is like `parameters`
///   and may be `parameters` itself.
/// - Units: nats, summed over a row.
/// - Parameters:
///   - data: Any real values.
///   - parameters: The decoder's output.
///   - sigmoidMean: Whether the means pass through a sigmoid first, for data in [0, 1].
///   - draws: Draws per example.
///   - scale: What the gradient is multiplied by; 1 / draws for a mean over draws.
///   - logLikelihood: Receives log p of each row.
///   - gradient: Receives the gradient unless nil.
/// - Source: Kingma & Welling 2014, appendix C.2.
public func gaussianLogLikelihood(
  of data: MatrixView, parameters: MatrixView, sigmoidMean: Bool, draws: Int, scale: Float = 1,
  into logLikelihood: UnsafeMutableBufferPointer<Double>, gradient: MatrixView? = nil
) {
  precondition(
    parameters.rows == data.rows * draws && parameters.columns == 2 * data.columns
      && logLikelihood.count >= parameters.rows
      && gradient.map { $0.count == parameters.count } ?? true,
    "Cannot score data \(data.shape) under parameters \(parameters.shape) with \(draws) draws")
  guard let figures = logLikelihood.baseAddress else { return }
  vd_kernel_gaussian(
    parameters.rows, data.columns, draws, sigmoidMean ? 1 : 0, data.denseBase, parameters.denseBase,
    scale,
    figures, gradient?.denseBase)
}

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
