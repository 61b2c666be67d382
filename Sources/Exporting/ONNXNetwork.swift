internal import Layers
internal import TensorKernels

/// Layers as ONNX operators; images are `[batch, channels, height, width]`.
struct ONNXNetwork {
  /// Tensors by name: extents and numbers, in the order of files.
  let tensors: [String: (shape: [Int], values: [Float])]
  let activation: Activation

  /// A value with the extents of an example; an image where it lies as one.
  struct Value {
    var name: String
    var extents: Extents
    var isImage: Bool
  }

  /// The parts of a network's outputs, each `[batch, numbers]`, an image's pixel by pixel.
  func heads(
    _ plan: NetworkPlan, _ input: Value, _ graph: inout ONNXGraph
  ) -> [(name: String, value: String)] {
    let hidden = run(plan.operations, input, &graph)
    return plan.outputHeads.map { head in
      (head.name, rows(run([head.operation], hidden, &graph), &graph))
    }
  }

  /// `[batch, numbers]`, pixel by pixel, as an image where there are pixels.
  func image(_ rows: String, _ extents: Extents, _ graph: inout ONNXGraph) -> Value {
    if extents.isVector { return Value(name: rows, extents: extents, isImage: false) }
    let pixels = graph.reshape(rows, [-1, extents.height, extents.width, extents.channels])
    return Value(
      name: graph.add("Transpose", [pixels], ["perm": .ints([0, 3, 1, 2])]), extents: extents,
      isImage: true)
  }

  private func rows(_ value: Value, _ graph: inout ONNXGraph) -> String {
    if value.extents.isVector { return flat(value, &graph) }
    let pixels = graph.add(
      "Transpose", [asImage(value, &graph)], ["perm": .ints([0, 2, 3, 1])])
    return graph.reshape(pixels, [-1, value.extents.count])
  }

  private func flat(_ value: Value, _ graph: inout ONNXGraph) -> String {
    value.isImage ? graph.reshape(value.name, [-1, value.extents.count]) : value.name
  }

  private func asImage(_ value: Value, _ graph: inout ONNXGraph) -> String {
    let extents = value.extents
    return value.isImage
      ? value.name
      : graph.reshape(value.name, [-1, extents.channels, extents.height, extents.width])
  }

  private func run(
    _ operations: [NetworkOperation], _ input: Value, _ graph: inout ONNXGraph
  ) -> Value {
    operations.reduce(input) { run($1, $0, &graph) }
  }

  private func run(
    _ operation: NetworkOperation, _ input: Value, _ graph: inout ONNXGraph
  ) -> Value {
    switch operation {
    case .dense(let path, let output):
      return Value(
        name: graph.add(
          "Gemm",
          [flat(input, &graph), tensor("\(path).weight", &graph), tensor("\(path).bias", &graph)],
          ["transB": .int(1)]),
        extents: output, isImage: false)
    case .convolution(let path, let shape, let isTransposed):
      return convolution(path, shape, isTransposed, asImage(input, &graph), &graph)
    case .normalization(let path, let groups):
      return normalization(path, groups, input, &graph)
    case .activation:
      return Value(
        name: activate(input.name, &graph), extents: input.extents, isImage: input.isImage)
    case .sum(let main, let around):
      let (one, other) = (run(main, input, &graph), run(around, input, &graph))
      return Value(
        name: graph.add("Add", [asImage(one, &graph), asImage(other, &graph)]),
        extents: one.extents, isImage: true)
    }
  }

  private func convolution(
    _ path: String, _ shape: ConvolutionShape, _ isTransposed: Bool, _ input: String,
    _ graph: inout ONNXGraph
  ) -> Value {
    var attributes: [String: ONNXGraph.Attribute] = [
      "kernel_shape": .ints([shape.kernel, shape.kernel]),
      "strides": .ints([shape.stride, shape.stride]),
      "pads": .ints([shape.padding, shape.padding, shape.padding, shape.padding]),
    ]
    if isTransposed {
      func added(_ outputs: Int, _ inputs: Int) -> Int {
        outputs - ((inputs - 1) * shape.stride - 2 * shape.padding + shape.kernel)
      }
      attributes["output_padding"] = .ints([
        added(shape.source.height, shape.destination.height),
        added(shape.source.width, shape.destination.width),
      ])
    }
    return Value(
      name: graph.add(
        isTransposed ? "ConvTranspose" : "Conv",
        [input, tensor("\(path).weight", &graph), tensor("\(path).bias", &graph)], attributes),
      extents: isTransposed ? shape.source : shape.destination, isImage: true)
  }

  private func normalization(
    _ path: String, _ groups: Int, _ input: Value, _ graph: inout ONNXGraph
  ) -> Value {
    let extents = input.extents
    let grouped = graph.reshape(asImage(input, &graph), [0, groups, -1])
    let normalized = graph.add(
      "InstanceNormalization",
      [
        grouped, graph.constant([Float](repeating: 1, count: groups), [groups]),
        graph.constant([Float](repeating: 0, count: groups), [groups]),
      ], ["epsilon": .float(GroupNormalization.epsilon)])
    let image = graph.reshape(
      normalized, [-1, extents.channels, extents.height, extents.width])
    func each(_ name: String) -> String {
      graph.reshape(tensor("\(path).\(name)", &graph), [extents.channels, 1, 1])
    }
    let scaled = graph.add("Mul", [image, each("weight")])
    return Value(
      name: graph.add("Add", [scaled, each("bias")]), extents: extents, isImage: true)
  }

  private func activate(_ value: String, _ graph: inout ONNXGraph) -> String {
    switch activation {
    case .identity: return value
    case .relu: return graph.add("Relu", [value])
    case .leakyReLU: return graph.add("LeakyRelu", [value], ["alpha": .float(0.01)])
    case .tanh: return graph.add("Tanh", [value])
    case .sigmoid: return graph.add("Sigmoid", [value])
    case .elu: return graph.add("Elu", [value], ["alpha": .float(1)])
    case .softplus: return graph.add("Softplus", [value])
    case .silu: return graph.add("Mul", [value, graph.add("Sigmoid", [value])])
    case .gelu:
      let scaled = graph.add("Mul", [value, graph.constant(Float(0.5).squareRoot())])
      let erf = graph.add("Add", [graph.add("Erf", [scaled]), graph.constant(1)])
      return graph.add(
        "Mul", [graph.add("Mul", [value, graph.constant(0.5)]), erf])
    }
  }

  private func tensor(_ name: String, _ graph: inout ONNXGraph) -> String {
    guard let tensor = tensors[name] else { preconditionFailure("There is no tensor \(name)") }
    return graph.constant(tensor.values, tensor.shape, name: name)
  }
}
