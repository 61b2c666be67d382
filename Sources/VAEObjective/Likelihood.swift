public import TensorKernels

/// p(x|z): how the decoder's output scores data.
///
/// Dimensions are independent given z. All densities and probabilities are normalised, every constant
/// kept.
public struct Likelihood: Sendable, Equatable {
  /// Where the spread of a Gaussian, a Laplace or a discretized logistic distribution comes from.
  public enum Spread: Sendable, Equatable {
    /// The decoder gives one for each dimension of each example.
    case decoder
    /// One for each dimension, learned.
    case perDimension
    /// One for all, learned.
    case shared
    /// One for all, as it is given.
    case fixed
  }

  /// The distribution of each dimension.
  public var family: LikelihoodFamily
  /// Whether locations pass through a sigmoid, for data in [0, 1].
  public var sigmoidLocation = false
  /// Where spreads come from.
  public var spread = Spread.decoder
  /// The scale (standard deviation of a Gaussian) where it is fixed, or where learning starts.
  public var spreadValue: Float = 1
  /// What is added to every scale that is not fixed; its square, to a variance.
  public var spreadFloor: Float = 0
  /// Whether means of counts are the example's total times a softmax, as in scVI.
  public var usesLibrarySize = false

  /// A family, with the decoder's own spreads.
  public init(_ family: LikelihoodFamily) {
    self.family = family
  }

  /// Independent Bernoulli, for values in [0, 1].
  public static var bernoulli: Likelihood { Likelihood(.bernoulli) }

  /// Independent normal (Kingma & Welling 2014, appendix C.2).
  public static func gaussian(sigmoidMean: Bool) -> Likelihood {
    var likelihood = Likelihood(.gaussian)
    likelihood.sigmoidLocation = sigmoidMean
    return likelihood
  }

  /// Whether the family has a location and a spread.
  public var hasSpread: Bool {
    switch family {
    case .gaussian, .laplace, .discretizedLogistic: true
    default: false
    }
  }

  /// What the decoder gives, by the names of its heads; equal parts of its outputs.
  public var heads: [String] {
    switch family {
    case .bernoulli, .continuousBernoulli, .categorical: ["logits"]
    case .gaussian, .laplace, .discretizedLogistic:
      [family == .gaussian ? "mean" : "location"] + (spread == .decoder ? [spreadName] : [])
    case .poisson: [usesLibrarySize ? "share_logits" : "log_rate"]
    case .negativeBinomial: [usesLibrarySize ? "share_logits" : "log_mean"]
    case .zeroInflatedNegativeBinomial:
      [usesLibrarySize ? "share_logits" : "log_mean", "inflation_logits"]
    case .table: ["columns"]
    }
  }

  private var spreadName: String { family == .gaussian ? "log_variance" : "log_scale" }

  /// Outputs of the decoder for data of this width.
  public func decoderOutputs(inputs: Int) -> Int {
    switch family {
    case .categorical(let classes): inputs * classes
    case .table: family.outputs(width: inputs)
    default: inputs * heads.count
    }
  }

  /// Columns that the encoder reads for data of this width.
  public func encoderInputs(inputs: Int) -> Int {
    switch family {
    case .categorical(let classes): inputs * classes
    case .table(let columns): columns.reduce(columns.count) { $0 + $1.inputCount }
    default: inputs
    }
  }

  /// Whether a value is one number to encoder and decoder, or as many as there are classes, so that
  /// images stay images.
  var keepsPixels: Bool {
    if case .table = family { return false }
    return true
  }

  /// What the encoder reads in place of the data.
  enum EncoderInput {
    case data
    case log1p
    case oneHot(classes: Int)
    case table([TableColumn])
  }

  var encoderInput: EncoderInput {
    switch family {
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial: .log1p
    case .categorical(let classes): .oneHot(classes: classes)
    case .table(let columns): .table(columns)
    default: .data
    }
  }

  /// A learned parameter beside the decoder's, the same for all examples.
  struct FreeParameter: Equatable {
    let name: String
    let count: Int
    let initialValue: Float
  }

  func freeParameter(inputs: Int) -> FreeParameter? {
    switch family {
    case .negativeBinomial, .zeroInflatedNegativeBinomial:
      return FreeParameter(name: "decoder.log_dispersion", count: inputs, initialValue: 0)
    case .gaussian, .laplace, .discretizedLogistic:
      if spread == .decoder || spread == .fixed { return nil }
      return FreeParameter(
        name: "decoder.\(spreadName)", count: spread == .shared ? 1 : inputs,
        initialValue: logSpread)
    default:
      return nil
    }
  }

  /// log σ² of a Gaussian, or the log scale, of ``spreadValue``.
  var logSpread: Float {
    let logarithm = Float(naturalLogarithm(of: Double(spreadValue)))
    return family == .gaussian ? 2 * logarithm : logarithm
  }
}
