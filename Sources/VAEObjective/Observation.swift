internal import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// What is shown of p(x|z).
public enum Observation: Sendable, Equatable {
  /// E[x|z] of each value; where values are classes, the most probable one.
  case mean
  /// x ~ p(x|z).
  case draw
}

/// Means of p(x|z) and draws from it, from the decoder's outputs.
///
/// In double precision, by the textbook formulas: nothing here is done in a training step.
struct ObservationModel {
  private let likelihood: Likelihood
  private let width: Int

  init(_ likelihood: Likelihood, width: Int) {
    self.likelihood = likelihood
    self.width = width
  }

  /// Uniform numbers that a draw of a value takes.
  static let uniformsPerValue = 3

  // A value's decoder outputs, its shared parameter, and what a draw takes.
  private struct Operands {
    var a: Double
    var b: Double
    var c: Double
    var uniforms: (first: Double, second: Double)?
  }

  /// Fills a row with means, or draws where there are uniform numbers.
  ///
  /// - Parameters:
  ///   - values: `[width]`.
  ///   - outputs: The decoder's, `[heads * width]`.
  ///   - free: What all rows share, `[width]`: log spread, or log θ.
  ///   - total: What means of counts add up to, where they are shares of a total.
  ///   - uniforms: `[uniformsPerValue, width]` on [0, 1), multiples of 2⁻²⁴; nil for means.
  func fill(
    _ values: UnsafeMutableBufferPointer<Float>, outputs: UnsafeBufferPointer<Float>,
    free: UnsafeBufferPointer<Float>?, total: Double, uniforms: MatrixView?
  ) {
    if case .table(let columns) = likelihood.family {
      return fillTable(values, columns, outputs: outputs, uniforms: uniforms)
    }
    if case .categorical(let classes) = likelihood.family {
      for index in 0..<width {
        values[index] = Float(
          Self.choose(
            UnsafeBufferPointer(rebasing: outputs[index * classes..<(index + 1) * classes]),
            Self.uniform(uniforms, index)?.first))
      }
      return
    }
    let shift = likelihood.usesLibrarySize ? log(total) - logSum(outputs[..<width]) : 0
    let hasOwnSpread = free == nil
    for index in 0..<width {
      let second = hasOwnSpread && outputs.count > width ? outputs[width + index] : free?[index]
      values[index] = Float(
        value(
          Operands(
            a: Double(outputs[index]) + shift, b: Double(second ?? 0),
            c: Double(outputs[outputs.count - width + index]),
            uniforms: Self.uniform(uniforms, index))))
    }
  }

  // log Σ exp.
  private func logSum(_ values: Slice<UnsafeBufferPointer<Float>>) -> Double {
    let largest = Double(values.max() ?? 0)
    return largest + log(values.reduce(0) { $0 + exp(Double($1) - largest) })
  }

  // Two numbers on (0, 1), the first with 48 bits; nil for none.
  private static func uniform(
    _ uniforms: MatrixView?, _ index: Int
  ) -> (first: Double, second: Double)? {
    guard let uniforms else { return nil }
    let unit = 1.0 / Double(1 << 24)
    let low = (Double(uniforms.row(1)[index]) + 0.5 * unit) * unit
    return (Double(uniforms.row(0)[index]) + low, Double(uniforms.row(2)[index]) + 0.5 * unit)
  }

  private func value(_ o: Operands) -> Double {
    switch likelihood.family {
    case .bernoulli: Self.bernoulli(o.a, o.uniforms?.first)
    case .continuousBernoulli: Self.continuousBernoulli(o.a, o.uniforms?.first)
    case .gaussian:
      location(o.a)
        + (o.uniforms.map { Quantile.normal($0.first) * Self.deviation(o.b, floor) } ?? 0)
    case .laplace:
      location(o.a) + (o.uniforms.map { Self.laplace($0.first) * (exp(o.b) + floor) } ?? 0)
    case .discretizedLogistic:
      Self.discretizedLogistic(location(o.a), exp(o.b) + floor, o.uniforms?.first)
    case .poisson: Self.count(exp(o.a), .infinity, o.uniforms?.first)
    case .negativeBinomial: Self.count(exp(o.a), Self.dispersion(o.b), o.uniforms?.first)
    case .zeroInflatedNegativeBinomial: zeroInflated(o)
    case .categorical, .table: preconditionFailure("These have rows of their own")
    }
  }

