import Foundation

/// The whole objective once more, in `Double` and plain loops: what the fast code is held to.
///
/// Tensors are dictionaries of arrays in PyTorch's order, by the names of checkpoints.
package struct ReferenceVAE {
  package typealias Tensors = [String: [Double]]

  package var inputs: Int
  package var hidden: [Int]
  package var latent: Int
  package var activation: String
  /// One of the names of ``ReferenceLikelihood``.
  package var likelihood: String
  package var draws: Int
  /// Classes that encoder and decoder are told.
  package var classes = 0

  package init(
    inputs: Int, hidden: [Int], latent: Int, activation: String, likelihood: String, draws: Int = 1
  ) {
    self.inputs = inputs
    self.hidden = hidden
    self.latent = latent
    self.activation = activation
    self.likelihood = likelihood
    self.draws = draws
  }

  package var observed: ReferenceLikelihood {
    guard let likelihood = ReferenceLikelihood.named[likelihood] else {
      preconditionFailure("There is no likelihood '\(likelihood)'")
    }
    return ReferenceLikelihood(likelihood)
  }

  private var heads: [String] { observed.likelihood.heads }

  /// Names and extents `[outputs, inputs]` of every layer.
  package var layers: [(path: String, outputs: Int, inputs: Int)] {
    var result: [(String, Int, Int)] = []
    let likelihood = observed.likelihood
    var width = likelihood.encoderInputs(inputs: inputs) + classes
    for (number, size) in hidden.enumerated() {
      result.append(("encoder.\(number)", size, width))
      width = size
    }
    result += [("encoder.mean", latent, width), ("encoder.log_variance", latent, width)]
    width = latent + classes
    for (number, size) in hidden.reversed().enumerated() {
      result.append(("decoder.\(number)", size, width))
      width = size
    }
    let outputs = likelihood.decoderOutputs(inputs: inputs) / heads.count
    return result + heads.map { ("decoder.\($0)", outputs, width) }
  }

  /// Random parameters.
  package func parameters(seed: UInt64) -> Tensors {
    var random = TestRandom(seed: seed)
    var tensors: Tensors = [:]
    for layer in layers {
      let bound = 1 / Double(layer.inputs).squareRoot()
      tensors["\(layer.path).weight"] = random.uniform(
        layer.outputs * layer.inputs, in: -bound...bound)
      tensors["\(layer.path).bias"] = random.uniform(layer.outputs, in: -0.2...0.2)
    }
    if let free = observed.free(inputs: inputs), let name = free.name {
      tensors[name] = random.uniform(free.count, in: -0.5...0.5)
    }
    return tensors
  }

  // MARK: Scalars

  func activate(_ a: Double) -> Double {
    switch activation {
    case "relu": max(a, 0)
    case "leaky-relu": a > 0 ? a : 0.01 * a
    case "tanh": tanh(a)
    case "sigmoid": 1 / (1 + exp(-a))
    case "elu": a > 0 ? a : exp(a) - 1
    case "softplus": log1p(exp(a))
    case "silu": a / (1 + exp(-a))
    case "gelu": 0.5 * a * erfc(-a / 2.squareRoot())
    default: a
    }
  }

  func derivative(_ a: Double) -> Double {
    let s = 1 / (1 + exp(-a))
    switch activation {
    case "relu": return a > 0 ? 1 : 0
    case "leaky-relu": return a > 0 ? 1 : 0.01
    case "tanh": return 1 - tanh(a) * tanh(a)
    case "sigmoid": return s * (1 - s)
    case "elu": return a > 0 ? 1 : exp(a)
    case "softplus": return s
    case "silu": return s * (1 + a * (1 - s))
    case "gelu":
      return 0.5 * erfc(-a / 2.squareRoot()) + a * exp(-0.5 * a * a) / (2 * Double.pi).squareRoot()
    default: return 1
    }
  }

  // MARK: One example

  private func affine(_ p: Tensors, _ path: String, _ x: [Double]) -> [Double] {
    guard let weight = p["\(path).weight"], let bias = p["\(path).bias"] else { return [] }
    return bias.indices.map { o in
      x.indices.reduce(bias[o]) { $0 + weight[o * x.count + $1] * x[$1] }
    }
  }

  // ∂/∂x, with ∂/∂W and ∂/∂b added.
  private func affineBackward(
    _ p: Tensors, _ path: String, _ x: [Double], _ g: [Double], _ gradient: inout Tensors
  ) -> [Double] {
    guard let weight = p["\(path).weight"] else { return [] }
    var below = [Double](repeating: 0, count: x.count)
    for o in g.indices {
      gradient["\(path).bias"]?[o] += g[o]
      for i in x.indices {
        gradient["\(path).weight"]?[o * x.count + i] += g[o] * x[i]
        below[i] += g[o] * weight[o * x.count + i]
      }
    }
    return below
  }

  // The stack of hidden layers: each layer's input, its a, and the last output.
  private func stack(
    _ p: Tensors, _ path: String, _ x: [Double]
  ) -> (inputs: [[Double]], sums: [[Double]], output: [Double]) {
    var inputs: [[Double]] = []
    var sums: [[Double]] = []
    var h = x
    for number in hidden.indices {
      let a = affine(p, "\(path).\(number)", h)
      inputs.append(h)
      sums.append(a)
      h = a.map(activate)
    }
    return (inputs, sums, h)
  }

  private func stackBackward(
    _ p: Tensors, _ path: String, _ pass: (inputs: [[Double]], sums: [[Double]], output: [Double]),
    _ g: [Double], _ gradient: inout Tensors
  ) -> [Double] {
    var g = g
    for number in hidden.indices.reversed() {
      g = zip(g, pass.sums[number]).map { $0 * derivative($1) }
      g = affineBackward(p, "\(path).\(number)", pass.inputs[number], g, &gradient)
    }
    return g
  }

  /// The posterior's mean and log variance.
  package func encode(
    _ p: Tensors, _ x: [Double], label: Int? = nil
  ) -> (mean: [Double], logVariance: [Double]) {
    encode(p, read: observed.encoderInput(x) + oneHot(label))
  }

  func oneHot(_ label: Int?) -> [Double] { (0..<classes).map { $0 == label ? 1 : 0 } }

  /// The same for what the encoder reads itself.
  func encode(_ p: Tensors, read: [Double]) -> (mean: [Double], logVariance: [Double]) {
    let h = stack(p, "encoder", read).output
    return (affine(p, "encoder.mean", h), affine(p, "encoder.log_variance", h))
  }

  /// The decoder's heads.
  package func decode(_ p: Tensors, _ z: [Double], label: Int? = nil) -> [[Double]] {
    let h = stack(p, "decoder", z + oneHot(label)).output
    return heads.map { affine(p, "decoder.\($0)", h) }
  }

  // MARK: The objective

  /// Sums over examples; `noise` holds `draws` rows an example.
  package func elbo(
    _ p: Tensors, data: [[Double]], noise: [[Double]]
  ) -> (reconstruction: Double, kl: Double) {
    var unused: Tensors = [:]
    return pass(p, data: data, noise: noise, gradient: &unused, wantsGradient: false)
  }

  /// The gradient of −ELBO, summed over examples.
  package func gradient(_ p: Tensors, data: [[Double]], noise: [[Double]]) -> Tensors {
    var gradient = p.mapValues { [Double](repeating: 0, count: $0.count) }
    _ = pass(p, data: data, noise: noise, gradient: &gradient, wantsGradient: true)
    return gradient
  }

  private func pass(
    _ p: Tensors, data: [[Double]], noise: [[Double]], gradient: inout Tensors,
    wantsGradient: Bool
  ) -> (reconstruction: Double, kl: Double) {
    var reconstruction = 0.0
    var kl = 0.0
    let observed = observed
    let free = observed.free(inputs: inputs)
    let freeValues =
      free.map { free in free.name.flatMap { p[$0] } ?? [observed.fixedSpread] } ?? []
    for (number, x) in data.enumerated() {
      let encoder = stack(p, "encoder", observed.encoderInput(x))
      let mean = affine(p, "encoder.mean", encoder.output)
      let logVariance = affine(p, "encoder.log_variance", encoder.output)
      for j in 0..<latent {
        let v = logVariance[j]
        kl += 0.5 * (mean[j] * mean[j] + exp(v) - 1 - v)
      }
      var meanGradient = mean
      var varianceGradient = logVariance.map { 0.5 * (exp($0) - 1) }
      for draw in 0..<draws {
        let e = noise[number * draws + draw]
        let z = (0..<latent).map { mean[$0] + exp(0.5 * logVariance[$0]) * e[$0] }
        let decoder = stack(p, "decoder", z)
        let outputs = heads.map { affine(p, "decoder.\($0)", decoder.output) }
        let scored = observed.logLikelihood(x, outputs, free: freeValues)
        reconstruction += scored.value / Double(draws)
        if !wantsGradient { continue }
        var g = [Double](repeating: 0, count: decoder.output.count)
        if let name = free?.name {
          for j in scored.free.indices { gradient[name]?[j] -= scored.free[j] / Double(draws) }
        }
        for (head, headGradient) in zip(heads, scored.heads) {
          let below = affineBackward(
            p, "decoder.\(head)", decoder.output, headGradient.map { -$0 / Double(draws) },
            &gradient)
          for i in g.indices { g[i] += below[i] }
        }
        g = stackBackward(p, "decoder", decoder, g, &gradient)
        for j in 0..<latent {
          meanGradient[j] += g[j]
          varianceGradient[j] += g[j] * e[j] * 0.5 * exp(0.5 * logVariance[j])
        }
      }
      if !wantsGradient { continue }
      let fromMean = affineBackward(
        p, "encoder.mean", encoder.output, meanGradient, &gradient)
      let fromVariance = affineBackward(
        p, "encoder.log_variance", encoder.output, varianceGradient, &gradient)
      _ = stackBackward(
        p, "encoder", encoder, zip(fromMean, fromVariance).map(+), &gradient)
    }
    return (reconstruction, kl)
  }
}
