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
  let strides: [Int]
  /// What every element starts as, whatever the initializer; nil for what it says.
  let initialValue: Float?

  /// Whether it is added rather than multiplied by.
  public var isBias: Bool { shape.count == 1 }
  /// Elements.
  public var count: Int { shape.reduce(1, *) }

  /// The elements in the order of files, taken out of a flat buffer.
  public func read(from flat: FloatBuffer) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { values, initialized in
      forEachOffset { index, offset in values[index] = flat.base[offset] }
      initialized = count
    }
  }

  /// Puts elements in the order of files into a flat buffer.
  public func write(_ values: [Float], into flat: FloatBuffer) {
    precondition(values.count == count, "\(name) has \(count) elements, not \(values.count)")
    forEachOffset { index, offset in flat.base[offset] = values[index] }
  }

  private func forEachOffset(_ body: (_ index: Int, _ offset: Int) -> Void) {
    let columns = isBias ? 1 : shape[1]
    let columnStride = isBias ? 0 : strides[1]
    for row in 0..<shape[0] {
      for column in 0..<columns {
        body(row * columns + column, offset + row * strides[0] + column * columnStride)
      }
    }
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

  /// One line per tensor, for comparing ranks and files.
  public var summary: String {
    tensors.map { "\($0.name) \($0.shape)" }.joined(separator: "\n")
  }

  /// Elements between the rows of a weight matrix `[inputs, outputs]`.
  static func weightStride(outputs: Int) -> Int { FloatBuffer.rowStride(columns: outputs) }

  /// Sets aside a fully connected layer, whose outputs may be split into named heads.
  ///
  /// - Parameters:
  ///   - path: What precedes `.weight` and `.bias`.
  ///   - heads: Names of equal parts of the outputs, or empty for one unnamed part.
  ///   - inputs: Inputs of the layer.
  ///   - outputs: Outputs of the layer, all heads together.
  /// - Returns: Offsets of the weights `[inputs, outputs]` and of the biases `[outputs]`.
  mutating func addDense(
    path: String, heads: [String], inputs: Int, outputs: Int
  ) -> (weights: Int, biases: Int) {
    let weights = bufferCount
    let stride = Self.weightStride(outputs: outputs)
    let biases = weights + FloatBuffer.roundedUp(inputs * stride)
    bufferCount = biases + FloatBuffer.roundedUp(outputs)
    let paths = heads.isEmpty ? [path] : heads.map { "\(path).\($0)" }
    let part = outputs / paths.count
    precondition(part * paths.count == outputs, "\(outputs) outputs do not make \(heads)")
    for (head, path) in paths.enumerated() {
      tensors.append(
        ParameterTensor(
          name: "\(path).weight", shape: [part, inputs], fanIn: inputs, fanOut: part,
          offset: weights + head * part, strides: [1, stride], initialValue: nil))
      tensors.append(
        ParameterTensor(
          name: "\(path).bias", shape: [part], fanIn: inputs, fanOut: part,
          offset: biases + head * part, strides: [1], initialValue: nil))
    }
    return (weights, biases)
  }

  /// Sets aside a vector that belongs to no layer.
  ///
  /// - Parameters:
  ///   - name: Its path.
  ///   - count: Its elements.
  ///   - initialValue: What they start as.
  public mutating func addFree(name: String, count: Int, initialValue: Float) {
    tensors.append(
      ParameterTensor(
        name: name, shape: [count], fanIn: 1, fanOut: count, offset: bufferCount, strides: [1],
        initialValue: initialValue))
    bufferCount += FloatBuffer.roundedUp(count)
  }
}
