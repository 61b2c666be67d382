public import TensorKernels

/// Fully connected layers one after the other: hidden ones with an activation, then the heads.
///
/// - Shape: `[batch, inputs]` to `[batch, outputs of all heads]`.
public final class MultilayerPerceptron {
  private let layers: [Dense]
  private let gradientSlots: [ArenaSlot]

  /// Takes the places of all layers in the layout and the arena.
  ///
  /// - Parameters:
  ///   - path: What precedes `.0.weight` and the heads: `encoder`.
  ///   - inputs: Columns of the inputs.
  ///   - hidden: Outputs of each hidden layer; may be empty.
  ///   - heads: Names of equal parts of the last layer's outputs.
  ///   - outputs: Columns of the last layer, all heads together.
  ///   - activation: The hidden layers' activation; the last layer has none.
  ///   - capacity: The most rows of a batch.
  ///   - precision: The lowest number format that they are asked to multiply in.
  ///   - layout: Grows by weights and biases.
  ///   - plan: Grows by activations and their gradients.
  public init(
    path: String, inputs: Int, hidden: [Int], heads: [String], outputs: Int,
    activation: Activation, capacity: Int, precision: Precision, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    var layers: [Dense] = []
    var width = inputs
    for (index, next) in hidden.enumerated() {
      layers.append(
        Dense(
          path: "\(path).\(index)", inputs: width, outputs: next, activation: activation,
          isHidden: true, capacity: capacity, precision: precision, layout: &layout, plan: &plan))
      width = next
    }
    layers.append(
      Dense(
        path: path, heads: heads, inputs: width, outputs: outputs, activation: .identity,
        isHidden: false, capacity: capacity, precision: precision, layout: &layout, plan: &plan))
    self.layers = layers
    gradientSlots = hidden.map {
      plan.reserve(
        capacity: capacity, columns: $0, stride: FloatBuffer.rowStride(columns: $0))
    }
  }

  /// The last layer's outputs of the latest forward, in the arena.
  public func output(in arena: Arena, rows: Int) -> MatrixView {
    layers[layers.count - 1].output(in: arena, rows: rows)
  }

  /// The last layer's outputs; what lies between stays in the arena for the backward.
  ///
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func forward(
    _ input: MatrixView, parameters: FloatBuffer, arena: Arena, precision: Precision
  ) throws(KernelError) -> MatrixView {
    var value = input
    for layer in layers {
      value = try layer.forward(
        value, parameters: parameters, arena: arena, precision: precision)
    }
    return value
  }

  /// The name of the first layer whose outputs of the latest forward are not all finite.
  public func firstNonFiniteLayer(in arena: Arena, rows: Int) -> String? {
    layers.first { !$0.output(in: arena, rows: rows).isFinite }?.path
  }

  /// From ∂/∂outputs to ∂/∂parameters and, where wanted, ∂/∂inputs.
  ///
  /// - Parameters:
  ///   - gradient: ∂/∂outputs; overwritten.
  ///   - input: The inputs of the forward.
  ///   - parameters: The flat parameters of the forward.
  ///   - parameterGradient: The flat buffer whose part of these layers is written.
  ///   - arena: The arena of the forward.
  ///   - inputGradient: Receives ∂/∂inputs unless nil.
  ///   - precision: That of the forward.
  ///   - progress: Who is told of parts of the gradient as they are completed.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func backward(
    _ gradient: MatrixView, input: MatrixView, parameters: FloatBuffer,
    parameterGradient: FloatBuffer, arena: Arena, inputGradient: MatrixView?,
    precision: Precision, progress: BackwardProgress? = nil
  ) throws(KernelError) {
    let rows = input.rows
    var gradient = gradient
    for index in layers.indices.reversed() {
      let isFirst = index == 0
      let below = isFirst ? inputGradient : arena.matrix(gradientSlots[index - 1], rows: rows)
      try layers[index].backward(
        gradient, input: isFirst ? input : layers[index - 1].output(in: arena, rows: rows),
        parameters: parameters, parameterGradient: parameterGradient, arena: arena,
        inputGradient: below, precision: precision, progress: progress)
      if let below { gradient = below }
    }
  }

  /// The products of a forward and a backward and nothing else, for measuring what they cost.
  ///
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func runProducts(
    _ input: MatrixView, gradient: MatrixView, parameters: FloatBuffer,
    parameterGradient: FloatBuffer, arena: Arena, inputGradient: MatrixView?,
    precision: Precision
  ) throws(KernelError) {
    let rows = input.rows
    for index in layers.indices {
      let isFirst = index == 0
      let isLast = index == layers.count - 1
      try layers[index].runProducts(
        isFirst ? input : layers[index - 1].output(in: arena, rows: rows),
        gradient: isLast ? gradient : arena.matrix(gradientSlots[index], rows: rows),
        parameters: parameters, parameterGradient: parameterGradient, arena: arena,
        inputGradient: isFirst
          ? inputGradient : arena.matrix(gradientSlots[index - 1], rows: rows),
        precision: precision)
    }
  }
}
