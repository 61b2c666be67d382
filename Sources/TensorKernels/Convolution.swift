internal import COneDNN

/// What a convolution takes, gives and does in between.
public struct ConvolutionShape: Sendable, Hashable {
  /// Of each example's source.
  public let source: Extents
  /// Of each example's destination.
  public let destination: Extents
  /// Pixels along each side of the window.
  public let kernel: Int
  /// Pixels from one window to the next.
  public let stride: Int
  /// Zeros around the source, on each side.
  public let padding: Int

  /// All of it.
  ///
  /// - Precondition: The destination is as high and wide as ``outputExtent(_:kernel:stride:padding:)``
  ///   says.
  public init(source: Extents, destination: Extents, kernel: Int, stride: Int, padding: Int) {
    precondition(
      [(source.height, destination.height), (source.width, destination.width)].allSatisfy {
        Self.outputExtent($0.0, kernel: kernel, stride: stride, padding: padding) == $0.1
      },
      "A window of \(kernel) with stride \(stride) does not lead from \(source) to \(destination)")
    self.source = source
    self.destination = destination
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  /// Pixels of the destination along a side of this many; 0 or less where the window does not fit.
  public static func outputExtent(_ extent: Int, kernel: Int, stride: Int, padding: Int) -> Int {
    let room = extent + 2 * padding - kernel
    return room < 0 ? 0 : room / stride + 1
  }

  /// `[destination channels, source channels, kernel, kernel]` as a matrix.
  public var weightExtents: (rows: Int, columns: Int) {
    (destination.channels, source.channels * kernel * kernel)
  }

  /// Multiplications for one example.
  public var multiplications: Double {
    Double(destination.pixelCount) * Double(destination.channels) * Double(source.channels)
      * Double(kernel) * Double(kernel)
  }
}

/// A convolution and its two gradients, planned once for each number of examples that they meet.
///
/// d[y, x, o] = Σ s[stride · y + i − padding, stride · x + j − padding, c] · w[o, c, i, j] (+ bias,
/// activation), over the window's pixels i, j and the source's channels c. Weights are in PyTorch's
/// order; oneDNN's own order is made at each run, which costs little beside the products. An instance
/// is used by one thread at a time.
///
/// - Source: oneDNN, *Convolution primitive*.
public final class Convolution {
  /// What is convolved.
  public let shape: ConvolutionShape
  private let hasBias: Bool
  private let activation: Activation
  private let precision: Precision
  private var plans: [Key: UnsafeMutablePointer<vd_dnnl_convolution>] = [:]

  private struct Key: Hashable {
    let role: UInt32
    let batch: Int
  }

  /// A convolution that has met no batch yet.
  ///
  /// - Parameters:
  ///   - shape: What is convolved.
  ///   - hasBias: Whether the forward adds a number to each channel.
  ///   - activation: What the forward applies last; it must not ``Activation/needsInputs``.
  ///   - precision: The number format of the operands; sums and everything after them are `f32`.
  public init(
    _ shape: ConvolutionShape, hasBias: Bool = false, activation: Activation = .identity,
    precision: Precision = .f32
  ) {
    self.shape = shape
    self.hasBias = hasBias
    self.activation = activation
    self.precision = precision
  }

  deinit {
    for plan in plans.values {
      vd_dnnl_convolution_destroy(plan)
      plan.deallocate()
    }
  }

  /// destination = activation(source ∗ weights + bias).
  ///
  /// - Shape: `source` and `destination` are `[batch, extents]`; `weights` as
  ///   ``ConvolutionShape/weightExtents``; `bias` is `[destination channels]`.
  /// - Throws: ``KernelError`` if a batch is met for the first time and oneDNN refuses it.
  public func forward<Operand: ProductOperand>(
    _ source: Operand, weights: MatrixView, bias: UnsafePointer<Float>? = nil,
    into destination: MatrixView
  ) throws(KernelError) {
    check(source, shape.source, destination, shape.destination)
    precondition(hasBias == (bias != nil), "A convolution planned with a bias needs one")
    // The addresses below do not keep what they point to.
    defer { withExtendedLifetime((source, weights, destination)) {} }
    try run(
      VD_DNNL_CONVOLUTION_FORWARD, batch: source.rows, source.address(ofColumn: 0), weights, bias,
      destination.address(ofColumn: 0))
  }

