public import TensorKernels

/// p(x|z): how the decoder's output scores data.
public enum Likelihood: Sendable, Equatable {
  /// Independent Bernoulli, for values in [0, 1]; the decoder gives logits.
  case bernoulli
  /// Independent normal; the decoder gives means and log variances. `sigmoidMean` passes the means
  /// through a sigmoid, for data in [0, 1] (Kingma & Welling 2014, section 5, Frey Face).
  case gaussian(sigmoidMean: Bool)

  /// What the decoder gives for each dimension of the data, by the names of its heads.
  public var heads: [String] {
    switch self {
    case .bernoulli: ["logits"]
    case .gaussian: ["mean", "log_variance"]
    }
  }

  /// log p(x|z) of each row, and the gradient of −log p with respect to the decoder's output.
  ///
  /// - Shape: `data` is `[examples, width]`; `parameters` is
  ///   `[examples * draws, heads.count * width]`; `logLikelihood` is `[examples * draws]`.
  /// - Units: nats, summed over dimensions, normalised.
  /// - Parameters:
  ///   - data: The examples.
  ///   - parameters: The decoder's output, the draws of an example together.
  ///   - draws: Draws per example.
  ///   - scale: What the gradient is multiplied by.
  ///   - logLikelihood: Receives log p(x|z) of each draw.
  ///   - gradient: Receives the gradient unless nil; may be `parameters` itself.
  public func score(
    _ data: MatrixView, parameters: MatrixView, draws: Int, scale: Float = 1,
    into logLikelihood: UnsafeMutableBufferPointer<Double>, gradient: MatrixView? = nil
  ) {
    switch self {
    case .bernoulli:
      bernoulliLogLikelihood(
        of: data, logits: parameters, draws: draws, scale: scale, into: logLikelihood,
        gradient: gradient)
    case .gaussian(let sigmoidMean):
      gaussianLogLikelihood(
        of: data, parameters: parameters, sigmoidMean: sigmoidMean, draws: draws, scale: scale,
        into: logLikelihood, gradient: gradient)
    }
  }
}
