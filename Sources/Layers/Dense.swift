public import TensorKernels

/// Who is told how far a backward has come.
public struct BackwardProgress {
  /// The most elements of a weight gradient that are computed before it is told.
  public let partElementCount: Int
  /// Called after each product, with the range of the flat gradient that it completed or nil.
  ///
  /// Ranges come from the end of the buffer to its start, each adjacent to the one before.
  public let didComplete: (Range<Int>?) -> Void

  /// Who is told, and how often.
  public init(partElementCount: Int, didComplete: @escaping (Range<Int>?) -> Void) {
    self.partElementCount = partElementCount
    self.didComplete = didComplete
  }
}

/// A fully connected layer with its activation, h = f(x Wᵀ + b); forward and backward.
///
/// The layer owns places, not numbers: offsets into the flat buffers, slots in the arena, and the
/// planned products. One thread at a time; forward before backward, with the same inputs.
///
/// - Shape: `x` is `[batch, inputs]`, `h` is `[batch, outputs]`.
public final class Dense {
  /// The layer's name: `encoder.0`.
  public let path: String
  /// Columns of the inputs.
  public let inputs: Int
  /// Columns of the outputs.
  public let outputs: Int
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
  ///   - inputs: Columns of the inputs.
  ///   - outputs: Columns of the outputs.
  ///   - activation: f.
  ///   - isHidden: Whether only layers read the outputs, so that their rows may lie apart.
  ///   - capacity: The most rows of a batch.
  ///   - precision: The lowest number format that it is asked to multiply in.
  ///   - layout: Grows by weights and biases.
  ///   - plan: Grows by the outputs.
  public init(
    path: String, heads: [String] = [], inputs: Int, outputs: Int, activation: Activation,
    isHidden: Bool, capacity: Int, precision: Precision, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    self.path = path
    self.inputs = inputs
    self.outputs = outputs
    self.activation = activation
    (weights, biases) = layout.addDense(path: path, heads: heads, inputs: inputs, outputs: outputs)
    let stride = isHidden ? FloatBuffer.rowStride(columns: outputs) : outputs
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

  /// The outputs of the latest forward, in the arena.
  public func output(in arena: Arena, rows: Int) -> MatrixView {
    arena.matrix(outputSlot, rows: rows)
  }

  /// h = f(x Wᵀ + b).
  ///
  /// - Shape: `input` is `[batch, inputs]`; the result is `[batch, outputs]`.
  /// - Parameters:
  ///   - input: x.
  ///   - parameters: The flat parameters.
  ///   - arena: Where the outputs stay for the backward.
  ///   - precision: The number format of the product's operands.
  /// - Returns: h.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func forward(
    _ input: MatrixView, parameters: FloatBuffer, arena: Arena, precision: Precision
  ) throws(KernelError) -> MatrixView {
    let output = output(in: arena, rows: input.rows)
    let product = preactivationSlot.map { arena.matrix($0, rows: input.rows) } ?? output
    try products(precision).forward(
      input, weights: weightMatrix(in: parameters), bias: parameters.base + biases, into: product)
    if activation.needsInputs { activation.apply(to: product, into: output) }
    return output
  }

  /// From ∂/∂h to ∂/∂W, ∂/∂b and, where wanted, ∂/∂x.
  ///
  /// - Shape: `gradient` is `[batch, outputs]`; `inputGradient` is `[batch, inputs]`.
  /// - Parameters:
  ///   - gradient: ∂/∂h on entry, overwritten by ∂/∂(x Wᵀ + b).
  ///   - input: x of the forward.
  ///   - parameters: The flat parameters of the forward.
  ///   - parameterGradient: The flat buffer whose part of this layer is written.
  ///   - arena: The arena of the forward.
  ///   - inputGradient: Receives ∂/∂x unless nil, as for the first layer.
  ///   - precision: That of the forward.
  ///   - progress: Who is told of parts of the gradient; nil computes them all at once.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func backward(
    _ gradient: MatrixView, input: MatrixView, parameters: FloatBuffer,
    parameterGradient: FloatBuffer, arena: Arena, inputGradient: MatrixView?,
    precision: Precision, progress: BackwardProgress? = nil
  ) throws(KernelError) {
    // h = f(a)
    activation.backward(
      gradient, values: arena.matrix(preactivationSlot ?? outputSlot, rows: input.rows))
    // a = x Wᵀ + b
    columnSums(of: gradient, into: parameterGradient.base + biases)
    let products = products(precision)
    products.begin(gradient)
    // While nobody waits for the weights' gradient: the weights are still near from the forward.
    if progress == nil, let inputGradient {
      try products.inputGradient(
        gradient, weights: weightMatrix(in: parameters), into: inputGradient)
    }
    // From the last rows to the first; the biases, which lie behind them, go with the last. Parts
    // begin at multiples of 16 rows, and so at cache lines.
    let stride = weightMatrix(in: parameterGradient).stride
    let rowsOfPart =
      progress.map {
        max(FloatBuffer.alignmentInElements, $0.partElementCount / stride)
      } ?? inputs
    var end = inputs
    while end > 0 {
      let start = FloatBuffer.roundedUp(max(0, end - rowsOfPart))
      try products.weightGradient(
        input, gradient, rows: start..<end,
        into: weightMatrix(in: parameterGradient).rows(start..<end))
      let rangeEnd =
        end == inputs ? biases + FloatBuffer.roundedUp(outputs) : weights + end * stride
      progress?.didComplete(weights + start * stride..<rangeEnd)
      end = start
    }
    if let progress, let inputGradient {
      try products.inputGradient(
        gradient, weights: weightMatrix(in: parameters), into: inputGradient)
      progress.didComplete(nil)
    }
  }

  /// The products of a forward and a backward and nothing else, for measuring what they cost.
  ///
  /// Activations and gradients hold whatever they held.
  func runProducts(
    _ input: MatrixView, gradient: MatrixView, parameters: FloatBuffer,
    parameterGradient: FloatBuffer, arena: Arena, inputGradient: MatrixView?,
    precision: Precision
  ) throws(KernelError) {
    let output = arena.matrix(preactivationSlot ?? outputSlot, rows: input.rows)
    let weights = weightMatrix(in: parameters)
    let products = products(precision)
    try products.forward(input, weights: weights, bias: parameters.base + biases, into: output)
    products.begin(gradient)
    if let inputGradient {
      try products.inputGradient(gradient, weights: weights, into: inputGradient)
    }
    try products.weightGradient(
      input, gradient, rows: 0..<inputs, into: weightMatrix(in: parameterGradient))
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
