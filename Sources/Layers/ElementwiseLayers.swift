public import TensorKernels

/// h = f(a), where a normalization stands between the product and f.
final class ActivationLayer: Layer {
  let path: String
  let outputColumns: Int
  var isInPlace: Bool { true }
  private let activation: Activation
  private let slot: ArenaSlot?

  /// Takes a place in the arena if f's derivative needs a.
  init(
    path: String, extents: Extents, activation: Activation, capacity: Int, plan: inout ArenaPlan
  ) {
    self.path = path
    self.activation = activation
    outputColumns = extents.count
    slot = activation.needsInputs ? plan.reserve(capacity: capacity, columns: extents.count) : nil
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    // Nobody else reads a: what made it needs its own inputs alone.
    let output = slot.map { context.arena.matrix($0, rows: input.rows) } ?? input
    activation.apply(to: input, into: output)
    return output
  }

  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    activation.backward(gradient, values: activation.needsInputs ? input : output)
  }
}

/// Group or layer normalization, with a scale and a shift for each channel.
final class NormalizationLayer: Layer {
  let path: String
  let outputColumns: Int
  var isInPlace: Bool { true }
  private let normalization: GroupNormalization
  private let scales: Int
  private let shifts: Int
  private let end: Int
  private let slot: ArenaSlot
  private let unwanted: FloatBuffer  // [2, channels], where nobody asks for what is learned

  /// Takes its places in the layout and the arena.
  init(
    path: String, extents: Extents, groups: Int, capacity: Int, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    self.path = path
    outputColumns = extents.count
    normalization = GroupNormalization(extents, groups: groups, capacity: capacity)
    scales = layout.bufferCount
    layout.addFree(
      name: "\(path).weight", extents: Extents(vector: extents.channels), initialValue: 1)
    shifts = layout.bufferCount
    layout.addFree(
      name: "\(path).bias", extents: Extents(vector: extents.channels), initialValue: 0)
    end = layout.bufferCount
    unwanted = FloatBuffer(count: 2 * FloatBuffer.roundedUp(extents.channels))
    slot = plan.reserve(capacity: capacity, columns: extents.count)
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    let output = context.arena.matrix(slot, rows: input.rows)
    normalization.forward(
      input, scales: context.parameters.base + scales, shifts: context.parameters.base + shifts,
      into: output)
    return output
  }

  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    // The normalization finds all three gradients in one pass.
    let own = sink.parameterGradient.map { ($0.base + scales, $0.base + shifts) }
    normalization.backward(
      gradient, inputs: input, scales: context.parameters.base + scales,
      scaleGradient: own?.0 ?? unwanted.base,
      shiftGradient: own?.1 ?? unwanted.base + unwanted.count / 2)
    sink.progress?.didComplete(scales..<end)
  }
}

/// Where dropout's numbers come from: a function of seed, epoch, example, draw and layer.
public struct DropoutNoise {
  private let stream: RandomStream
  private let examples: UnsafeBufferPointer<UInt32>
  private let draws: Int
  // Rows behind those of the examples, each with a number of its own.
  private var extraRows: UnsafeBufferPointer<UInt32>?

  /// The numbers of some examples in one epoch.
  ///
  /// - Parameters:
  ///   - stream: Seed and epoch; an example is seen once in it.
  ///   - examples: The example of each group of rows.
  ///   - draws: Rows of an example.
  public init(
    _ stream: RandomStream, examples: UnsafeBufferPointer<UInt32>, draws: Int = 1
  ) {
    self.stream = stream
    self.examples = examples
    self.draws = draws
  }

  /// The same with more rows for each example.
  public func with(draws: Int) -> DropoutNoise {
    DropoutNoise(stream, examples: examples, draws: draws)
  }

  /// The same with rows behind those of the examples; their numbers are no example's.
  public func with(extraRows: UnsafeBufferPointer<UInt32>) -> DropoutNoise {
    var noise = self
    noise.extraRows = extraRows
    return noise
  }

  func fill(_ values: MatrixView, layer: Int) {
    let stream = stream.with(purpose: .dropout, part: layer)
    let own = examples.count * draws
    stream.fillUniform(values.rows(0..<own), examples: examples, draws: draws)
    if let extraRows { stream.fillUniform(values.rows(own..<values.rows), examples: extraRows) }
  }
}

/// In training, sets each number to zero with probability p and divides the others by 1 − p.
///
/// - Source: Srivastava et al. 2014, with the division in training instead of a product in scores.
final class DropoutLayer: Layer {
  let path: String
  let outputColumns: Int
  var isInPlace: Bool { true }
  var hasParameters: Bool { false }
  private let probability: Float
  private let number: Int
  private let factorSlot: ArenaSlot
  private let outputSlot: ArenaSlot

  /// Takes its places in the arena; `number` tells it from the others.
  init(
    path: String, extents: Extents, probability: Float, number: Int, capacity: Int,
    plan: inout ArenaPlan
  ) {
    self.path = path
    self.probability = probability
    self.number = number
    outputColumns = extents.count
    factorSlot = plan.reserve(capacity: capacity, columns: extents.count)
    outputSlot = plan.reserve(capacity: capacity, columns: extents.count)
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    guard let noise = context.dropout else { return input }
    let factors = context.arena.matrix(factorSlot, rows: input.rows)
    let output = context.arena.matrix(outputSlot, rows: input.rows)
    noise.fill(factors, layer: number)
    dropOut(input, probability: probability, factors: factors, into: output)
    return output
  }

  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    if context.dropout == nil { return }
    multiply(gradient, by: context.arena.matrix(factorSlot, rows: gradient.rows))
  }
}
