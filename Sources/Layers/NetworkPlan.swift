public import TensorKernels

/// A network on inputs and outputs of known extents: every layer with its own.
public struct NetworkPlan: Sendable, Equatable {
  /// What precedes the layers' numbers and the heads: `encoder`.
  public let path: String
  /// The extents of an example's inputs.
  public let input: Extents
  /// The extents of an example's outputs, one head after the other.
  public let output: Extents
  /// Names of equal parts of the outputs.
  public let heads: [String]
  let steps: [Step]

  struct Step: Equatable {
    enum Kind: Equatable {
      case dense
      case convolution(ConvolutionShape)
      case transposedConvolution(ConvolutionShape)
      case residual(kernel: Int)
      case dropout(Float)
    }

    let path: String
    let kind: Kind
    let input: Extents
    let output: Extents
    var normalization = Normalization.none
    var isOutput = false
  }

  /// Finds every layer's extents.
  ///
  /// - Parameters:
  ///   - path: What precedes the layers' numbers and the heads.
  ///   - layers: The layers; where the last does not give the outputs, a fully connected one that does
  ///     is put behind it.
  ///   - input: The extents of an example's inputs.
  ///   - output: The extents of one head of an example's outputs.
  ///   - heads: Names of the heads.
  /// - Throws: ``NetworkError`` where layers do not fit each other or the outputs.
  public init(
    path: String, layers: [LayerDescription], input: Extents, output: Extents, heads: [String]
  ) throws(NetworkError) {
    self.path = path
    self.input = input
    self.heads = heads
    self.output = Extents(
      height: output.height, width: output.width, channels: output.channels * heads.count)
    var steps: [Step] = []
    var current = input
    for (number, layer) in layers.enumerated() {
      let isLast = number == layers.count - 1
      let step = try Self.step(
        layer, path: "\(path).\(number)", input: current, outputs: isLast ? self.output : nil)
      if step.isOutput { try Self.checkOutput(step, layer, self.output) }
      steps.append(step)
      current = step.output
    }
    if steps.last?.isOutput != true {
      steps.append(
        Step(
          path: path, kind: .dense, input: current, output: self.output, isOutput: true))
    }
    self.steps = steps
  }

  /// Fully connected layers on vectors; nothing can be wrong with them.
  ///
  /// - Parameters:
  ///   - path: What precedes the layers' numbers and the heads.
  ///   - inputs: Numbers of an example's inputs.
  ///   - hidden: Outputs of each hidden layer; may be empty.
  ///   - outputs: Numbers of one head of an example's outputs.
  ///   - heads: Names of the heads.
  public init(perceptron path: String, inputs: Int, hidden: [Int], outputs: Int, heads: [String]) {
    self.path = path
    self.heads = heads
    input = Extents(vector: inputs)
    output = Extents(vector: outputs * heads.count)
    var steps: [Step] = []
    var current = input
    for (number, width) in hidden.enumerated() {
      steps.append(
        Step(
          path: "\(path).\(number)", kind: .dense, input: current, output: Extents(vector: width)))
      current = Extents(vector: width)
    }
    steps.append(Step(path: path, kind: .dense, input: current, output: output, isOutput: true))
    self.steps = steps
  }

