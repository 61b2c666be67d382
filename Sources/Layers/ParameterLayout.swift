public import TensorKernels

/// One named tensor inside the flat parameter buffer.
///
/// People and files see it dense and in PyTorch's order (`weight` is `[outputs, inputs]`). In
/// memory, weights are stored transposed, because oneDNN multiplies by them 7–20% faster that way,
/// and the heads of one layer share a matrix; `strides` says where each element lies.
public struct ParameterTensor: Sendable, Equatable {
  /// A path that a person can read: `encoder.0.weight`.
  public let name: String
  /// Extents as files have them.
  public let shape: [Int]
  /// Inputs that each output of the layer sums over.
  public let fanIn: Int
  /// Outputs that each input of the layer reaches.
  public let fanOut: Int
  let offset: Int
  // Extents in the order of files, an image's axes apart, and how far apart their elements lie.
  let axes: [Axis]
  let start: Start

  /// What elements start as.
  public enum Start: Sendable, Equatable {
    /// What the run's initializer says.
    case initializer
    /// All the same.
    case constant(Float)
    /// Normal around 0.
    case normal(deviation: Float)
  }

  struct Axis: Sendable, Equatable {
    let extent: Int
    let stride: Int
  }

  /// Whether it is added rather than multiplied by.
  public var isBias: Bool { shape.count == 1 }
  /// Elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements in the order of files, taken out of a flat buffer.
  public func read(from flat: FloatBuffer) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { values, initialized in
      if let base = values.baseAddress {
        forEachRun { index, offset, count, stride in
          let (to, from) = (base + index, flat.base + offset)
          for step in 0..<count { to[step] = from[step * stride] }
        }
      }
      initialized = count
    }
  }

  /// Puts elements in the order of files into a flat buffer.
  public func write(_ values: [Float], into flat: FloatBuffer) {
    precondition(values.count == count, "\(name) has \(count) elements, not \(values.count)")
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      forEachRun { index, offset, count, stride in
        let (to, from) = (flat.base + offset, base + index)
        for step in 0..<count { to[step * stride] = from[step] }
      }
    }
  }

  // Elements along the last axis of files, one row after another.
  private func forEachRun(
    _ body: (_ index: Int, _ offset: Int, _ count: Int, _ stride: Int) -> Void
  ) {
    guard let last = axes.last else { return body(0, offset, 1, 1) }
    var index = 0
    func walk(_ axis: Int, _ offset: Int) {
      if axis == axes.count - 1 {
        body(index, offset, last.extent, last.stride)
        index += last.extent
        return
      }
      for step in 0..<axes[axis].extent { walk(axis + 1, offset + step * axes[axis].stride) }
    }
    walk(0, offset)
  }
}

/// Where each parameter lies in the flat buffers of parameters, gradients and optimizer state.
///
/// The same configuration gives the same layout on every rank. Gaps between tensors (they start at
/// cache lines) and between rows of weights stay zero in every buffer.
public struct ParameterLayout: Sendable, Equatable {
  /// The tensors in the order in which they are used.
  public private(set) var tensors: [ParameterTensor] = []
  /// Elements of a flat buffer, gaps included.
  public private(set) var bufferCount = 0

  /// An empty layout.
  public init() {}

  /// How many parameters there are, gaps not counted.
  public var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

  /// The name of the first tensor that holds NaN or an infinity.
  public func firstNonFinite(in flat: FloatBuffer) -> String? {
    tensors.first { !$0.read(from: flat).allSatisfy(\.isFinite) }?.name
  }

  /// The name of the last tensor that holds NaN or an infinity, in a gradient the first on the way back; of the
  /// one with the largest number where all are finite.
  public func lastOrLargest(in flat: FloatBuffer) -> String {
    var (name, largest) = ("", -Float.infinity)
    for tensor in tensors.reversed() {
      let sizes = tensor.read(from: flat).map(\.magnitude)
      if !sizes.allSatisfy(\.isFinite) { return tensor.name }
      if let size = sizes.max(), size > largest { (name, largest) = (tensor.name, size) }
    }
    return name
  }

  /// One line per tensor, for comparing ranks and files.
  public var summary: String {
    tensors.map { "\($0.name) \($0.shape)" }.joined(separator: "\n")
  }

  /// Elements between the rows of a weight matrix `[inputs, outputs]`.
  static func weightStride(outputs: Int) -> Int { FloatBuffer.rowStride(columns: outputs) }

  /// Sets aside a fully connected layer, whose outputs may be split into named heads.
  ///
  /// Files see images as PyTorch flattens them, `[channels, height, width]`.
  ///
  /// - Parameters:
  ///   - path: What precedes `.weight` and `.bias`.
  ///   - heads: Names of equal parts of the outputs, or empty for one unnamed part.
  ///   - inputs: Inputs of the layer.
  ///   - outputs: Outputs of the layer, the channels of all heads together.
  /// - Returns: Offsets of the weights `[inputs, outputs]` and of the biases `[outputs]`.
  mutating func addDense(
    path: String, heads: [String], inputs: Extents, outputs: Extents
  ) -> (weights: Int, biases: Int) {
    let weights = bufferCount
    let stride = Self.weightStride(outputs: outputs.count)
    let biases = weights + FloatBuffer.roundedUp(inputs.count * stride)
    bufferCount = biases + FloatBuffer.roundedUp(outputs.count)
    let paths = heads.isEmpty ? [path] : heads.map { "\(path).\($0)" }
    let part = outputs.count / paths.count
    precondition(part * paths.count == outputs.count, "\(outputs) do not make \(heads)")
    // Heads lie one after the other, each an image of its own.
    var head = outputs
    head.channels /= paths.count
    let outputAxes = Self.axes(of: head, step: 1)
    for (head, path) in paths.enumerated() {
      add(
        path, weightShape: [part, inputs.count], weights + head * part,
        outputAxes + Self.axes(of: inputs, step: stride), biases + head * part, outputAxes,
        fanIn: inputs.count, fanOut: part)
    }
    return (weights, biases)
  }

