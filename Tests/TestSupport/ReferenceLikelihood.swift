import Foundation
internal import TensorKernels
package import VAEObjective

/// p(x|z) once more, in `Double`, by its textbook formula; derivatives by differences.
package struct ReferenceLikelihood {
  package let likelihood: Likelihood

  package init(_ likelihood: Likelihood) {
    self.likelihood = likelihood
  }

  /// Every kind of likelihood by a name, for tables of tests.
  package static let named: [String: Likelihood] = {
    func with(
      _ family: LikelihoodFamily, _ change: (inout Likelihood) -> Void = { _ in }
    )
      -> Likelihood
    {
      var likelihood = Likelihood(family)
      change(&likelihood)
      return likelihood
    }
    return [
      "bernoulli": .bernoulli,
      "continuous-bernoulli": with(.continuousBernoulli),
      "gaussian": .gaussian(sigmoidMean: false),
      "gaussian-sigmoid": .gaussian(sigmoidMean: true),
      "gaussian-floor": with(.gaussian) { $0.spreadFloor = 0.3 },
      "gaussian-per-dimension": with(.gaussian) {
        ($0.spread, $0.spreadValue, $0.spreadFloor) = (.perDimension, 0.5, 0.1)
      },
      "gaussian-shared": with(.gaussian) { ($0.spread, $0.spreadValue) = (.shared, 0.7) },
      "gaussian-fixed": with(.gaussian) { ($0.spread, $0.spreadValue) = (.fixed, 0.4) },
      "laplace": with(.laplace),
      "laplace-shared": with(.laplace) {
        ($0.spread, $0.spreadFloor, $0.sigmoidLocation) = (.shared, 0.2, true)
      },
      "discretized-logistic": with(.discretizedLogistic) { $0.spreadFloor = 0.01 },
      "discretized-logistic-per-dimension": with(.discretizedLogistic) {
        ($0.spread, $0.sigmoidLocation) = (.perDimension, true)
      },
      "poisson": with(.poisson),
      "poisson-library": with(.poisson) { $0.usesLibrarySize = true },
      "negative-binomial": with(.negativeBinomial),
      "negative-binomial-library": with(.negativeBinomial) { $0.usesLibrarySize = true },
      "zero-inflated": with(.zeroInflatedNegativeBinomial),
      "zero-inflated-library": with(.zeroInflatedNegativeBinomial) { $0.usesLibrarySize = true },
      "categorical": with(.categorical(classes: 4)),
    ]
  }()

  private static func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

  /// log p of one value; `operands` are its decoder outputs, then its free parameter.
  package func term(_ x: Double, _ operands: [Double]) -> Double {
    func location() -> Double {
      likelihood.sigmoidLocation ? Self.sigmoid(operands[0]) : operands[0]
    }
    let floor = likelihood.spread == .fixed ? 0 : Double(likelihood.spreadFloor)
    func scale() -> Double { exp(operands[1]) + floor }
    func negativeBinomial(_ logTheta: Double) -> Double {
      let (mean, theta) = (exp(operands[0]), exp(logTheta))
      return lgamma(x + theta) - lgamma(theta) - lgamma(x + 1)
        + theta * log(theta / (theta + mean)) + x * log(mean / (theta + mean))
    }
    switch likelihood.family {
    case .bernoulli:
      return x * operands[0] - max(operands[0], 0) - log1p(exp(-abs(operands[0])))
    case .continuousBernoulli:
      // ∫₀¹ eˡˣ dx = (eˡ − 1) / l
      let l = operands[0]
      return x * l - (l == 0 ? 0 : log(expm1(l) / l))
    case .gaussian:
      let variance = exp(operands[1]) + floor * floor
      let d = x - location()
      return -0.5 * (log(2 * Double.pi * variance) + d * d / variance)
    case .laplace:
      return -log(2 * scale()) - abs(x - location()) / scale()
    case .discretizedLogistic:
      let half = 0.5 / 255
      let low = x < half ? -Double.infinity : (x - half - location()) / scale()
      let high = x > 1 - half ? Double.infinity : (x + half - location()) / scale()
      // On the side of the smaller tail, so that nothing cancels.
      return low > 0
        ? log(Self.sigmoid(-low) - Self.sigmoid(-high))
        : log(Self.sigmoid(high) - Self.sigmoid(low))
    case .poisson:
      return x * operands[0] - exp(operands[0]) - lgamma(x + 1)
    case .negativeBinomial:
      return negativeBinomial(operands[1])
    case .zeroInflatedNegativeBinomial:
      let inflation = Self.sigmoid(operands[1])
      let count = exp(negativeBinomial(operands[2]))
      return log((x == 0 ? inflation : 0) + (1 - inflation) * count)
    case .table:
      preconditionFailure("Tables have a reference of their own")
    case .categorical:
      return operands[Int(x)] - log(operands.reduce(0) { $0 + exp($1) })
    }
  }

  /// The derivatives of ``term(_:_:)``: differences of fourth order, whose error is about 10⁻¹².
  package func derivatives(_ x: Double, _ operands: [Double]) -> [Double] {
    let h = 1e-3
    return operands.indices.map { index in
      if likelihood.family == .laplace && index == 0 {
        // A corner at the location.
        let m = likelihood.sigmoidLocation ? Self.sigmoid(operands[0]) : operands[0]
        let floor = likelihood.spread == .fixed ? 0 : Double(likelihood.spreadFloor)
        let sign: Double = x > m ? 1 : x < m ? -1 : 0
        return sign / (exp(operands[1]) + floor) * (likelihood.sigmoidLocation ? m * (1 - m) : 1)
      }
      func at(_ steps: Double) -> Double {
        var moved = operands
        moved[index] += steps * h
        return term(x, moved)
      }
      return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)
    }
  }

  /// log p of a row and its gradient with respect to each head's output and each free parameter.
  package func logLikelihood(
    _ x: [Double], _ heads: [[Double]], free: [Double]
  ) -> (value: Double, heads: [[Double]], free: [Double]) {
    var heads = heads
    var value = 0.0
    var gradients = heads.map { [Double](repeating: 0, count: $0.count) }
    var freeGradient = [Double](repeating: 0, count: free.count)
    var shares: [Double] = []
    if likelihood.usesLibrarySize {
      let total = heads[0].reduce(0) { $0 + exp($1) }
      shares = heads[0].map { exp($0) / total }
      let size = x.reduce(0, +)
      heads[0] = shares.map { log($0 * size) }
    }
    for j in x.indices {
      if case .categorical(let classes) = likelihood.family {
        let range = j * classes..<(j + 1) * classes
        value += term(x[j], Array(heads[0][range]))
        gradients[0].replaceSubrange(range, with: derivatives(x[j], Array(heads[0][range])))
        continue
      }
      let own = free.isEmpty ? [] : [free.count == 1 ? free[0] : free[j]]
      let operands = heads.map { $0[j] } + own
      value += term(x[j], operands)
      let slopes = derivatives(x[j], operands)
      for head in heads.indices { gradients[head][j] = slopes[head] }
      if !free.isEmpty { freeGradient[free.count == 1 ? 0 : j] += slopes[heads.count] }
    }
    if likelihood.usesLibrarySize {
      let total = gradients[0].reduce(0, +)
      for j in x.indices { gradients[0][j] -= shares[j] * total }
    }
    return (value, gradients, freeGradient)
  }

  /// The free parameters' name and number for data of this width; those of a fixed spread have no
  /// name.
  package func free(inputs: Int) -> (name: String?, count: Int)? {
    switch likelihood.family {
    case .negativeBinomial, .zeroInflatedNegativeBinomial:
      return ("decoder.log_dispersion", inputs)
    case .gaussian, .laplace, .discretizedLogistic:
      let name = likelihood.family == .gaussian ? "log_variance" : "log_scale"
      switch likelihood.spread {
      case .decoder: return nil
      case .fixed: return (nil, 1)
      case .shared: return ("decoder.\(name)", 1)
      case .perDimension: return ("decoder.\(name)", inputs)
      }
    default: return nil
    }
  }

  /// What a fixed spread is.
  package var fixedSpread: Double {
    log(Double(likelihood.spreadValue)) * (likelihood.family == .gaussian ? 2 : 1)
  }

  /// A value that the likelihood can be asked about.
  package func sample(_ random: inout TestRandom) -> Double {
    let u = random.uniform(1, in: 0...1)[0]
    switch likelihood.family {
    case .discretizedLogistic: return (u * 255).rounded() / 255
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial:
      return u < 0.4 ? 0 : (20 * (u - 0.4) * (u - 0.4) * 2).rounded()
    case .categorical(let classes): return Double(min(Int(u * Double(classes)), classes - 1))
    default: return u
    }
  }

  /// What the encoder reads.
  package func encoderInput(_ x: [Double]) -> [Double] {
    switch likelihood.family {
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial: return x.map { log1p($0) }
    case .categorical(let classes):
      return x.flatMap { value in (0..<classes).map { Double($0) == value ? 1 : 0 } }
    default: return x
    }
  }
}
