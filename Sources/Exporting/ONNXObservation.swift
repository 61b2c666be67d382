internal import TensorKernels
internal import VAEObjective

/// E[x|z] from the decoder's outputs, as ONNX operators; of classes, the most probable one.
struct ONNXObservation {
  let likelihood: Likelihood
  let inputs: Int

  func mean(_ parameters: [String: String], _ graph: inout ONNXGraph) -> String {
    func head(_ name: String) -> String {
      guard let value = parameters[name] else { preconditionFailure("There is no head \(name)") }
      return value
    }
    switch likelihood.family {
    case .bernoulli: return graph.add("Sigmoid", [head("logits")])
    case .continuousBernoulli: return continuousBernoulli(head("logits"), &graph)
    case .gaussian: return location(head("mean"), &graph)
    case .laplace: return location(head("location"), &graph)
    case .discretizedLogistic:
      return discretizedLogistic(
        location(head("location"), &graph), parameters["log_scale"], &graph)
    case .poisson, .negativeBinomial: return rate(parameters, &graph)
    case .zeroInflatedNegativeBinomial:
      let kept = graph.add("Sigmoid", [graph.add("Neg", [head("inflation_logits")])])
      return graph.add("Mul", [rate(parameters, &graph), kept])
    case .categorical(let classes):
      let logits = graph.reshape(head("logits"), [-1, inputs, classes])
      return argmax(logits, axis: 2, &graph)
    case .table(let columns): return table(head("columns"), columns, &graph)
    }
  }

  private func location(_ value: String, _ graph: inout ONNXGraph) -> String {
    likelihood.sigmoidLocation ? graph.add("Sigmoid", [value]) : value
  }

  // E[k] = Σ P(X > k), over the 255 edges between the 256 values.
  private func discretizedLogistic(
    _ location: String, _ logScale: String?, _ graph: inout ONNXGraph
  ) -> String {
    let scale: String
    if let logScale {
      let sum = graph.add(
        "Add", [graph.add("Exp", [logScale]), graph.constant(likelihood.spreadFloor)])
      scale = graph.add("Unsqueeze", [sum, graph.constant([-1])])
    } else {
      scale = graph.constant(likelihood.spreadValue)
    }
    let edges = graph.constant((0..<255).map { (Float($0) + 0.5) / 255 }, [255])
    let places = graph.add("Unsqueeze", [location, graph.constant([-1])])
    let odds = graph.add("Div", [graph.add("Sub", [places, edges]), scale])
    let sum = graph.add(
      "ReduceSum", [graph.add("Sigmoid", [odds]), graph.constant([2])], ["keepdims": .int(0)])
    return graph.add("Div", [sum, graph.constant(255)])
  }

  private func argmax(_ logits: String, axis: Int, _ graph: inout ONNXGraph) -> String {
    graph.add(
      "Cast",
      [graph.add("ArgMax", [logits], ["axis": .int(axis), "keepdims": .int(0)])],
      ["to": .int(ONNXGraph.Element.float.rawValue)])
  }

  // Shares of a total are a softmax.
  private func rate(_ parameters: [String: String], _ graph: inout ONNXGraph) -> String {
    if let logits = parameters["share_logits"] {
      return graph.add("Softmax", [logits], ["axis": .int(1)])
    }
    guard let logarithm = parameters["log_rate"] ?? parameters["log_mean"] else {
      preconditionFailure("Counts have a rate")
    }
    return graph.add("Exp", [logarithm])
  }

  // 1 / (1 − e⁻ᵃ) − 1/a, and its series where that would lose digits.
  private func continuousBernoulli(_ logits: String, _ graph: inout ONNXGraph) -> String {
    let isSmall = graph.add("Less", [graph.add("Abs", [logits]), graph.constant(0.5)])
    let square = graph.add("Mul", [logits, logits])
    // 1/2 + a/12 − a³/720 + a⁵/30240
    let inner = graph.add(
      "Add",
      [graph.constant(-1 / 720), graph.add("Mul", [square, graph.constant(1 / 30240)])])
    let factor = graph.add(
      "Add", [graph.constant(1 / 12), graph.add("Mul", [square, inner])])
    let series = graph.add(
      "Add", [graph.constant(0.5), graph.add("Mul", [logits, factor])])
    let safe = graph.add("Where", [isSmall, graph.constant(1), logits])
    let lost = graph.add(
      "Sub", [graph.constant(1), graph.add("Exp", [graph.add("Neg", [safe])])])
    let exact = graph.add(
      "Sub",
      [graph.add("Reciprocal", [lost]), graph.add("Reciprocal", [safe])])
    return graph.add("Where", [isSmall, series, exact])
  }

  private func table(
    _ outputs: String, _ columns: [TableColumn], _ graph: inout ONNXGraph
  ) -> String {
    var first = 0
    var parts: [String] = []
    for column in columns {
      let own = graph.columns(outputs, first..<first + column.outputCount)
      first += column.outputCount
      switch column.kind {
      case .gaussian:
        parts.append(unstandardized(graph.columns(own, 0..<1), column, &graph))
      case .logNormal:
        // e^(μ + σ²/2) in units of the logarithm; the variance is e^v + floor².
        let floor = likelihood.spread == .fixed ? 0 : likelihood.spreadFloor
        let variance = graph.add(
          "Add", [graph.add("Exp", [graph.columns(own, 1..<2)]), graph.constant(floor * floor)])
        let half = graph.add(
          "Mul", [variance, graph.constant(0.5 * column.scale * column.scale)])
        let center = unstandardized(graph.columns(own, 0..<1), column, &graph)
        parts.append(graph.add("Exp", [graph.add("Add", [center, half])]))
      case .bernoulli: parts.append(graph.add("Sigmoid", [own]))
      case .poisson: parts.append(graph.add("Exp", [own]))
      case .categorical:
        parts.append(graph.reshape(argmax(own, axis: 1, &graph), [-1, 1]))
      }
    }
    return graph.concatenate(parts)
  }

  private func unstandardized(
    _ value: String, _ column: TableColumn, _ graph: inout ONNXGraph
  ) -> String {
    graph.add(
      "Add",
      [graph.add("Mul", [value, graph.constant(column.scale)]), graph.constant(column.center)])
  }
}