  private var floor: Double { likelihood.spread == .fixed ? 0 : Double(likelihood.spreadFloor) }

  private func location(_ a: Double) -> Double {
    likelihood.sigmoidLocation ? Self.sigmoid(a) : a
  }

  private func zeroInflated(_ o: Operands) -> Double {
    let inflation = Self.sigmoid(o.c)
    guard let uniforms = o.uniforms else { return (1 - inflation) * exp(o.a) }
    return uniforms.second < inflation
      ? 0 : Self.count(exp(o.a), Self.dispersion(o.b), uniforms.first)
  }

  // MARK: One value; a nil uniform number asks for the mean

  private static func sigmoid(_ a: Double) -> Double { 1 / (1 + exp(-a)) }

  private static func deviation(_ logVariance: Double, _ floor: Double) -> Double {
    (exp(logVariance) + floor * floor).squareRoot()
  }

  // As scores bound it.
  private static func dispersion(_ logDispersion: Double) -> Double {
    exp(min(max(logDispersion, -15), 15))
  }

  private static func bernoulli(_ logit: Double, _ uniform: Double?) -> Double {
    uniform.map { $0 < sigmoid(logit) ? 1 : 0 } ?? sigmoid(logit)
  }

  // Loaiza-Ganem & Cunningham 2019, equations 8 and 9, by the logit.
  private static func continuousBernoulli(_ logit: Double, _ uniform: Double?) -> Double {
    guard let uniform else {
      return abs(logit) < 0.01 ? 0.5 + logit / 12 : 1 / -expm1(-logit) - 1 / logit
    }
    if abs(logit) < 1e-6 { return uniform }
    // The distribution of 1 − x has the opposite logit.
    return logit < 0
      ? log1p(uniform * expm1(logit)) / logit : 1 + log1p((1 - uniform) * expm1(-logit)) / logit
  }

  private static func laplace(_ uniform: Double) -> Double {
    uniform < 0.5 ? log(2 * uniform) : -log(2 * (1 - uniform))
  }

  private static func discretizedLogistic(
    _ location: Double, _ scale: Double, _ uniform: Double?
  ) -> Double {
    if let uniform {
      let value = location + scale * (log(uniform) - log1p(-uniform))
      return min(max((255 * value).rounded(), 0), 255) / 255
    }
    // E[k] = Σ P(X > k).
    return (0..<255).reduce(0.0) {
      $0 + sigmoid((location - (Double($1) + 0.5) / 255) / scale)
    } / 255
  }

  private static func count(_ mean: Double, _ dispersion: Double, _ uniform: Double?) -> Double {
    uniform.map { Quantile.count($0, mean: mean, dispersion: dispersion) } ?? mean
  }

  // The most probable class, or a drawn one.
  private static func choose(_ logits: UnsafeBufferPointer<Float>, _ uniform: Double?) -> Int {
    let largest = Double(logits.max() ?? 0)
    guard let uniform else { return logits.firstIndex { Double($0) == largest } ?? 0 }
    let weights = logits.map { exp(Double($0) - largest) }
    var rest = uniform * weights.reduce(0, +)
    for (index, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return index }
    }
    return logits.count - 1
  }

  private func fillTable(
    _ values: UnsafeMutableBufferPointer<Float>, _ columns: [TableColumn],
    outputs: UnsafeBufferPointer<Float>, uniforms: MatrixView?
  ) {
    var first = 0
    for (index, column) in columns.enumerated() {
      let own = UnsafeBufferPointer(rebasing: outputs[first..<first + column.outputCount])
      first += column.outputCount
      let uniform = Self.uniform(uniforms, index)?.first
      let (center, scale) = (Double(column.center), Double(column.scale))
      let value =
        switch column.kind {
        case .gaussian:
          center + scale
            * (Double(own[0])
              + (uniform.map { Quantile.normal($0) * Self.deviation(Double(own[1]), floor) } ?? 0))
        case .logNormal:
          exp(
            center + scale
              * (Double(own[0])
                + Self.deviation(Double(own[1]), floor)
                * (uniform.map { Quantile.normal($0) }
                  // Half the variance makes the median the mean.
                  ?? 0.5 * scale * Self.deviation(Double(own[1]), floor)))
          )
        case .bernoulli: Self.bernoulli(Double(own[0]), uniform)
        case .poisson: Self.count(exp(Double(own[0])), .infinity, uniform)
        case .categorical: Double(Self.choose(own, uniform))
        }
      values[index] = Float(value)
    }
  }
}