  /// Sets aside a convolution, whose output channels may be split into named heads.
  ///
  /// - Parameters:
  ///   - path: What precedes `.weight` and `.bias`.
  ///   - heads: Names of equal parts of the output channels, or empty for one unnamed part.
  ///   - shape: The convolution; of a transposed one, that whose gradient it is.
  ///   - isTransposed: Whether outputs are the shape's source.
  /// - Returns: Offsets of the weights, in the order of files, and of the biases.
  mutating func addConvolution(
    path: String, heads: [String], shape: ConvolutionShape, isTransposed: Bool
  ) -> (weights: Int, biases: Int) {
    let window = shape.kernel * shape.kernel
    let (rows, columns) = (shape.destination.channels, shape.source.channels)
    let outputs = isTransposed ? columns : rows
    let inputs = isTransposed ? rows : columns
    let weights = bufferCount
    let biases = weights + FloatBuffer.roundedUp(rows * columns * window)
    bufferCount = biases + FloatBuffer.roundedUp(outputs)
    let paths = heads.isEmpty ? [path] : heads.map { "\(path).\($0)" }
    let part = outputs / paths.count
    precondition(part * paths.count == outputs, "\(outputs) channels do not make \(heads)")
    // Windows of neighbouring outputs of a transposed convolution overlap: each output sums over one
    // in stride².
    let reach = shape.stride * shape.stride
    for (head, path) in paths.enumerated() {
      let extents = isTransposed ? [inputs, part] : [part, inputs]
      let axes = [
        ParameterTensor.Axis(extent: extents[0], stride: columns * window),
        .init(extent: extents[1], stride: window), .init(extent: window, stride: 1),
      ]
      add(
        path, weightShape: extents + [shape.kernel, shape.kernel],
        weights + head * part * (isTransposed ? window : columns * window), axes,
        biases + head * part, [.init(extent: part, stride: 1)],
        fanIn: max(1, inputs * window / (isTransposed ? reach : 1)),
        fanOut: max(1, part * window / (isTransposed ? 1 : reach)))
    }
    return (weights, biases)
  }

  // Channels, rows, columns: the order of files.
  private static func axes(of extents: Extents, step: Int) -> [ParameterTensor.Axis] {
    if extents.isVector { return [.init(extent: extents.channels, stride: step)] }
    return [
      .init(extent: extents.channels, stride: step),
      .init(extent: extents.height, stride: extents.width * extents.channels * step),
      .init(extent: extents.width, stride: extents.channels * step),
    ]
  }

  private mutating func add(
    _ path: String, weightShape: [Int], _ weights: Int, _ weightAxes: [ParameterTensor.Axis],
    _ biases: Int, _ biasAxes: [ParameterTensor.Axis], fanIn: Int, fanOut: Int
  ) {
    tensors.append(
      ParameterTensor(
        name: "\(path).weight", shape: weightShape, fanIn: fanIn, fanOut: fanOut, offset: weights,
        axes: weightAxes, start: .initializer))
    tensors.append(
      ParameterTensor(
        name: "\(path).bias", shape: [biasAxes.reduce(1) { $0 * $1.extent }], fanIn: fanIn,
        fanOut: fanOut, offset: biases, axes: biasAxes, start: .initializer))
  }

  /// Sets aside a vector that belongs to no layer.
  ///
  /// - Parameters:
  ///   - name: Its path.
  ///   - extents: Its elements; those of an image are in the order of files, as PyTorch flattens them.
  ///   - initialValue: What they start as.
  public mutating func addFree(name: String, extents: Extents, initialValue: Float) {
    add(
      name: name, shape: [extents.count], axes: Self.axes(of: extents, step: 1),
      start: .constant(initialValue))
  }

  /// Sets aside dense rows that belong to no layer.
  ///
  /// - Parameters:
  ///   - name: Its path.
  ///   - rows: How many.
  ///   - extents: The elements of each; those of an image are in the order of files.
  ///   - start: What elements start as.
  public mutating func addFree(
    name: String, rows: Int, extents: Extents, start: ParameterTensor.Start
  ) {
    add(
      name: name, shape: [rows, extents.count],
      axes: [.init(extent: rows, stride: extents.count)] + Self.axes(of: extents, step: 1),
      start: start)
  }

  private mutating func add(
    name: String, shape: [Int], axes: [ParameterTensor.Axis], start: ParameterTensor.Start
  ) {
    let count = shape.reduce(1, *)
    tensors.append(
      ParameterTensor(
        name: name, shape: shape, fanIn: 1, fanOut: count, offset: bufferCount, axes: axes,
        start: start))
    bufferCount += FloatBuffer.roundedUp(count)
  }
}
