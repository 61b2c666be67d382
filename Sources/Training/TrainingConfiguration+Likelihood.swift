internal import DataLoading
public import TensorKernels
internal import VAEObjective

/// p(x|z) by its name on the command line.
public enum LikelihoodKind: String, CaseIterable, Sendable, Codable {
  case bernoulli
  case continuousBernoulli = "continuous-bernoulli"
  case gaussian
  case laplace
  case discretizedLogistic = "discretized-logistic"
  case poisson
  case negativeBinomial = "negative-binomial"
  case zeroInflatedNegativeBinomial = "zero-inflated-negative-binomial"
  case categorical
  case table

  /// Whether it has a location and a scale.
  var hasScale: Bool { [.gaussian, .laplace, .discretizedLogistic].contains(self) }

  /// Whether it is of counts.
  var isOfCounts: Bool {
    [.poisson, .negativeBinomial, .zeroInflatedNegativeBinomial].contains(self)
  }
}

/// What the location of p(x|z) passes through.
public enum ObservationMean: String, CaseIterable, Sendable, Codable {
  /// Any real location.
  case linear
  /// A location in (0, 1).
  case sigmoid
}

/// Where the scale of p(x|z) comes from.
public enum ObservationScale: String, CaseIterable, Sendable, Codable {
  /// The decoder gives one for each dimension of each example.
  case decoder
  /// One for each dimension, learned.
  case perDimension = "per-dimension"
  /// One for all, learned.
  case shared
  /// One for all, as it is given.
  case fixed
}

/// What the means of counts are relative to.
public enum LibrarySize: String, CaseIterable, Sendable, Codable {
  /// To nothing: the decoder gives log means.
  case none
  /// To the example's total: the decoder gives shares of it, through a softmax.
  case observed
}

extension TrainingConfiguration {
  /// What values must be, and which setting says so.
  var valueNeed: (need: ValueNeed, reason: String) {
    let reason = "--likelihood \(likelihood.rawValue)"
    switch likelihood {
    case .discretizedLogistic: return (.bytes, reason)
    case .poisson, .negativeBinomial, .zeroInflatedNegativeBinomial: return (.counts, reason)
    case .categorical: return (.classes(categories ?? 2), reason)
    case .bernoulli, .continuousBernoulli: return (.unitInterval, reason)
    // Each column is checked for itself.
    case .table: return (.anything, reason)
    case .gaussian, .laplace:
      if binarize != .none { return (.unitInterval, "--binarize \(binarize.rawValue)") }
      return observationMean == .sigmoid
        ? (.unitInterval, "--observation-mean \(observationMean.rawValue)") : (.anything, reason)
    }
  }

  /// Bits per dimension of a bound in nats, where data are 8-bit numbers; nil for densities.
  func bitsPerDimension(_ nats: Double, inputs: Int) -> Double? {
    likelihood == .discretizedLogistic ? -nats / (Double(inputs) * 0.6931471805599453) : nil
  }

  /// The columns of a table; none for other likelihoods.
  var tableColumns: [(column: TableColumn, isResolved: Bool)] {
    guard likelihood == .table, let columns else { return [] }
    return (try? TableDescription(columns))?.columns ?? []
  }

  /// The distributions of a table's columns; none for other likelihoods.
  public var tableKinds: [TableColumn.Kind] { tableColumns.map(\.column.kind) }

  /// p(x|z) with everything that is set for it.
  var likelihoodOfModel: Likelihood {
    let family: LikelihoodFamily =
      switch likelihood {
      case .bernoulli: .bernoulli
      case .continuousBernoulli: .continuousBernoulli
      case .gaussian: .gaussian
      case .laplace: .laplace
      case .discretizedLogistic: .discretizedLogistic
      case .poisson: .poisson
      case .negativeBinomial: .negativeBinomial
      case .zeroInflatedNegativeBinomial: .zeroInflatedNegativeBinomial
      case .categorical: .categorical(classes: categories ?? 2)
      case .table: .table(tableColumns.map(\.column))
      }
    var result = Likelihood(family)
    result.sigmoidLocation = observationMean == .sigmoid
    result.spread =
      switch observationScale {
      case .decoder: .decoder
      case .perDimension: .perDimension
      case .shared: .shared
      case .fixed: .fixed
      }
    result.spreadValue = Float(observationScaleValue)
    result.spreadFloor = Float(observationScaleFloor)
    result.usesLibrarySize = librarySize == .observed
    return result
  }
}
