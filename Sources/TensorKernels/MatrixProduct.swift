internal import COneDNN
internal import Synchronization

/// What oneDNN refused, with its status.
public enum KernelError: Error, CustomStringConvertible {
  /// oneDNN could not make its engine for this processor.
  case engineUnavailable(status: Int)
  /// A product of this shape could not be prepared.
  case productRefused(rows: Int, inner: Int, columns: Int, status: Int)
  /// A convolution of this shape could not be prepared.
  case convolutionRefused(
    batch: Int, source: Extents, destination: Extents, kernel: Int, status: Int)

  /// One sentence with the status and the shape.
  public var description: String {
    switch self {
    case .engineUnavailable(let status):
      "oneDNN cannot use this processor (status \(status))"
    case .productRefused(let rows, let inner, let columns, let status):
      "oneDNN cannot prepare the product [\(rows), \(inner)]·[\(inner), \(columns)]"
        + " (status \(status))"
    case .convolutionRefused(let batch, let source, let destination, let kernel, let status):
      "oneDNN cannot prepare the convolution of \(batch) examples from \(source) to \(destination)"
        + " with a window of \(kernel) (status \(status))"
    }
  }
}

/// oneDNN's engine for the processor; one serves all threads.
final class OneDNNEngine: @unchecked Sendable {
  // Sound: the handle is written once and oneDNN's engines are safe to share.
  let handle: dnnl_engine_t

  static let shared: Result<OneDNNEngine, KernelError> = {
    var handle: dnnl_engine_t?
    let status = dnnl_engine_create(&handle, dnnl_cpu, 0)
    guard status == dnnl_success, let handle else {
      return .failure(.engineUnavailable(status: Int(status.rawValue)))
    }
    return .success(OneDNNEngine(handle))
  }()

  private let lock = Mutex(())

  private init(_ handle: dnnl_engine_t) {
    self.handle = handle
  }

  /// Runs what makes a primitive, one thread at a time.
  ///
  /// oneDNN 2.6 says that threads may make primitives at once. Made so, one in some hundred convolutions
  /// computed something else (a C program of four threads shows it too).
  func makingOnePrimitive(_ make: (dnnl_engine_t) -> dnnl_status_t) -> dnnl_status_t {
    lock.withLock { _ in make(handle) }
  }
}

/// One kind of matrix product, planned once for each number of rows that it meets.
///
/// `destination = activation(source · weights + bias)`. Inner extent and columns are fixed; what varies from step to step is the batch. An instance is
/// used by one thread at a time.
///
/// - Source: oneDNN, *Matmul primitive* and *Primitive attributes: post-ops*.
public final class MatrixProduct {
  /// Which extent follows the batch: the rows (forward, input gradients) or the sum (weight
  /// gradients).
  public enum Role {
    /// `[batch, inner] · [inner, columns]`, `weights` as they are stored.
    case forward
    /// `[batch, inner] · [columns, inner]ᵀ`: the gradient of the inputs.
    case inputGradient
    /// `[batch, rows]ᵀ · [batch, columns]`: the gradient of the weights.
    case weightGradient
  }

  private let role: Role
  private let leading: Int
  private let columns: Int
  private let hasBias: Bool
  private let activation: Activation
  private let precision: Precision
  private var plans: [Extents: UnsafeMutablePointer<vd_dnnl_product>] = [:]

  // What varies: the batch, how many rows of a weight gradient are computed, and how far apart
  // rows lie.
  private struct Extents: Hashable {
    let batch: Int
    let leading: Int
    let sourceStride: Int
    let weightStride: Int
    let destinationStride: Int
  }

  /// A product that has met no batch yet.
  ///
  /// - Parameters:
  ///   - role: Which operand is transposed, and which extent is the batch.
  ///   - leading: The fixed extent besides `columns`: the inner one, or, for weight gradients, the
  ///     rows of the destination.
  ///   - columns: Columns of the destination.
  ///   - hasBias: Whether a row is added to every row of the product.
  ///   - activation: What is applied last.
  ///   - precision: The number format of the operands; sums and everything after them are `f32`.
  public init(
    _ role: Role, leading: Int, columns: Int, hasBias: Bool = false,
    activation: Activation = .identity, precision: Precision = .f32
  ) {
    self.precision = precision
    self.role = role
    self.leading = leading
    self.columns = columns
    self.hasBias = hasBias
    self.activation = activation
  }

