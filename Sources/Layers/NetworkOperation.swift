public import TensorKernels

/// What a layer computes, by the names of its tensors, for whoever writes the network down elsewhere.
public indirect enum NetworkOperation: Sendable {
  /// x Wᵀ + b; tensors `.weight` `[outputs, inputs]` and `.bias`. Images are flattened, and made, with
  /// channels first.
  case dense(path: String, output: Extents)
  /// A convolution with a bias; of a transposed one, the shape is that of the convolution whose
  /// gradient it is.
  case convolution(path: String, shape: ConvolutionShape, isTransposed: Bool)
  /// Mean 0 and variance 1 over each group of channels, then `.weight` and `.bias` of each channel.
  case normalization(path: String, groups: Int)
  /// The network's activation.
  case activation
  /// The sum of two ways; an empty one leaves its input as it is.
  case sum([NetworkOperation], [NetworkOperation])
}

/// One part of a network's outputs.
public struct NetworkHead: Sendable {
  /// Its name: `mean`.
  public let name: String
  /// What gives it from the last hidden layer's outputs.
  public let operation: NetworkOperation
  /// Its extents.
  public let output: Extents
}

extension NetworkPlan {
  /// From the inputs to the last hidden layer's outputs, in order; dropout is left out.
  public var operations: [NetworkOperation] {
    steps.filter { !$0.isOutput }.flatMap { step -> [NetworkOperation] in
      let groups = step.normalization.groups(channels: step.output.channels)
      func normalization(_ path: String) -> [NetworkOperation] {
        groups.map { [.normalization(path: "\(path).norm", groups: $0)] } ?? []
      }
      switch step.kind {
      case .dense:
        return [.dense(path: step.path, output: step.output)] + normalization(step.path)
          + [.activation]
      case .convolution(let shape):
        return [.convolution(path: step.path, shape: shape, isTransposed: false)]
          + normalization(step.path) + [.activation]
      case .transposedConvolution(let shape):
        return [.convolution(path: step.path, shape: shape, isTransposed: true)]
          + normalization(step.path) + [.activation]
      case .residual(let kernel):
        let shapes = Self.residualShapes(step, kernel: kernel)
        func convolution(_ name: String, _ index: Int) -> NetworkOperation {
          .convolution(path: "\(step.path).\(name)", shape: shapes[index], isTransposed: false)
        }
        let main =
          [convolution("0", 0)] + normalization("\(step.path).0") + [.activation]
          + [convolution("1", 1)] + normalization("\(step.path).1")
        return [.sum(main, shapes.count > 2 ? [convolution("skip", 2)] : []), .activation]
      case .dropout:
        return []
      }
    }
  }

  /// The parts of the outputs, in order.
  public var outputHeads: [NetworkHead] {
    guard let last = steps.last else { return [] }
    return heads.map { name in
      let path = "\(self.path).\(name)"
      var own = output
      own.channels /= heads.count
      let operation: NetworkOperation
      switch last.kind {
      case .convolution(let shape):
        operation = .convolution(
          path: path, shape: shape.with(source: shape.source, destination: own),
          isTransposed: false)
      case .transposedConvolution(let shape):
        operation = .convolution(
          path: path, shape: shape.with(source: own, destination: shape.destination),
          isTransposed: true)
      default:
        operation = .dense(path: path, output: own)
      }
      return NetworkHead(name: name, operation: operation, output: own)
    }
  }
}

extension ConvolutionShape {
  fileprivate func with(source: Extents, destination: Extents) -> ConvolutionShape {
    ConvolutionShape(
      source: source, destination: destination, kernel: kernel, stride: stride, padding: padding)
  }
}
