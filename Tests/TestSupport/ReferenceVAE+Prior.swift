import Foundation
package import VAEObjective

extension ReferenceVAE {
  /// Random parameters, those of a prior included.
  package func parameters(seed: UInt64, prior: Prior) -> Tensors {
    var tensors = parameters(seed: seed)
    var random = TestRandom(seed: seed &+ 1)
    let count = prior.components
    switch prior {
    case .standardNormal: break
    case .mixture:
      tensors["prior.mean"] = random.uniform(count * latent, in: -1.5...1.5)
      tensors["prior.log_variance"] = random.uniform(count * latent, in: -1...1)
      tensors["prior.logits"] = random.uniform(count, in: -1...1)
    case .vamp:
      let width = observed.likelihood.encoderInputs(inputs: inputs) + classes
      tensors["prior.pseudo_inputs"] = random.uniform(count * width, in: 0...1)
    }
    return tensors
  }

  /// log p(z), from a prior's own parameters.
  package func logPrior(_ p: Tensors, _ prior: Prior, _ z: [Double]) -> Double {
    let gaussians: [(logWeight: Double, mean: [Double], logVariance: [Double])]
    func row(_ name: String, _ index: Int, _ width: Int) -> [Double] {
      Array((p[name] ?? [])[index * width..<(index + 1) * width])
    }
    switch prior {
    case .standardNormal:
      gaussians = [(0, z.map { _ in 0 }, z.map { _ in 0 })]
    case .mixture(let count):
      let logits = p["prior.logits"] ?? []
      let total = log(logits.reduce(0) { $0 + exp($1) })
      gaussians = (0..<count).map {
        (logits[$0] - total, row("prior.mean", $0, latent), row("prior.log_variance", $0, latent))
      }
    case .vamp(let count):
      let width = observed.likelihood.encoderInputs(inputs: inputs) + classes
      gaussians = (0..<count).map {
        let q = encode(p, read: row("prior.pseudo_inputs", $0, width))
        return (-log(Double(count)), q.mean, q.logVariance)
      }
    }
    let terms = gaussians.map { gaussian in
      z.indices.reduce(gaussian.logWeight) { sum, j in
        let d = z[j] - gaussian.mean[j]
        let v = gaussian.logVariance[j]
        return sum - 0.5 * (log(2 * Double.pi) + v + d * d * exp(-v))
      }
    }
    let largest = terms.max() ?? 0
    return largest + log(terms.reduce(0) { $0 + exp($1 - largest) })
  }

  /// What a model with a prior says of one example's draws: log p(x|z), log p(z), and log q(z|x) under
  /// `held`, with z made by `p`.
  package func terms(
    _ p: Tensors, held: Tensors, _ prior: Prior, _ x: [Double], label: Int? = nil,
    _ noise: [[Double]]
  ) -> (logLikelihoods: [Double], logPriors: [Double], logPosteriors: [Double]) {
    let (mean, logVariance) = encode(p, x, label: label)
    let q = encode(held, x, label: label)
    let draws = noise.map { e in
      (0..<latent).map { mean[$0] + exp(0.5 * logVariance[$0]) * e[$0] }
    }
    return (
      draws.map { observed.logLikelihood(x, decode(p, $0, label: label), free: []).value },
      draws.map { logPrior(p, prior, $0) },
      draws.map { z in
        z.indices.reduce(0) { sum, j in
          let d = z[j] - q.mean[j]
          let v = q.logVariance[j]
          return sum - 0.5 * (log(2 * Double.pi) + v + d * d * exp(-v))
        }
      }
    )
  }

  /// E_q[log q(z|x)], exactly.
  package func negativeEntropy(_ p: Tensors, _ x: [Double], label: Int? = nil) -> Double {
    encode(p, x, label: label).logVariance
      .reduce(0) { $0 - 0.5 * ($1 + 1 + log(2 * Double.pi)) }
  }
}