  deinit {
    for plan in plans.values {
      vd_dnnl_product_destroy(plan)
      plan.deallocate()
    }
  }

  /// oneDNN's version.
  public static var libraryVersion: String {
    guard let version = dnnl_version()?.pointee else { return "unknown" }
    return "\(version.major).\(version.minor).\(version.patch)"
  }

  /// Makes oneDNN run on the calling thread alone.
  public static func useCallingThreadOnly() {
    vd_dnnl_use_calling_thread_only()
  }

  /// Computes the product.
  ///
  /// - Shape: As ``Role`` says; `bias` is `[columns]`; with `rows` the destination has only those.
  /// - Parameters:
  ///   - source: The left operand.
  ///   - weights: The right operand.
  ///   - bias: A row added to every row of the product, if it was planned with one.
  ///   - destination: Receives the product.
  ///   - rows: The rows of a weight gradient to compute; nil for all.
  /// - Throws: ``KernelError`` if a batch is met for the first time and oneDNN refuses it.
  public func run<Operand: ProductOperand>(
    _ source: Operand, _ weights: Operand, bias: UnsafePointer<Float>? = nil,
    into destination: MatrixView, rows: Range<Int>? = nil
  ) throws(KernelError) {
    let batch = source.rows
    let rows = rows ?? 0..<leading
    let expected: (weights: (Int, Int), destination: (Int, Int), source: Int) =
      switch role {
      case .forward: ((leading, columns), (batch, columns), leading)
      case .inputGradient: ((columns, leading), (batch, columns), leading)
      case .weightGradient: ((batch, columns), (rows.count, columns), leading)
      }
    precondition(
      source.columns == expected.source && (weights.rows, weights.columns) == expected.weights
        && (destination.rows, destination.columns) == expected.destination
        && rows.lowerBound >= 0 && rows.upperBound <= leading,
      "Cannot multiply \(source.shape) by \(weights.shape) into \(destination.shape)")
    precondition(
      Operand.precision == precision, "A product of \(precision) cannot read \(Operand.precision)")
    precondition(hasBias == (bias != nil), "A product planned with a bias needs one")
    if batch == 0 {
      // An empty sum: zero weight gradients, and no rows at all otherwise.
      if case .weightGradient = role {
        for row in 0..<destination.rows { destination.row(row).update(repeating: 0) }
      }
      return
    }
    let plan = try plan(
      Extents(
        batch: batch, leading: rows.count, sourceStride: source.stride,
        weightStride: weights.stride, destinationStride: destination.stride))
    let status = vd_dnnl_product_run(
      plan, source.address(ofColumn: rows.lowerBound), weights.address(ofColumn: 0), bias,
      destination.base)
    if status != dnnl_success { throw refusal(batch: batch, status) }
  }

  private func plan(
    _ extents: Extents
  ) throws(KernelError) -> UnsafeMutablePointer<vd_dnnl_product> {
    if let plan = plans[extents] { return plan }
    let batch = extents.batch
    let engine = try OneDNNEngine.shared.get()
    var what = vd_dnnl_product_description()
    what.columns = Int64(columns)
    what.source_stride = Int64(extents.sourceStride)
    what.weight_stride = Int64(extents.weightStride)
    what.destination_stride = Int64(extents.destinationStride)
    what.operands_are_bfloat16 = precision == .bf16 ? 1 : 0
    what.has_bias = hasBias ? 1 : 0
    what.activation = activation.fused
    what.slope = activation.slope
    switch role {
    case .forward, .inputGradient:
      what.rows = Int64(batch)
      what.inner = Int64(leading)
      if case .inputGradient = role { what.weights_are_transposed = 1 }
    case .weightGradient:
      what.rows = Int64(extents.leading)
      what.inner = Int64(batch)
      what.source_is_transposed = 1
    }
    let plan = UnsafeMutablePointer<vd_dnnl_product>.allocate(capacity: 1)
    plan.initialize(to: vd_dnnl_product())
    let status = engine.makingOnePrimitive { vd_dnnl_product_create($0, &what, plan) }
    guard status == dnnl_success else {
      plan.deallocate()
      throw refusal(batch: batch, status)
    }
    plans[extents] = plan
    return plan
  }

  private func refusal(batch: Int, _ status: dnnl_status_t) -> KernelError {
    .productRefused(
      rows: batch, inner: leading, columns: columns, status: Int(status.rawValue))
  }
}
