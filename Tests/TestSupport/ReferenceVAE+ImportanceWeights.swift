import Foundation

extension ReferenceVAE {
  /// log w_k = log p(x|z_k) + log p(z_k) − log q(z_k|x) of one example, with z_k made by `p` and
  /// log q under `held`.
  package func logWeights(
    _ p: Tensors, held: Tensors, _ x: [Double], _ noise: [[Double]]
  ) -> [Double] {
    let (mean, logVariance) = encode(p, x)
    let (heldMean, heldLogVariance) = encode(held, x)
    let free = observed.free(inputs: inputs)
    let freeValues = free.map { $0.name.flatMap { p[$0] } ?? [observed.fixedSpread] } ?? []
    return noise.map { e in
      let z = (0..<latent).map { mean[$0] + exp(0.5 * logVariance[$0]) * e[$0] }
      var result = observed.logLikelihood(x, decode(p, z), free: freeValues).value
      for j in 0..<latent {
        let d = z[j] - heldMean[j]
        result +=
          -0.5 * z[j] * z[j]
          + 0.5 * (heldLogVariance[j] + d * d * exp(-heldLogVariance[j]))
      }
      return result
    }
  }

  /// log (1/K) Σ w_k.
  package static func logMean(_ logWeights: [Double]) -> Double {
    let largest = logWeights.max() ?? 0
    return largest + log(logWeights.reduce(0) { $0 + exp($1 - largest) })
      - log(Double(logWeights.count))
  }

  /// The derivative of −`value` with respect to every parameter, by differences.
  package func differences(_ p: Tensors, _ value: (Tensors) -> Double) -> Tensors {
    let h = 1e-5
    var result: Tensors = [:]
    for (name, values) in p {
      result[name] = values.indices.map { index in
        var (above, below) = (p, p)
        above[name]?[index] += h
        below[name]?[index] -= h
        return (value(below) - value(above)) / (2 * h)
      }
    }
    return result
  }
}
