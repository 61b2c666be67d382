internal import DataLoading
public import Layers
public import TensorKernels
public import VAEObjective

/// What encoder and decoder are made of.
public enum NetworkKind: String, CaseIterable, Sendable, Codable {
  /// Fully connected layers of ``TrainingConfiguration/hidden`` widths.
  case mlp
  /// Two convolutions with stride 2, a fully connected layer, and the same in reverse.
  case conv
}

/// p(z) by its name on the command line.
public enum PriorKind: String, CaseIterable, Sendable, Codable {
  /// N(0, I).
  case standard
  /// A mixture of Gaussians that is learned.
  case mixture
  /// The mean of q(z|u) over learned pseudo-inputs u (Tomczak & Welling 2018).
  case vamp
}

extension TrainingConfiguration {
  /// Gaussians of a learned prior where nobody says.
  public static let usualPriorComponents = 100

  private var priorOfModel: Prior {
    let components = priorComponents ?? Self.usualPriorComponents
    return switch prior {
    case .standard: .standardNormal
    case .mixture: .mixture(components: components)
    case .vamp: .vamp(components: components)
    }
  }

  /// Whether there are labels to read, and where they are said to be.
  func labelRequest(only split: Split?) -> LabelRequest? {
    condition == .none ? nil : LabelRequest(train: labels, test: testLabels, only: split)
  }

  /// What is read of tables of text.
  ///
  /// - Parameter known: The names that a model was trained with; nil where there is none yet.
  /// - Returns: Columns that are left out, and how those that are read are known.
  func columnChoice(known: DataNames?) -> ColumnChoice {
    ColumnChoice(
      skipping: (skipColumns ?? "").split(separator: ",").map(String.init), known: known)
  }

  /// The model for data of this width.
  ///
  /// - Throws: ``TrainingError/unfitNetwork(_:)`` where layers do not fit each other or the data.
  public func model(inputs: Int) throws(TrainingError) -> ModelConfiguration {
    if likelihood == .table && tableColumns.count != inputs {
      throw .otherColumnCount(described: tableColumns.count, inputs: inputs)
    }
    do throws(NetworkError) {
      var model =
        !seesImages
        ? ModelConfiguration(
          inputs: inputs, hidden: hidden, latent: latent, activation: activation,
          likelihood: likelihoodOfModel, classes: classes ?? 0)
        : try imageModel(inputs: inputs)
      model.prior = priorOfModel
      model.draws = draws
      model.bound = bound
      model.estimator = gradientEstimator
      model.precision = precision
      return model
    } catch {
      throw .unfitNetwork(error.description)
    }
  }

  private func imageModel(inputs: Int) throws(NetworkError) -> ModelConfiguration {
    let example = image.flatMap { Extents($0) } ?? Extents(vector: inputs)
    if example.count != inputs {
      throw NetworkError(
        "--image \(example) has \(example.count) values, and the data have \(inputs) in an example")
    }
    let own = try ownLayers()
    let layers = own ?? Self.convolutionalPreset(example)
    return try ModelConfiguration(
      example: example, encoder: layers.encoder, decoder: layers.decoder, latent: latent,
      activation: activation, likelihood: likelihoodOfModel, classes: classes ?? 0)
  }

  /// Whether an example has height, width and channels to the networks, rather than values alone.
  var seesImages: Bool { network == .conv || encoder != nil || decoder != nil }

  /// The layers of a network of one's own, if there is one.
  func ownLayers() throws(NetworkError) -> (
    encoder: [LayerDescription], decoder: [LayerDescription]
  )? {
    guard let encoder, let decoder else { return nil }
    return (try LayerDescription.list(encoder), try LayerDescription.list(decoder))
  }

  /// With what is known from the data alone: the number of classes, what the columns of a table are
  /// standardized by, and their own extents where a network sees images and nobody gave any.
  ///
  /// Extents are height and width, and channels behind them if the file's arrays have them.
  public func resolved(for data: PreparedData) -> TrainingConfiguration {
    var result = self
    result.classes = data.classes
    result.columns = data.columns?.text
    if seesImages && image == nil { result.image = data.imageExtents?.description }
    return result
  }

  /// The layers of `--network conv` for images of these extents.
  ///
  /// Both convolutions halve the image, unless it is too small for that.
  public static func convolutionalPreset(
    _ image: Extents
  ) -> (encoder: [LayerDescription], decoder: [LayerDescription]) {
    let halves = min(image.height, image.width) >= 4
    let window = halves ? Window(kernel: 4, stride: 2) : Window(kernel: 3, stride: 1)
    func half(_ pixels: Int) -> Int {
      ConvolutionShape.outputExtent(
        pixels, kernel: window.kernel, stride: window.stride, padding: window.padding)
    }
    // An odd number of pixels is halved downwards, and so needs one more on the way back.
    func odd(_ height: Int, _ width: Int) -> PixelPair {
      PixelPair(height: halves ? height % 2 : 0, width: halves ? width % 2 : 0)
    }
    let (height, width) = (half(image.height), half(image.width))
    let quarter = Extents(height: half(height), width: half(width), channels: 64)
    return (
      encoder: [
        .convolution(channels: 32, window, .none), .convolution(channels: 64, window, .none),
        .dense(Extents(vector: 256), .none),
      ],
      decoder: [
        .dense(Extents(vector: 256), .none), .dense(quarter, .none),
        .transposedConvolution(channels: 32, window, outputPadding: odd(height, width), .none),
        .transposedConvolution(
          channels: nil, window, outputPadding: odd(image.height, image.width), .none),
      ]
    )
  }
}
