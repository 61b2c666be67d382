internal import TensorKernels

/// h = f(s(x) + b(f(a(x)))): two convolutions, each normalized if wanted, and a way around them.
///
/// s is the identity, or a convolution with a kernel of 1 where the channels change.
///
/// - Source: He, Zhang, Ren & Sun 2016, *Deep Residual Learning for Image Recognition*, equations 1 and
///   2.
final class ResidualBlock: Layer {
  let path: String
  let outputColumns: Int
  private let activation: Activation
  private let main: LayerStack
  private let around: LayerStack?
  private let outputSlot: ArenaSlot
  private let sumSlot: ArenaSlot?
  private let mainGradientSlot: ArenaSlot
  private let gradientCopySlot: ArenaSlot

  /// Takes its places in the layout and the arena.
  init(
    _ step: NetworkPlan.Step, kernel: Int, activation: Activation, capacity: Int,
    precision: Precision, layout: inout ParameterLayout, plan: inout ArenaPlan
  ) {
    path = step.path
    outputColumns = step.output.count
    self.activation = activation
    let shapes = NetworkPlan.residualShapes(step, kernel: kernel)
    var builder = LayerBuilder(
      activation: activation, capacity: capacity, precision: precision, layout: layout, plan: plan)
    let isPlain = step.normalization == .none
    builder.addConvolution(
      "\(path).0", [], shapes[0], isTransposed: false, isPlain ? activation : .identity)
    if builder.addNormalization(step.normalization, "\(path).0", step.output) {
      builder.addActivation("\(path).0", step.output)
    }
    builder.addConvolution("\(path).1", [], shapes[1], isTransposed: false, .identity)
    _ = builder.addNormalization(step.normalization, "\(path).1", step.output)
    var aroundBuilder = LayerBuilder(
      activation: activation, capacity: capacity, precision: precision, layout: builder.layout,
      plan: builder.plan)
    if shapes.count > 2 {
      aroundBuilder.addConvolution("\(path).skip", [], shapes[2], isTransposed: false, .identity)
    }
    layout = aroundBuilder.layout
    plan = aroundBuilder.plan
    main = LayerStack(builder.layers, capacity: capacity, plan: &plan)
    around =
      aroundBuilder.layers.isEmpty
      ? nil : LayerStack(aroundBuilder.layers, capacity: capacity, plan: &plan)
    outputSlot = plan.reserve(capacity: capacity, columns: step.output.count)
    sumSlot =
      activation.needsInputs ? plan.reserve(capacity: capacity, columns: step.output.count) : nil
    mainGradientSlot = plan.reserve(capacity: capacity, columns: step.input.count)
    gradientCopySlot = plan.reserve(capacity: capacity, columns: step.output.count)
  }

  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView {
    let output = context.arena.matrix(outputSlot, rows: input.rows)
    let sum = sumSlot.map { context.arena.matrix($0, rows: input.rows) } ?? output
    sum.copy(try main.forward(input, context))
    add(try around?.forward(input, context) ?? input, to: sum)
    activation.apply(to: sum, into: output)
    return output
  }

  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    activation.backward(
      gradient, values: sumSlot.map { context.arena.matrix($0, rows: input.rows) } ?? output)
    // Each way overwrites the gradient that it is given.
    let copy = context.arena.matrix(gradientCopySlot, rows: input.rows)
    copy.copy(gradient)
    // From the last parameters to the first.
    if let around {
      try around.backward(copy, inputGradient: inputGradient, context, sink)
    } else {
      inputGradient?.copy(copy)
    }
    let below = inputGradient.map { _ in context.arena.matrix(mainGradientSlot, rows: input.rows) }
    try main.backward(gradient, inputGradient: below, context, sink)
    if let below, let inputGradient { add(below, to: inputGradient) }
  }

  func runForwardProducts(
    _ input: MatrixView, _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    // Forward and backward at once: nothing but the time matters.
    context.arena.matrix(outputSlot, rows: input.rows)
  }

  func runBackwardProducts(
    _ gradient: MatrixView, input: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) {
    try main.runProducts(
      input, gradient: gradient, inputGradient: inputGradient, context, sink)
    try around?.runProducts(
      input, gradient: gradient, inputGradient: inputGradient, context, sink)
  }
}
