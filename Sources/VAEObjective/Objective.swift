/// The lower bound of log p(x) that training raises.
public enum Bound: String, CaseIterable, Sendable, Codable {
  /// E_q[log p(x|z)] − KL(q(z|x) ‖ p(z)), by `draws` draws (Kingma & Welling 2014).
  case elbo
  /// E_q[log (1/K) Σ_k p(x, z_k) / q(z_k|x)], K = `draws` (Burda, Grosse & Salakhutdinov 2016).
  case iwae
}

/// How much each latent's KL divergence counts in the gradient of a step.
public enum KLWeighting {
  /// All the same; 1 for the ELBO, β for the β-VAE.
  case same(Float)
  /// A weight for each latent.
  case each([Float])
  /// By what they are over the whole global batch. Called once a step, between the forward and the
  /// backward, with the sums of each latent over this rank's examples; returns a weight for each.
  case bySums((UnsafeMutableBufferPointer<Double>) -> [Float])
}
