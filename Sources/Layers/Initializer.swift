public import TensorKernels

/// How parameters start.
public enum Initializer: String, CaseIterable, Sendable, Codable {
  /// Weights uniform on ±√(6 / (fan in + fan out)), biases 0 (Glorot & Bengio 2010).
  case glorotUniform = "glorot-uniform"
  /// Weights N(0, 2 / (fan in + fan out)), biases 0 (Glorot & Bengio 2010).
  case glorotNormal = "glorot-normal"
  /// Weights uniform on ±√(6 / fan in), biases 0 (He et al. 2015).
  case heUniform = "he-uniform"
  /// Weights N(0, 2 / fan in), biases 0 (He et al. 2015).
  case heNormal = "he-normal"
  /// Weights and biases uniform on ±1/√(fan in): what PyTorch's `nn.Linear` does.
  case fanInUniform = "fan-in-uniform"
  /// Weights and biases N(0, 0.01), a standard deviation of 0.1 (Kingma & Welling 2014, section 5).
  case normal

  /// Fills a flat parameter buffer.
  ///
  /// A tensor's values depend on the seed and on its place in the layout's order, not on how the
  /// layout stores it.
  public func fill(_ parameters: FloatBuffer, layout: ParameterLayout, seed: UInt64) {
    let stream = RandomStream(seed: seed, purpose: .initialParameters)
    for (number, tensor) in layout.tensors.enumerated() {
      if case .constant(let value) = tensor.start {
        tensor.write([Float](repeating: value, count: tensor.count), into: parameters)
        continue
      }
      let buffer = FloatBuffer(count: tensor.count)
      let row = buffer.matrix(rows: 1, columns: tensor.count)
      let scale: Float
      if case .normal(let deviation) = tensor.start {
        scale = deviation
        withNumber(number) { stream.fillNormal(row, examples: $0) }
      } else if tensor.isBias && !startsBiases {
        scale = 0
      } else if isNormal {
        scale = standardDeviation(tensor)
        withNumber(number) { stream.fillNormal(row, examples: $0) }
      } else {
        scale = bound(tensor)
        withNumber(number) { stream.fillUniform(row, examples: $0) }
        for index in 0..<buffer.count { buffer.base[index] = 2 * buffer.base[index] - 1 }
      }
      tensor.write(buffer.elements.map { scale * $0 }, into: parameters)
    }
  }

  private var startsBiases: Bool { self == .fanInUniform || self == .normal }

  private var isNormal: Bool { self == .glorotNormal || self == .heNormal || self == .normal }

  private func standardDeviation(_ tensor: ParameterTensor) -> Float {
    switch self {
    case .glorotNormal: (2 / Float(tensor.fanIn + tensor.fanOut)).squareRoot()
    case .heNormal: (2 / Float(tensor.fanIn)).squareRoot()
    default: 0.1
    }
  }

  private func bound(_ tensor: ParameterTensor) -> Float {
    switch self {
    case .glorotUniform: (6 / Float(tensor.fanIn + tensor.fanOut)).squareRoot()
    case .heUniform: (6 / Float(tensor.fanIn)).squareRoot()
    default: 1 / Float(tensor.fanIn).squareRoot()
    }
  }

  private func withNumber(_ number: Int, _ body: (UnsafeBufferPointer<UInt32>) -> Void) {
    withUnsafePointer(to: UInt32(number)) { body(UnsafeBufferPointer(start: $0, count: 1)) }
  }
}
