internal import Checkpointing
internal import Layers
internal import TensorKernels
public import Training
internal import VAEObjective

/// A checkpoint's model as ONNX graphs.
///
/// Inputs and outputs have a row an example, in any number:
/// - encoder: `x` to `mean` and `standard_deviation` of q(z|x);
/// - decoder: `z` to the parameters of p(x|z), by their names in checkpoints, and `x_mean`, E[x|z] (of
///   classes, the most probable one; of shares of a total, what is to be multiplied by it);
/// - vae: `x` and `noise` to z = μ + σ ⊙ ε and all that the two others give.
///
/// `x` is as the model sees it, after the scale. Conditional models take `label` besides.
public struct ONNXModel {
  private let saved: SavedModel
  private let model: ModelConfiguration
  private let network: ONNXNetwork

  /// Reads the parameters.
  ///
  /// - Throws: `CheckpointError` if a tensor is missing, or what the settings' check finds.
  public init(_ saved: SavedModel) throws {
    self.saved = saved
    model = try saved.configuration.model(inputs: saved.inputs)
    var tensors: [String: (shape: [Int], values: [Float])] = [:]
    for tensor in try saved.parameters() { tensors[tensor.name] = (tensor.shape, tensor.values) }
    network = ONNXNetwork(tensors: tensors, activation: model.activation)
  }

  /// The bytes of `encoder.onnx`.
  public var encoder: [UInt8] {
    var graph = ONNXGraph(name: "encoder")
    let label = labelInput(&graph)
    let x = graph.input("x", .float, [.open("batch"), .fixed(saved.inputs)])
    let posterior = encode(x, label, &graph)
    output("mean", posterior.mean, model.latent, &graph)
    output("standard_deviation", posterior.deviation, model.latent, &graph)
    return finished(graph)
  }

  /// The bytes of `decoder.onnx`.
  public var decoder: [UInt8] {
    var graph = ONNXGraph(name: "decoder")
    let label = labelInput(&graph)
    let z = graph.input("z", .float, [.open("batch"), .fixed(model.latent)])
    decode(z, label, &graph)
    return finished(graph)
  }

  /// The bytes of `vae.onnx`.
  public var whole: [UInt8] {
    var graph = ONNXGraph(name: "vae")
    let label = labelInput(&graph)
    let x = graph.input("x", .float, [.open("batch"), .fixed(saved.inputs)])
    let noise = graph.input("noise", .float, [.open("batch"), .fixed(model.latent)])
    let posterior = encode(x, label, &graph)
    let z = graph.add("Add", [posterior.mean, graph.add("Mul", [posterior.deviation, noise])])
    output("posterior_mean", posterior.mean, model.latent, &graph)
    output("posterior_standard_deviation", posterior.deviation, model.latent, &graph)
    output("z", z, model.latent, &graph)
    decode(z, label, &graph)
    return finished(graph)
  }

  private func finished(_ graph: ONNXGraph) -> [UInt8] {
    graph.model(
      metadata: [
        ("configuration", saved.file.metadata["configuration"] ?? ""),
        ("scale", "\(saved.configuration.scale ?? 1)"),
        ("step", "\(saved.progress.step)"),
        ("checkpoint_sha256", saved.file.metadata[SafetensorsFile.digestKey] ?? ""),
      ], version: SavedModel.version)
  }

  private func output(
    _ name: String, _ value: String, _ count: Int, _ graph: inout ONNXGraph
  ) {
    graph.output(name, value, [.open("batch"), .fixed(count)])
  }

  // MARK: Encoder

  private func labelInput(_ graph: inout ONNXGraph) -> String? {
    if model.classes == 0 { return nil }
    let label = graph.input("label", .int64, [.open("batch")])
    let number = graph.add("Cast", [label], ["to": .int(ONNXGraph.Element.float.rawValue)])
    return graph.oneHot(number, classes: model.classes)
  }

