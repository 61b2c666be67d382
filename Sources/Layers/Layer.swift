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

/// What layers read besides their inputs.
public struct LayerContext {
  /// The flat parameters.
  public let parameters: FloatBuffer
  /// Where outputs stay for the backward.
  public let arena: Arena
  /// The number format of the products' operands.
  public let precision: Precision
  /// What dropout draws from; nil where nothing is dropped, as in scores.
  public let dropout: DropoutNoise?

  /// All of it.
  public init(
    parameters: FloatBuffer, arena: Arena, precision: Precision, dropout: DropoutNoise? = nil
  ) {
    self.parameters = parameters
    self.arena = arena
    self.precision = precision
    self.dropout = dropout
  }
}

/// What a backward writes and tells besides the gradient of the inputs.
public struct BackwardSink {
  /// The flat buffer whose part of the layer is overwritten; nil where only the inputs' gradient is
  /// wanted.
  public let parameterGradient: FloatBuffer?
  /// Who is told of parts of the gradient; nil where nobody waits for them.
  public let progress: BackwardProgress?

  /// Both.
  public init(parameterGradient: FloatBuffer?, progress: BackwardProgress? = nil) {
    self.parameterGradient = parameterGradient
    self.progress = progress
  }
}

/// A step from activations to activations, and back.
///
/// A layer owns places, not numbers: offsets into the flat buffers, slots in the arena, planned products.
/// One thread at a time; forward before backward, with the same inputs.
protocol Layer: AnyObject {
  /// The layer's name: `encoder.0`.
  var path: String { get }
  /// Elements in a row of the outputs.
  var outputColumns: Int { get }
  /// Elements from one row of the outputs to the next.
  var outputStride: Int { get }
  /// Whether the gradient of the inputs takes the place of that of the outputs.
  var isInPlace: Bool { get }
  /// Whether there is anything to learn.
  var hasParameters: Bool { get }

  /// The outputs.
  ///
  /// - Shape: `input` is `[batch, inputs]`; the result is `[batch, outputs]`, in the arena or the input
  ///   itself.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  func forward(_ input: MatrixView, _ context: LayerContext) throws(KernelError) -> MatrixView

  /// From ∂/∂outputs to ∂/∂parameters and, where wanted, ∂/∂inputs.
  ///
  /// - Parameters:
  ///   - gradient: ∂/∂outputs; overwritten.
  ///   - input: The inputs of the forward.
  ///   - output: The outputs of the forward.
  ///   - inputGradient: Receives ∂/∂inputs unless nil, as for the first layer; where ``isInPlace`` it
  ///     is `gradient`.
  ///   - context: That of the forward.
  ///   - sink: Receives ∂/∂parameters.
  /// - Throws: `KernelError` if oneDNN refuses a batch that it has not met before.
  func backward(
    _ gradient: MatrixView, input: MatrixView, output: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError)

  /// The products of a forward and a backward and nothing else, for measuring what they cost.
  ///
  /// Activations and gradients hold whatever they held.
  ///
  /// - Returns: What stands for the outputs.
  func runForwardProducts(
    _ input: MatrixView, _ context: LayerContext
  ) throws(KernelError) -> MatrixView

  /// The backward's part.
  func runBackwardProducts(
    _ gradient: MatrixView, input: MatrixView, inputGradient: MatrixView?,
    _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError)
}

extension Layer {
  var outputStride: Int { outputColumns }
  var isInPlace: Bool { false }
  var hasParameters: Bool { true }

  func runForwardProducts(
    _ input: MatrixView, _: LayerContext
  ) throws(KernelError) -> MatrixView { input }

  func runBackwardProducts(
    _: MatrixView, input _: MatrixView, inputGradient _: MatrixView?, _: LayerContext,
    _: BackwardSink
  ) throws(KernelError) {}
}
