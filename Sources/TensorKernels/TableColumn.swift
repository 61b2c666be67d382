internal import CKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// A column of a table, and the distribution of its values.
public struct TableColumn: Sendable, Equatable {
  /// The distribution.
  public enum Kind: Sendable, Equatable {
    /// Normal.
    case gaussian
    /// Of positive numbers, whose logarithm is normal.
    case logNormal
    /// Of 0 and 1.
    case bernoulli
    /// Of counts.
    case poisson
    /// Of class numbers from 0 on.
    case categorical(classes: Int)
  }

  /// The distribution.
  public var kind: Kind
  /// What is subtracted from a number, or the logarithm of a log-normal one, before the model sees it.
  public var center: Float
  /// What it is then divided by; densities are of the numbers as they were.
  public var scale: Float

  /// A column whose numbers are seen as they are, unless there are center and scale.
  public init(_ kind: Kind, center: Float = 0, scale: Float = 1) {
    self.kind = kind
    self.center = center
    self.scale = scale
  }

  /// Whether numbers are centered and scaled.
  public var isScaled: Bool { kind == .gaussian || kind == .logNormal }

  /// Outputs of the decoder: mean and log variance, a logit, a log rate, or a logit for each class.
  public var outputCount: Int {
    switch kind {
    case .gaussian, .logNormal: 2
    case .bernoulli, .poisson: 1
    case .categorical(let classes): classes
    }
  }

  /// Numbers that the encoder reads, besides whether there is a value.
  public var inputCount: Int {
    if case .categorical(let classes) = kind { return classes }
    return 1
  }

  var kernel: vd_kernel_column {
    let kernelKind: vd_kernel_column_kind =
      switch kind {
      case .gaussian: VD_COLUMN_GAUSSIAN
      case .logNormal: VD_COLUMN_LOG_NORMAL
      case .bernoulli: VD_COLUMN_BERNOULLI
      case .poisson: VD_COLUMN_POISSON
      case .categorical: VD_COLUMN_CATEGORICAL
      }
    return vd_kernel_column(
      kind: kernelKind, outputs: outputCount, center: center, inverse_scale: 1 / scale,
      log_scale: log(scale))
  }
}

/// What an encoder of a table reads: standardized numbers, truth values, log(1 + count), or 1 at the
/// class; behind them, for each column, 1 if there is a value.
///
/// A missing value is 0 throughout.
///
/// - Shape: `source` is `[rows, columns]`; `destination` is `[rows, Σ inputs of a column + columns]`.
public func tableInputs(
  _ source: MatrixView, _ columns: [TableColumn], into destination: MatrixView
) {
  precondition(
    source.columns == columns.count && source.rows == destination.rows
      && destination.columns == columns.reduce(columns.count) { $0 + $1.inputCount },
    "Cannot write \(columns.count) columns of \(source.shape) into \(destination.shape)")
  vd_kernel_table_inputs(
    source.rows, source.columns, columns.map(\.kernel), source.denseBase, destination.denseBase)
}