  private func encode(
    _ x: String, _ label: String?, _ graph: inout ONNXGraph
  ) -> (mean: String, deviation: String) {
    var own = model.encoder.input
    own.channels -= model.classes
    var input = network.image(shown(x, &graph), own, &graph)
    if let label {
      if input.isImage {
        // Channels that are 1 or 0 everywhere.
        let ones = graph.constant(
          [Float](repeating: 1, count: own.pixelCount), [1, 1, own.height, own.width])
        let planes = graph.add(
          "Mul", [graph.reshape(label, [-1, model.classes, 1, 1]), ones])
        input.name = graph.concatenate([input.name, planes])
      } else {
        input.name = graph.concatenate([input.name, label])
      }
      input.extents = model.encoder.input
    }
    let heads = network.heads(model.encoder, input, &graph)
    let half = graph.add("Mul", [heads[1].value, graph.constant(0.5)])
    return (heads[0].value, graph.add("Exp", [half]))
  }

  // What the encoder reads of the data.
  private func shown(_ x: String, _ graph: inout ONNXGraph) -> String {
    switch model.likelihood.family {
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial:
      return graph.add("Log", [graph.add("Add", [x, graph.constant(1)])])
    case .categorical(let classes):
      return graph.reshape(
        graph.oneHot(x, classes: classes), [-1, saved.inputs * classes])
    case .table(let columns): return tableInputs(x, columns, &graph)
    default: return x
    }
  }

  private func tableInputs(
    _ x: String, _ columns: [TableColumn], _ graph: inout ONNXGraph
  ) -> String {
    let isMissing = graph.add("IsNaN", [x])
    let zero = graph.constant(0)
    var parts = columns.enumerated().map { index, column -> String in
      let (own, isGone) = (
        graph.columns(x, index..<index + 1), graph.columns(isMissing, index..<index + 1)
      )
      let value: String
      switch column.kind {
      case .gaussian: value = standardized(own, column, &graph)
      case .logNormal: value = standardized(graph.add("Log", [own]), column, &graph)
      case .bernoulli: value = own
      case .poisson: value = graph.add("Log", [graph.add("Add", [own, graph.constant(1)])])
      case .categorical(let classes):
        value = graph.reshape(graph.oneHot(own, classes: classes), [-1, classes])
      }
      return graph.add("Where", [isGone, zero, value])
    }
    let known = graph.add("Cast", [graph.add("Not", [isMissing])], ["to": .int(1)])
    parts.append(known)
    return graph.concatenate(parts)
  }

  private func standardized(
    _ value: String, _ column: TableColumn, _ graph: inout ONNXGraph
  ) -> String {
    graph.add(
      "Div",
      [
        graph.add("Sub", [value, graph.constant(column.center)]), graph.constant(column.scale),
      ])
  }

  // MARK: Decoder

  private func decode(_ z: String, _ label: String?, _ graph: inout ONNXGraph) {
    let input = ONNXNetwork.Value(
      name: label.map { graph.concatenate([z, $0]) } ?? z, extents: model.decoder.input,
      isImage: false)
    var parameters: [String: String] = [:]
    for (head, plan) in zip(network.heads(model.decoder, input, &graph), model.decoder.outputHeads)
    {
      output(head.name, head.value, plan.output.count, &graph)
      parameters[head.name] = head.value
    }
    for name in ["log_variance", "log_scale", "log_dispersion"] {
      guard let tensor = network.tensors["decoder.\(name)"] else { continue }
      let value = free(name, tensor.values, &graph)
      graph.output(name, value, [.fixed(1), .fixed(tensor.values.count)])
      parameters[name] = value
    }
    let mean = ONNXObservation(likelihood: model.likelihood, inputs: saved.inputs).mean(
      parameters, &graph)
    output("x_mean", mean, saved.inputs, &graph)
  }

  // What all rows share, pixel by pixel: files have channels first.
  private func free(_ name: String, _ values: [Float], _ graph: inout ONNXGraph) -> String {
    let extents = model.example
    guard values.count == extents.count, !extents.isVector else {
      return graph.constant(values, [1, values.count], name: "decoder.\(name)")
    }
    let image = graph.constant(
      values, [extents.channels, extents.height, extents.width], name: "decoder.\(name)")
    return graph.reshape(
      graph.add("Transpose", [image], ["perm": .ints([1, 2, 0])]), [1, values.count])
  }
}
