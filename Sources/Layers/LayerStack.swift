public import TensorKernels

/// The layers of a network, one after the other.
///
/// - Shape: `[batch, inputs]` to `[batch, outputs of all heads]`.
public final class LayerStack {
  private let layers: [any Layer]
  // Where the gradient of each layer's outputs lies: nil for the last, whose is given, and where the next
  // layer leaves its own in place.
  private let gradientSlots: [ArenaSlot?]
  // The inputs of each layer at the latest forward, and the last one's outputs.
  private var values: [MatrixView] = []
  // Layers at the beginning that nobody needs a gradient from unless he wants that of the inputs.
  private let idleCount: Int

  /// Takes the places of all layers in the layout and the arena.
  ///
  /// - Parameters:
  ///   - network: What the layers are.
  ///   - activation: That of all layers but the last.
  ///   - capacity: The most rows of a batch.
  ///   - precision: The lowest number format that they are asked to multiply in.
  ///   - layout: Grows by the parameters.
  ///   - plan: Grows by activations and their gradients.
  public convenience init(
    _ network: NetworkPlan, activation: Activation, capacity: Int, precision: Precision,
    layout: inout ParameterLayout, plan: inout ArenaPlan
  ) {
    var builder = LayerBuilder(
      activation: activation, capacity: capacity, precision: precision, layout: layout, plan: plan)
    for (number, step) in network.steps.enumerated() {
      let next = number + 1 < network.steps.count ? network.steps[number + 1] : nil
      builder.add(
        step, heads: network.heads, isBeforeDense: next?.kind == .dense,
        number: network.path == "encoder" ? number : number + 1 << 20)
    }
    layout = builder.layout
    plan = builder.plan
    self.init(builder.layers, capacity: capacity, plan: &plan)
  }

  init(_ layers: [any Layer], capacity: Int, plan: inout ArenaPlan) {
    self.layers = layers
    idleCount = layers.prefix { $0.isInPlace && !$0.hasParameters }.count
    var slots: [ArenaSlot?] = []
    for (layer, next) in zip(layers, layers.dropFirst()) {
      slots.append(
        next.isInPlace
          ? nil
          : plan.reserve(
            capacity: capacity, columns: layer.outputColumns, stride: layer.outputStride))
    }
    gradientSlots = slots
  }

  /// The last layer's outputs; what lies between stays in the arena for the backward.
  ///
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func forward(
    _ input: MatrixView, _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    values.removeAll(keepingCapacity: true)
    var value = input
    for layer in layers {
      values.append(value)
      value = try layer.forward(value, context)
    }
    values.append(value)
    return value
  }

  /// The name of the first layer whose outputs of the latest forward are not all finite.
  public var firstNonFiniteLayer: String? {
    zip(layers, values.dropFirst()).first { !$1.isFinite }?.0.path
  }

  /// From ∂/∂outputs of the latest forward to ∂/∂parameters and, where wanted, ∂/∂inputs.
  ///
  /// - Parameters:
  ///   - gradient: ∂/∂outputs; overwritten.
  ///   - inputGradient: Receives ∂/∂inputs unless nil.
  ///   - context: That of the forward.
  ///   - sink: Receives ∂/∂parameters.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func backward(
    _ gradient: MatrixView, inputGradient: MatrixView?, _ context: LayerContext,
    _ sink: BackwardSink
  ) throws(KernelError) {
    var gradient = gradient
    for index in neededLayers(inputGradient) {
      let below = below(index, gradient, inputGradient, context)
      try layers[index].backward(
        gradient, input: values[index], output: values[index + 1], inputGradient: below, context,
        sink)
      if let below { gradient = below }
    }
    // The first layer's gradient was left where it was found.
    if layers.first?.isInPlace == true, let inputGradient {
      inputGradient.copy(gradient)
    }
  }

  // From the last to the first that learns or leads to what is wanted.
  private func neededLayers(_ inputGradient: MatrixView?) -> ReversedCollection<Range<Int>> {
    ((inputGradient == nil ? min(idleCount, layers.count) : 0)..<layers.count).reversed()
  }

  private func below(
    _ index: Int, _ gradient: MatrixView, _ inputGradient: MatrixView?, _ context: LayerContext
  ) -> MatrixView? {
    if layers[index].isInPlace { return gradient }
    if index == 0 { return inputGradient }
    if index == idleCount && inputGradient == nil { return nil }
    return gradientSlots[index - 1].map { context.arena.matrix($0, rows: gradient.rows) }
  }

  /// The products of a forward and a backward and nothing else, for measuring what they cost.
  ///
  /// - Parameters:
  ///   - input: What stands for the inputs.
  ///   - gradient: What stands for ∂/∂outputs; nil for the outputs.
  ///   - inputGradient: Overwritten unless nil.
  ///   - context: As of a forward.
  ///   - sink: Overwritten.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  public func runProducts(
    _ input: MatrixView, gradient: MatrixView?, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    values.removeAll(keepingCapacity: true)
    var value = input
    for layer in layers {
      values.append(value)
      value = try layer.runForwardProducts(value, context)
    }
    var gradient = gradient ?? value
    for index in neededLayers(inputGradient) {
      let below = below(index, gradient, inputGradient, context)
      try layers[index].runBackwardProducts(
        gradient, input: values[index], inputGradient: below, context, sink)
      if let below { gradient = below }
    }
  }
}

