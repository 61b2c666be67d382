internal import CKernels

/// A family of distributions of one value of the data, by what the decoder gives for it.
public enum LikelihoodFamily: Sendable, Equatable {
  /// On [0, 1]; logits.
  case bernoulli
  /// On [0, 1], a density; logits (Loaiza-Ganem & Cunningham 2019).
  case continuousBernoulli
  /// Means and log variances.
  case gaussian
  /// Medians and log scales.
  case laplace
  /// Of values k / 255; locations and log scales (Salimans, Karpathy, Chen & Kingma 2017).
  case discretizedLogistic
  /// Of counts; log rates.
  case poisson
  /// Of counts; log means, with a log dispersion log θ for each dimension.
  case negativeBinomial
  /// Of counts; log means and logits of the inflation, with log θ for each dimension.
  case zeroInflatedNegativeBinomial
  /// Of class numbers; as many logits as there are classes.
  case categorical(classes: Int)
  /// Each column of a table by its own; NaN is passed over.
  case table([TableColumn])

  /// How many of the decoder's outputs belong to a row of `width` values, where spreads are the
  /// decoder's too.
  public func outputs(width: Int) -> Int {
    if case .table(let columns) = self { return columns.reduce(0) { $0 + $1.outputCount } }
    return width * outputsPerValue
  }

  private var outputsPerValue: Int {
    switch self {
    case .table: 0
    case .bernoulli, .continuousBernoulli, .poisson, .negativeBinomial: 1
    case .gaussian, .laplace, .discretizedLogistic, .zeroInflatedNegativeBinomial: 2
    case .categorical(let classes): classes
    }
  }
}

/// log p(x|z) of some rows, and what it takes besides data and decoder outputs.
public struct LikelihoodScoring {
  /// The family.
  public var family: LikelihoodFamily
  /// Draws per example.
  public var draws: Int
  /// What gradients are multiplied by; nil for no gradient.
  public var gradientScale: Float?
  /// What the gradient of each row is multiplied by besides, `[examples * draws]`; nil for 1.
  public var rowScales: UnsafeBufferPointer<Float>?
  /// Parameters that all rows share, `[width]`, and what their gradient is added to: the spread (log
  /// variance or log scale) where it is not the decoder's, or log θ.
  public var free: (values: FloatBuffer, gradient: FloatBuffer)?
  /// What is added to a scale; its square, to a variance.
  public var floor: Float = 0
  /// Whether locations pass through a sigmoid first.
  public var sigmoidLocation = false
  /// Room for `[width]` where means of counts are the row's total times a softmax; nil elsewhere.
  public var shares: FloatBuffer?

  /// The family alone.
  public init(_ family: LikelihoodFamily, draws: Int, gradientScale: Float? = nil) {
    self.family = family
    self.draws = draws
    self.gradientScale = gradientScale
  }

  /// log p of each row, all constants kept.
  ///
  /// - Shape: `data` is `[examples, width]`; `outputs` is `[examples * draws, outputs per value *
  ///   width]`, the draws of an example together; heads lie one after the other, classes of a value
  ///   together. `logLikelihood` is `[examples * draws]`.
  /// - Units: nats, summed over a row.
  /// - Parameters:
  ///   - data: The examples.
  ///   - outputs: The decoder's; overwritten by the gradient of −log p times ``gradientScale``.
  ///   - logLikelihood: Receives log p of each row.
  public func run(
    _ data: MatrixView, outputs: MatrixView,
    into logLikelihood: UnsafeMutableBufferPointer<Double>
  ) {
    let width = data.columns
    precondition(
      outputs.rows == data.rows * draws && logLikelihood.count >= outputs.rows
        && outputs.columns == outputCount(width)
        && (free.map { $0.values.count >= width && $0.gradient.count >= width } ?? true)
        && (rowScales.map { $0.count >= outputs.rows } ?? true)
        && (shares.map { $0.count >= width } ?? true),
      "Cannot score data \(data.shape) under outputs \(outputs.shape) with \(draws) draws")
    guard let figures = logLikelihood.baseAddress else { return }
    var scoring = vd_kernel_scoring()
    scoring.rows = outputs.rows
    scoring.columns = width
    scoring.draws = draws
    scoring.data = UnsafePointer(data.denseBase)
    scoring.outputs = outputs.denseBase
    scoring.wants_gradient = gradientScale == nil ? 0 : 1
    scoring.scale = gradientScale ?? 0
    scoring.row_scales = rowScales?.baseAddress
    scoring.free = free.map { UnsafePointer($0.values.base) }
    scoring.free_gradient = free?.gradient.base
    scoring.floor = floor
    scoring.sigmoid_location = sigmoidLocation ? 1 : 0
    scoring.shares = shares?.base
    scoring.log_likelihood = figures
    switch family {
    case .bernoulli: vd_kernel_bernoulli(&scoring)
    case .continuousBernoulli: vd_kernel_continuous_bernoulli(&scoring)
    case .gaussian: vd_kernel_gaussian(&scoring)
    case .laplace: vd_kernel_laplace(&scoring)
    case .discretizedLogistic: vd_kernel_discretized_logistic(&scoring)
    case .poisson: vd_kernel_poisson(&scoring)
    case .negativeBinomial: vd_kernel_negative_binomial(&scoring)
    case .zeroInflatedNegativeBinomial: vd_kernel_zero_inflated_negative_binomial(&scoring)
    case .categorical(let classes): vd_kernel_categorical(&scoring, classes)
    case .table(let columns):
      vd_kernel_table(&scoring, columns.map(\.kernel), outputs.columns)
    }
  }

  private func outputCount(_ width: Int) -> Int {
    switch family {
    case .gaussian, .laplace, .discretizedLogistic: width * (free == nil ? 2 : 1)
    case .negativeBinomial, .zeroInflatedNegativeBinomial:
      free == nil ? 0 : family.outputs(width: width)  // log θ is never the decoder's
    case .table(let columns): columns.count == width ? family.outputs(width: width) : 0
    default: family.outputs(width: width)
    }
  }
}

/// destination = log(1 + source): what an encoder of counts reads.
///
/// - Shape: Both are alike.
public func log1p(of source: MatrixView, into destination: MatrixView) {
  precondition(
    source.rows == destination.rows && source.columns == destination.columns,
    "Cannot write \(source.shape) into \(destination.shape)")
  for row in 0..<source.rows {
    guard let from = source.row(row).baseAddress, let to = destination.row(row).baseAddress
    else { continue }
    vd_kernel_log1p(source.columns, from, to)
  }
}

/// 1 at each value's class and 0 elsewhere: what an encoder of class numbers reads.
///
/// - Shape: `source` is `[rows, width]`; `destination` is `[rows, width * classes]`.
public func oneHot(_ source: MatrixView, classes: Int, into destination: MatrixView) {
  precondition(
    source.rows == destination.rows && source.columns * classes == destination.columns,
    "Cannot write \(classes) classes of \(source.shape) into \(destination.shape)")
  for index in 0..<source.rows {
    let row = destination.row(index)
    row.update(repeating: 0)
    for (position, value) in source.row(index).enumerated() {
      row[position * classes + min(max(Int(value), 0), classes - 1)] = 1
    }
  }
}