  /// The gradient of the source: also the forward of a transposed convolution.
  ///
  /// - Shape: `gradient` is like the destination, `destination` like the source.
  /// - Throws: ``KernelError`` if a batch is met for the first time and oneDNN refuses it.
  public func sourceGradient<Operand: ProductOperand>(
    _ gradient: Operand, weights: MatrixView, into destination: MatrixView
  ) throws(KernelError) {
    check(gradient, shape.destination, destination, shape.source)
    defer { withExtendedLifetime((gradient, weights, destination)) {} }
    try run(
      VD_DNNL_CONVOLUTION_SOURCE_GRADIENT, batch: gradient.rows, destination.address(ofColumn: 0),
      weights, nil, gradient.address(ofColumn: 0))
  }

  /// The gradient of the weights, summed over the batch.
  ///
  /// - Shape: `source` and `gradient` are `[batch, extents]` of source and destination.
  /// - Throws: ``KernelError`` if a batch is met for the first time and oneDNN refuses it.
  public func weightGradient<Operand: ProductOperand>(
    _ source: Operand, _ gradient: Operand, into destination: MatrixView
  ) throws(KernelError) {
    check(source, shape.source, gradient, shape.destination)
    if source.rows == 0 {
      destination.elements.update(repeating: 0)
      return
    }
    defer { withExtendedLifetime((source, gradient, destination)) {} }
    try run(
      VD_DNNL_CONVOLUTION_WEIGHT_GRADIENT, batch: source.rows, source.address(ofColumn: 0),
      destination, nil, gradient.address(ofColumn: 0))
  }

  private func check(
    _ one: some ProductOperand, _ first: Extents, _ other: some ProductOperand, _ second: Extents
  ) {
    precondition(
      one.columns == first.count && other.columns == second.count && one.rows == other.rows
        && one.stride == one.columns && other.stride == other.columns,
      "Cannot convolve \(one.shape) and \(other.shape) between \(first) and \(second)")
    precondition(
      type(of: one).precision == precision,
      "A convolution of \(precision) cannot read \(type(of: one).precision)")
  }

  private func run(
    _ role: vd_dnnl_convolution_role, batch: Int, _ source: UnsafeRawPointer,
    _ weights: MatrixView, _ bias: UnsafePointer<Float>?, _ destination: UnsafeRawPointer
  ) throws(KernelError) {
    precondition(
      (weights.rows, weights.columns) == shape.weightExtents && weights.isDense,
      "Weights \(weights.shape) do not fit \(shape)")
    if batch == 0 { return }
    let status = vd_dnnl_convolution_run(
      try plan(role, batch), source, weights.base, bias, destination)
    if status != dnnl_success { throw refusal(batch, status) }
  }

  private func plan(
    _ role: vd_dnnl_convolution_role, _ batch: Int
  ) throws(KernelError) -> UnsafeMutablePointer<vd_dnnl_convolution> {
    let key = Key(role: role.rawValue, batch: batch)
    if let plan = plans[key] { return plan }
    let engine = try OneDNNEngine.shared.get()
    let isForward = role == VD_DNNL_CONVOLUTION_FORWARD
    var what = vd_dnnl_convolution_description()
    what.role = role
    what.batch = Int64(batch)
    what.channels = Int64(shape.source.channels)
    what.height = Int64(shape.source.height)
    what.width = Int64(shape.source.width)
    what.output_channels = Int64(shape.destination.channels)
    what.output_height = Int64(shape.destination.height)
    what.output_width = Int64(shape.destination.width)
    what.kernel = Int64(shape.kernel)
    what.stride = Int64(shape.stride)
    what.padding = Int64(shape.padding)
    what.operands_are_bfloat16 = precision == .bf16 ? 1 : 0
    what.has_bias = isForward && hasBias ? 1 : 0
    what.activation = isForward ? activation.fused : VD_DNNL_IDENTITY
    what.slope = activation.slope
    let plan = UnsafeMutablePointer<vd_dnnl_convolution>.allocate(capacity: 1)
    plan.initialize(to: vd_dnnl_convolution())
    let status = engine.makingOnePrimitive { vd_dnnl_convolution_create($0, &what, plan) }
    guard status == dnnl_success else {
      plan.deallocate()
      throw refusal(batch, status)
    }
    plans[key] = plan
    return plan
  }

  private func refusal(_ batch: Int, _ status: dnnl_status_t) -> KernelError {
    .convolutionRefused(
      batch: batch, source: shape.source, destination: shape.destination, kernel: shape.kernel,
      status: Int(status.rawValue))
  }
}