/// Makes the layers of each step, in the order in which their parameters lie.
struct LayerBuilder {
  let activation: Activation
  let capacity: Int
  let precision: Precision
  var layout: ParameterLayout
  var plan: ArenaPlan
  private(set) var layers: [any Layer] = []

  init(
    activation: Activation, capacity: Int, precision: Precision, layout: ParameterLayout,
    plan: ArenaPlan
  ) {
    self.activation = activation
    self.capacity = capacity
    self.precision = precision
    self.layout = layout
    self.plan = plan
  }

  mutating func add(
    _ step: NetworkPlan.Step, heads: [String], isBeforeDense: Bool, number: Int
  ) {
    let isPlain = step.normalization == .none
    let fused = step.isOutput || !isPlain ? .identity : activation
    let path = step.isOutput ? String(step.path.prefix { $0 != "." }) : step.path
    let heads = step.isOutput ? heads : []
    switch step.kind {
    case .dense:
      layers.append(
        Dense(
          path: path, heads: heads, inputs: step.input, outputs: step.output, activation: fused,
          isHidden: isBeforeDense && isPlain, capacity: capacity, precision: precision,
          layout: &layout, plan: &plan))
    case .convolution(let shape):
      addConvolution(path, heads, shape, isTransposed: false, fused)
    case .transposedConvolution(let shape):
      addConvolution(path, heads, shape, isTransposed: true, fused)
    case .residual(let kernel):
      layers.append(
        ResidualBlock(
          step, kernel: kernel, activation: activation, capacity: capacity, precision: precision,
          layout: &layout, plan: &plan))
      return
    case .dropout(let probability):
      layers.append(
        DropoutLayer(
          path: path, extents: step.output, probability: probability, number: number,
          capacity: capacity, plan: &plan))
      return
    }
    addNormalization(step, activation: step.isOutput ? .identity : activation)
  }

  mutating func addConvolution(
    _ path: String, _ heads: [String], _ shape: ConvolutionShape, isTransposed: Bool,
    _ activation: Activation
  ) {
    layers.append(
      ConvolutionLayer(
        path: path, heads: heads, shape: shape, isTransposed: isTransposed, activation: activation,
        capacity: capacity, precision: precision, layout: &layout, plan: &plan))
  }

  // Normalization where there is one, and then the activation that the product could not apply.
  private mutating func addNormalization(_ step: NetworkPlan.Step, activation: Activation) {
    if addNormalization(step.normalization, step.path, step.output) {
      addActivation(step.path, step.output)
    }
  }

  mutating func addNormalization(
    _ normalization: Normalization, _ path: String, _ extents: Extents
  ) -> Bool {
    guard let groups = normalization.groups(channels: extents.channels) else { return false }
    layers.append(
      NormalizationLayer(
        path: "\(path).norm", extents: extents, groups: groups, capacity: capacity,
        layout: &layout, plan: &plan))
    return true
  }

  mutating func addActivation(_ path: String, _ extents: Extents) {
    layers.append(
      ActivationLayer(
        path: path, extents: extents, activation: activation, capacity: capacity, plan: &plan))
  }
}
