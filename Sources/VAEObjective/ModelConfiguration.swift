public import Layers
public import TensorKernels

/// What a variational autoencoder is, apart from its parameters.
public struct ModelConfiguration: Sendable, Equatable {
  /// The extents of an example; a vector's where no layer sees images.
  public let example: Extents
  /// Dimensions of an example.
  public var inputs: Int { example.count }
  /// From examples, as the encoder reads them, to the parameters of q(z|x).
  public let encoder: NetworkPlan
  /// From latents to the parameters of p(x|z).
  public let decoder: NetworkPlan
  /// Dimensions of z.
  public let latent: Int
  /// The hidden layers' activation.
  public let activation: Activation
  /// p(x|z).
  public let likelihood: Likelihood
  /// p(z).
  public var prior = Prior.standardNormal
  /// The classes of examples that encoder and decoder are told; 0 for none.
  public let classes: Int
  /// L: draws of z per example in training.
  public var draws = 1
  /// What training raises.
  public var bound = Bound.elbo
  /// How its gradient is estimated.
  public var estimator = GradientEstimator.standard
  /// The number format of the matrix products' operands in training; scores are always `f32`.
  public var precision = Precision.f32

  /// Fully connected networks.
  ///
  /// - Parameters:
  ///   - inputs: Dimensions of an example.
  ///   - hidden: Outputs of the encoder's hidden layers; the decoder has them in reverse.
  ///   - latent: Dimensions of z.
  ///   - activation: The hidden layers' activation.
  ///   - likelihood: p(x|z).
  ///   - classes: The classes that encoder and decoder are told; 0 for none.
  ///   - draws: L.
  ///   - bound: What training raises.
  ///   - estimator: How its gradient is estimated.
  ///   - precision: The number format of the products' operands in training.
  public init(
    inputs: Int, hidden: [Int], latent: Int, activation: Activation, likelihood: Likelihood,
    classes: Int = 0, draws: Int = 1, bound: Bound = .elbo,
    estimator: GradientEstimator = .standard,
    precision: Precision = .f32
  ) {
    precondition(inputs > 0 && latent > 0 && draws > 0 && hidden.allSatisfy { $0 > 0 })
    example = Extents(vector: inputs)
    self.classes = classes
    self.latent = latent
    self.activation = activation
    self.likelihood = likelihood
    self.draws = draws
    self.bound = bound
    self.estimator = estimator
    self.precision = precision
    encoder = NetworkPlan(
      perceptron: "encoder", inputs: likelihood.encoderInputs(inputs: inputs) + classes,
      hidden: hidden,
      outputs: latent, heads: Self.posteriorHeads)
    decoder = NetworkPlan(
      perceptron: "decoder", inputs: latent + classes, hidden: hidden.reversed(),
      outputs: likelihood.decoderOutputs(inputs: inputs) / likelihood.heads.count,
      heads: likelihood.heads)
  }

  /// Networks of any layers.
  ///
  /// - Parameters:
  ///   - example: The extents of an example.
  ///   - encoder: The encoder's layers, but for the last.
  ///   - decoder: The decoder's layers.
  ///   - latent: Dimensions of z.
  ///   - activation: The hidden layers' activation.
  ///   - likelihood: p(x|z).
  ///   - classes: The classes that encoder and decoder are told; 0 for none. To the encoder they are
  ///     channels of every pixel.
  /// - Throws: `NetworkError` where layers do not fit each other or the examples.
  public init(
    example: Extents, encoder: [LayerDescription], decoder: [LayerDescription], latent: Int,
    activation: Activation, likelihood: Likelihood, classes: Int = 0
  ) throws(NetworkError) {
    precondition(latent > 0)
    self.example = example
    self.classes = classes
    self.latent = latent
    self.activation = activation
    self.likelihood = likelihood
    var written = example
    if likelihood.keepsPixels {
      // A class is a channel of its own.
      written.channels *= likelihood.encoderInputs(inputs: example.count) / example.count
    } else if example.isVector {
      written = Extents(vector: likelihood.decoderOutputs(inputs: example.count))
    } else {
      throw NetworkError("a table has columns, and no \(example) pixels")
    }
    var read =
      likelihood.keepsPixels
      ? written : Extents(vector: likelihood.encoderInputs(inputs: example.count))
    read.channels += classes
    self.encoder = try NetworkPlan(
      path: "encoder", layers: encoder, input: read, output: Extents(vector: latent),
      heads: Self.posteriorHeads)
    self.decoder = try NetworkPlan(
      path: "decoder", layers: decoder, input: Extents(vector: latent + classes),
      output: written,
      heads: likelihood.heads)
  }

  private static let posteriorHeads = ["mean", "log_variance"]

  /// Layer after layer, as text: `784-400-20-400-784`.
  public var networkText: String {
    "\(encoder.text)-\(decoder.text)-\(example)"
  }

  /// Multiplications and additions of the matrix products of one example's gradient.
  ///
  /// Each layer has three products of the same size: forward, weights' gradient, inputs' gradient;
  /// the first layer needs no gradient of its inputs.
  public var productOperations: Double {
    2
      * (3 * encoder.multiplications - encoder.firstMultiplications
        + 3 * Double(draws) * decoder.multiplications)
  }
}
