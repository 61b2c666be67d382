internal import TensorKernels

/// A convolution or a transposed convolution with its activation, h = f(x ∗ w + b).
///
/// A transposed convolution is the gradient of a convolution's source, run forward: the same three
/// products with their roles exchanged.
///
/// - Shape: Images `[batch, height, width, channels]`. Weights in PyTorch's order: `[outputs, inputs,
///   kernel, kernel]` of a convolution, `[inputs, outputs, kernel, kernel]` of a transposed one.
final class ConvolutionLayer: Layer {
  let path: String
  var outputColumns: Int { output.count }
  private let output: Extents
  private let isTransposed: Bool
  private let activation: Activation
  private let heads: Int
  private let weights: Int
  private let biases: Int
  private let outputSlot: ArenaSlot
  private let preactivationSlot: ArenaSlot?
  private let togetherSlot: ArenaSlot?  // heads pixel by pixel
  private let products: Convolution
  private let roundedProducts: Convolution?
  private let roundedInput: BFloat16Buffer?
  private let roundedGradient: BFloat16Buffer?

  /// Takes its places in the layout and the arena.
  ///
  /// - Parameters:
  ///   - path: The layer's name.
  ///   - heads: Names of equal parts of the output channels, or empty. The outputs of several heads lie
  ///     one after the other, not pixel by pixel.
  ///   - shape: The convolution; of a transposed one, that whose gradient it is.
  ///   - isTransposed: Whether inputs are the shape's destination.
  ///   - activation: f.
  ///   - capacity: The most examples of a batch.
  ///   - precision: The lowest number format that it is asked to multiply in.
  ///   - layout: Grows by weights and biases.
  ///   - plan: Grows by the outputs.
  init(
    path: String, heads: [String] = [], shape: ConvolutionShape, isTransposed: Bool,
    activation: Activation, capacity: Int, precision: Precision, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    self.path = path
    self.isTransposed = isTransposed
    self.activation = activation
    self.heads = max(1, heads.count)
    output = isTransposed ? shape.source : shape.destination
    let input = isTransposed ? shape.destination : shape.source
    (weights, biases) = layout.addConvolution(
      path: path, heads: heads, shape: shape, isTransposed: isTransposed)
    outputSlot = plan.reserve(capacity: capacity, columns: output.count)
    preactivationSlot =
      activation.needsInputs ? plan.reserve(capacity: capacity, columns: output.count) : nil
    togetherSlot =
      heads.count > 1 ? plan.reserve(capacity: capacity, columns: output.count) : nil
    func make(_ precision: Precision) -> Convolution {
      Convolution(
        shape, hasBias: !isTransposed, activation: isTransposed ? .identity : activation,
        precision: precision)
    }
    products = make(.f32)
    let isRounded = precision == .bf16
    roundedProducts = isRounded ? make(.bf16) : nil
    roundedInput = isRounded ? BFloat16Buffer(count: capacity * input.count) : nil
    roundedGradient = isRounded ? BFloat16Buffer(count: capacity * output.count) : nil
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    let output = context.arena.matrix(outputSlot, rows: input.rows)
    let product = try runForwardProducts(input, context)
    if isTransposed {
      addBias(context.parameters.base + biases, columns: self.output.channels, to: product)
    }
    if let togetherSlot {
      let together = context.arena.matrix(togetherSlot, rows: input.rows)
      splitHeads(together, heads: heads, of: self.output.pixelCount, into: output)
    } else if activation.needsInputs || isTransposed {
      activation.apply(to: product, into: output)
    }
    return output
  }

  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    // h = f(a)
    activation.backward(
      gradient,
      values: preactivationSlot.map { context.arena.matrix($0, rows: input.rows) } ?? output)
    var gradient = gradient
    if let togetherSlot {
      let together = context.arena.matrix(togetherSlot, rows: input.rows)
      joinHeads(gradient, heads: heads, of: self.output.pixelCount, into: together)
      gradient = together
    }
    // a = x ∗ w + b; over the batch first, so that no sum is long.
    if let flat = sink.parameterGradient {
      withUnsafeTemporaryAllocation(of: Float.self, capacity: self.output.count) { pixels in
        guard let sums = pixels.baseAddress else { return }
        columnSums(of: gradient, into: sums)
        sumChannels(
          sums, pixels: self.output.pixelCount, channels: self.output.channels,
          into: flat.base + biases)
      }
    }
    try runBackwardProducts(
      gradient, input: input, inputGradient: inputGradient, context, sink)
    sink.progress?.didComplete(weights..<biases + FloatBuffer.roundedUp(self.output.channels))
  }

  func runForwardProducts(
    _ input: MatrixView, _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    let product = context.arena.matrix(
      togetherSlot ?? preactivationSlot ?? outputSlot, rows: input.rows)
    if context.precision == .bf16, let roundedProducts, let roundedInput {
      try forward(roundedInput.roundDensely(input), roundedProducts, context, into: product)
    } else {
      try forward(input, products, context, into: product)
    }
    return product
  }

  private func forward<Operand: ProductOperand>(
    _ input: Operand, _ products: Convolution, _ context: LayerContext, into product: MatrixView
  ) throws(KernelError) {
    let weights = weightMatrix(in: context.parameters)
    if isTransposed {
      try products.sourceGradient(input, weights: weights, into: product)
    } else {
      try products.forward(
        input, weights: weights, bias: context.parameters.base + biases, into: product)
    }
  }

  func runBackwardProducts(
    _ gradient: MatrixView, input: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    if context.precision == .bf16, let roundedProducts, let roundedInput, let roundedGradient {
      try backward(
        roundedGradient.roundDensely(gradient),
        input: roundedInput.denseMatrix(rows: input.rows, columns: input.columns),
        roundedProducts, inputGradient, context, sink)
    } else {
      try backward(gradient, input: input, products, inputGradient, context, sink)
    }
  }

  private func backward<Operand: ProductOperand>(
    _ gradient: Operand, input: Operand, _ products: Convolution, _ inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    if let flat = sink.parameterGradient {
      try products.weightGradient(
        isTransposed ? gradient : input, isTransposed ? input : gradient,
        into: weightMatrix(in: flat))
    }
    guard let inputGradient else { return }
    let weights = weightMatrix(in: context.parameters)
    if isTransposed {
      try products.forward(gradient, weights: weights, into: inputGradient)
    } else {
      try products.sourceGradient(gradient, weights: weights, into: inputGradient)
    }
  }

  private func weightMatrix(in flat: FloatBuffer) -> MatrixView {
    let extents = products.shape.weightExtents
    return flat.matrix(rows: extents.rows, columns: extents.columns, offset: weights)
  }
}
