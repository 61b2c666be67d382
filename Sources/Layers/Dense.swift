internal import TensorKernels

/// A fully connected layer with its activation, h = f(x Wᵀ + b); forward and backward.
///
/// The layer owns places, not numbers: offsets into the flat buffers, slots in the arena, and the
/// planned products. One thread at a time; forward before backward, with the same inputs.
///
/// - Shape: `x` is `[batch, inputs]`, `h` is `[batch, outputs]`.
final class Dense: Layer {
  let path: String
  var outputColumns: Int { outputs }
  let outputStride: Int
  private let inputs: Int
  private let outputs: Int
  private let activation: Activation
  private let weights: Int
  private let biases: Int
  private let outputSlot: ArenaSlot
  private let preactivationSlot: ArenaSlot?

  private let products: SinglePrecisionProducts
  private let roundedProducts: BFloat16Products?

  /// Takes its places in the layout and the arena.
  ///
  /// - Parameters:
  ///   - path: The layer's name: `encoder.0`.
  ///   - heads: Names of equal parts of the outputs, or empty.
  ///   - inputs: Each row of the inputs.
  ///   - outputs: Each row of the outputs, the channels of all heads together.
  ///   - activation: f.
  ///   - isHidden: Whether only layers read the outputs, so that their rows may lie apart.
  ///   - capacity: The most rows of a batch.
  ///   - precision: The lowest number format that it is asked to multiply in.
  ///   - layout: Grows by weights and biases.
  ///   - plan: Grows by the outputs.
  init(
    path: String, heads: [String] = [], inputs: Extents, outputs: Extents, activation: Activation,
    isHidden: Bool, capacity: Int, precision: Precision, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    self.path = path
    self.activation = activation
    (weights, biases) = layout.addDense(path: path, heads: heads, inputs: inputs, outputs: outputs)
    let (inputs, outputs) = (inputs.count, outputs.count)
    self.inputs = inputs
    self.outputs = outputs
    let stride = isHidden ? FloatBuffer.rowStride(columns: outputs) : outputs
    outputStride = stride
    outputSlot = plan.reserve(capacity: capacity, columns: outputs, stride: stride)
    preactivationSlot =
      activation.needsInputs
      ? plan.reserve(capacity: capacity, columns: outputs, stride: stride) : nil
    products = SinglePrecisionProducts(inputs: inputs, outputs: outputs, activation: activation)
    roundedProducts =
      precision == .bf16
      ? BFloat16Products(
        inputs: inputs, outputs: outputs, activation: activation, capacity: capacity) : nil
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    let product = try runForwardProducts(input, context)
    if !activation.needsInputs { return product }
    let output = context.arena.matrix(outputSlot, rows: input.rows)
    activation.apply(to: product, into: output)
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
    // a = x Wᵀ + b
    if let flat = sink.parameterGradient { columnSums(of: gradient, into: flat.base + biases) }
    guard let progress = sink.progress, let parameterGradient = sink.parameterGradient else {
      try runBackwardProducts(
        gradient, input: input, inputGradient: inputGradient, context, sink)
      return
    }
    let products = products(context.precision)
    products.begin(gradient)
    // From the last rows to the first; the biases, which lie behind them, go with the last. Parts
    // begin at multiples of 16 rows, and so at cache lines.
    let stride = weightMatrix(in: parameterGradient).stride
    let rowsOfPart = max(FloatBuffer.alignmentInElements, progress.partElementCount / stride)
    var end = inputs
    while end > 0 {
      let start = FloatBuffer.roundedUp(max(0, end - rowsOfPart))
      try products.weightGradient(
        input, gradient, rows: start..<end,
        into: weightMatrix(in: parameterGradient).rows(start..<end))
      let rangeEnd =
        end == inputs ? biases + FloatBuffer.roundedUp(outputs) : weights + end * stride
      progress.didComplete(weights + start * stride..<rangeEnd)
      end = start
    }
    if let inputGradient {
      try products.inputGradient(
        gradient, weights: weightMatrix(in: context.parameters), into: inputGradient)
      progress.didComplete(nil)
    }
  }

  func runForwardProducts(
    _ input: MatrixView, _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    let product = context.arena.matrix(preactivationSlot ?? outputSlot, rows: input.rows)
    try products(context.precision).forward(
      input, weights: weightMatrix(in: context.parameters),
      bias: context.parameters.base + biases, into: product)
    return product
  }

  func runBackwardProducts(
    _ gradient: MatrixView, input: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    let products = products(context.precision)
    products.begin(gradient)
    // The weights first: they are still near from the forward.
    if let inputGradient {
      try products.inputGradient(
        gradient, weights: weightMatrix(in: context.parameters), into: inputGradient)
    }
    guard let flat = sink.parameterGradient else { return }
    try products.weightGradient(
      input, gradient, rows: 0..<inputs, into: weightMatrix(in: flat))
  }

  private func products(_ precision: Precision) -> any DenseProducts {
    if precision == .f32 { return products }
    guard let roundedProducts else {
      preconditionFailure("A layer made for f32 was asked to multiply in \(precision)")
    }
    return roundedProducts
  }

  // Stored [inputs, outputs]: the transpose of what files show.
  private func weightMatrix(in flat: FloatBuffer) -> MatrixView {
    flat.matrix(
      rows: inputs, columns: outputs, offset: weights,
      stride: ParameterLayout.weightStride(outputs: outputs))
  }
}