  private static func step(
    _ layer: LayerDescription, path: String, input: Extents, outputs: Extents?
  ) throws(NetworkError) -> Step {
    let sentence = "layer '\(layer)' of \(path)"
    switch layer {
    case .dense(let output, let normalization):
      return try normalized(
        Step(path: path, kind: .dense, input: input, output: output), normalization, sentence)
    case .dropout(let probability):
      return Step(path: path, kind: .dropout(probability), input: input, output: input)
    case .residual(let channels, let kernel, let normalization):
      var output = input
      output.channels = channels
      return try normalized(
        Step(path: path, kind: .residual(kernel: kernel), input: input, output: output),
        normalization, sentence)
    case .convolution(let channels, let window, let normalization):
      let extent = { (pixels: Int) in
        ConvolutionShape.outputExtent(
          pixels, kernel: window.kernel, stride: window.stride, padding: window.padding)
      }
      guard let channels = channels ?? outputs?.channels else {
        throw NetworkError(
          "\(sentence) needs its channels: only the last layer has those of the data")
      }
      let output = Extents(
        height: extent(input.height), width: extent(input.width), channels: channels)
      if output.height < 1 || output.width < 1 {
        throw NetworkError(
          "\(sentence) has a window of \(window.kernel)x\(window.kernel) pixels and inputs of"
            + " \(input.height)x\(input.width); convolutions are for images, whose extents --image gives: 28x28x1"
        )
      }
      let shape = ConvolutionShape(
        source: input, destination: output, kernel: window.kernel, stride: window.stride,
        padding: window.padding)
      return try normalized(
        Step(
          path: path, kind: .convolution(shape), input: input, output: output,
          isOutput: layer.givesOutputs), normalization, sentence)
    case .transposedConvolution(let channels, let window, let outputPadding, let normalization):
      guard let channels = channels ?? outputs?.channels else {
        throw NetworkError(
          "\(sentence) needs its channels: only the last layer has those of the data")
      }
      if max(outputPadding.height, outputPadding.width) >= window.stride {
        throw NetworkError("\(sentence) has as much output-padding as its stride, or more")
      }
      let extent = { (pixels: Int, added: Int) in
        (pixels - 1) * window.stride - 2 * window.padding + window.kernel + added
      }
      let output = Extents(
        height: extent(input.height, outputPadding.height),
        width: extent(input.width, outputPadding.width), channels: channels)
      if output.height < 1 || output.width < 1 {
        throw NetworkError("\(sentence) has more padding than its outputs have pixels")
      }
      let shape = ConvolutionShape(
        source: output, destination: input, kernel: window.kernel, stride: window.stride,
        padding: window.padding)
      return try normalized(
        Step(
          path: path, kind: .transposedConvolution(shape), input: input, output: output,
          isOutput: layer.givesOutputs), normalization, sentence)
    }
  }

  private static func normalized(
    _ step: Step, _ normalization: Normalization, _ sentence: String
  ) throws(NetworkError) -> Step {
    let (count, overflows) = step.output.height.multipliedReportingOverflow(by: step.output.width)
    if overflows || count > largestCount || count * step.output.channels > largestCount {
      throw NetworkError("\(sentence) has more than \(largestCount) outputs")
    }
    let shapes: [ConvolutionShape] =
      switch step.kind {
      case .convolution(let shape), .transposedConvolution(let shape): [shape]
      case .residual(let kernel): residualShapes(step, kernel: kernel)
      default: []
      }
    if shapes.contains(where: { weightCount($0) > Double(largestCount) }) {
      throw NetworkError("\(sentence) has more than \(largestCount) weights")
    }
    var step = step
    step.normalization = normalization
    guard let groups = normalization.groups(channels: step.output.channels) else { return step }
    if step.isOutput {
      throw NetworkError("\(sentence) gives the outputs, which are not normalized")
    }
    if step.output.channels % groups != 0 {
      throw NetworkError(
        "\(sentence) has \(step.output.channels) channels, which do not make \(groups) groups")
    }
    return step
  }

  // What 32-bit extents of oneDNN hold.
  private static let largestCount = 1 << 31 - 1

  private static func checkOutput(
    _ step: Step, _ layer: LayerDescription, _ output: Extents
  ) throws(NetworkError) {
    if step.output == output { return }
    throw NetworkError(
      "layer '\(layer)' of \(step.path) gives \(step.output.height)x\(step.output.width) pixels;"
        + " what it is to give has \(output.height)x\(output.width)")
  }

  // MARK: Sizes

