public import TensorKernels

/// What a variational autoencoder is, apart from its parameters.
public struct ModelConfiguration: Sendable, Equatable {
  /// Dimensions of an example.
  public var inputs: Int
  /// Outputs of the encoder's hidden layers; the decoder has them in reverse.
  public var hidden: [Int]
  /// Dimensions of z.
  public var latent: Int
  /// The hidden layers' activation.
  public var activation: Activation
  /// p(x|z).
  public var likelihood: Likelihood
  /// L: draws of z per example in training.
  public var draws: Int
  /// What training raises.
  public var bound: Bound
  /// How its gradient is estimated.
  public var estimator: GradientEstimator
  /// The number format of the matrix products' operands in training; scores are always `f32`.
  public var precision: Precision

  /// All choices.
  public init(
    inputs: Int, hidden: [Int], latent: Int, activation: Activation, likelihood: Likelihood,
    draws: Int = 1, bound: Bound = .elbo, estimator: GradientEstimator = .standard,
    precision: Precision = .f32
  ) {
    precondition(inputs > 0 && latent > 0 && draws > 0 && hidden.allSatisfy { $0 > 0 })
    self.inputs = inputs
    self.hidden = hidden
    self.latent = latent
    self.activation = activation
    self.likelihood = likelihood
    self.draws = draws
    self.bound = bound
    self.estimator = estimator
    self.precision = precision
  }
}