  /// Parameters, gaps not counted.
  public var parameterCount: Double {
    steps.reduce(0) { sum, step in
      let channels = Double(step.output.channels)
      let normalization = step.normalization == .none ? 0 : 2 * channels
      switch step.kind {
      case .dense:
        return sum + (Double(step.input.count) + 1) * Double(step.output.count) + normalization
      case .convolution(let shape), .transposedConvolution(let shape):
        return sum + Self.weightCount(shape) + channels + normalization
      case .residual(let kernel):
        let shapes = Self.residualShapes(step, kernel: kernel)
        return sum + shapes.reduce(0) { $0 + Self.weightCount($1) + channels } + 2 * normalization
      case .dropout:
        return sum
      }
    }
  }

  /// Multiplications of one example's forward.
  public var multiplications: Double { steps.reduce(0) { $0 + Self.multiplications($1) } }

  /// Multiplications of the first products, whose inputs need no gradient.
  public var firstMultiplications: Double {
    let first = steps.first { if case .dropout = $0.kind { false } else { true } }
    guard let first else { return 0 }
    guard case .residual(let kernel) = first.kind else { return Self.multiplications(first) }
    // The second convolution's inputs are the first one's outputs.
    let shapes = Self.residualShapes(first, kernel: kernel)
    return shapes.enumerated().reduce(0) { $1.offset == 1 ? $0 : $0 + $1.element.multiplications }
  }

  /// Numbers that one example's forward and backward keep, at most.
  public var activationCount: Double {
    steps.reduce(0) { sum, step in
      let output = Double(step.output.count)
      switch step.kind {
      case .dropout: return sum + 3 * output
      // Sums, normalized ones, outputs and the gradient, in both convolutions and around them.
      case .residual: return sum + 13 * output + Double(step.input.count)
      default: return sum + (step.normalization == .none ? 3 : 4) * output
      }
    }
  }

  static func residualShapes(_ step: Step, kernel: Int) -> [ConvolutionShape] {
    let window = Window(kernel: kernel)
    let shape = { (source: Extents, kernel: Int, padding: Int) in
      ConvolutionShape(
        source: source, destination: step.output, kernel: kernel, stride: 1, padding: padding)
    }
    return [
      shape(step.input, kernel, window.padding), shape(step.output, kernel, window.padding),
    ] + (step.input == step.output ? [] : [shape(step.input, 1, 0)])
  }

  private static func weightCount(_ shape: ConvolutionShape) -> Double {
    Double(shape.destination.channels) * Double(shape.source.channels)
      * Double(shape.kernel) * Double(shape.kernel)
  }

  /// Numbers that oneDNN keeps of convolutions' weights: each of three products for each of up to three
  /// sizes of batch (of a step, of the last step of an epoch, of a scored group) has its own copy, in
  /// blocks of 16 channels.
  public var convolutionCopyCount: Double {
    func padded(_ shape: ConvolutionShape) -> Double {
      func blocks(_ channels: Int) -> Double { Double((channels + 15) / 16 * 16) }
      return blocks(shape.destination.channels) * blocks(shape.source.channels)
        * Double(shape.kernel) * Double(shape.kernel)
    }
    return steps.reduce(0) { sum, step in
      switch step.kind {
      case .convolution(let shape), .transposedConvolution(let shape): sum + 9 * padded(shape)
      case .residual(let kernel):
        Self.residualShapes(step, kernel: kernel).reduce(sum) { $0 + 9 * padded($1) }
      default: sum
      }
    }
  }

  private static func multiplications(_ step: Step) -> Double {
    switch step.kind {
    case .dense: Double(step.input.count) * Double(step.output.count)
    case .convolution(let shape), .transposedConvolution(let shape): shape.multiplications
    case .residual(let kernel):
      residualShapes(step, kernel: kernel).reduce(0) { $0 + $1.multiplications }
    case .dropout: 0
    }
  }

  /// Extents from layer to layer: `28x28x1-14x14x32-256`.
  public var text: String {
    ([input]
      + steps.dropLast().filter { if case .dropout = $0.kind { false } else { true } }
      .map(\.output)).map(\.description).joined(separator: "-")
  }
}

extension LayerDescription {
  var givesOutputs: Bool {
    switch self {
    case .convolution(nil, _, _), .transposedConvolution(nil, _, _, _): true
    default: false
    }
  }
}
