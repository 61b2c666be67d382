public import DataLoading

/// Which likelihood fits data, and how to start a run on them.
public struct DataAdvice: Sendable, Equatable {
  /// The likelihood.
  public let likelihood: LikelihoodKind
  /// Why, in words.
  public let reason: String
  /// What to give to `train` besides the data.
  public let flags: [String]

  /// Looks at the columns of an array.
  ///
  /// - Parameters:
  ///   - array: The examples.
  ///   - columns: What each of their values is like.
  ///   - hasMissing: Whether some are NaN.
  ///   - isGrey: Whether small 8-bit numbers are known to be shades, too.
  public init(
    _ array: NumericArray, _ columns: [TableScan.Column], hasMissing: Bool, isGrey: Bool
  ) {
    let axes = array.shape.dropFirst().map { $0 }
    let isImage = axes.count >= 2 && axes[0] >= 8 && axes[1] >= 8
    let network = isImage ? ["--network", "conv"] : []
    func advise(
      _ likelihood: LikelihoodKind, _ reason: String, _ more: [String] = [],
      network own: Bool = true
    ) -> (LikelihoodKind, String, [String]) {
      (likelihood, reason, ["--likelihood", likelihood.rawValue] + (own ? network : []) + more)
    }
    let minimum = columns.map(\.minimum).min() ?? 0
    let maximum = columns.map(\.maximum).max() ?? 0
    let isWhole = columns.allSatisfy { $0.fractionCount == 0 }
    // Whole numbers in some columns, and fractions in others.
    let isMixed = !isWhole && columns.contains { $0.fractionCount == 0 }
    (likelihood, reason, flags) =
      if hasMissing || (!isImage && columns.count <= Self.mostTableColumns && isMixed) {
        advise(
          .table, hasMissing ? "some values are missing" : "its columns are of different kinds",
          ["--columns", Self.words(columns)], network: false)
      } else if isWhole && minimum >= 0 && maximum <= 1 {
        advise(.bernoulli, "all values are 0 or 1")
      } else if array.type == .uint8 && isImage && (isGrey || maximum > 16) {
        axes.count > 2 && axes[2] == 3
          ? advise(.discretizedLogistic, "8-bit colour images, scored in bits per dimension")
          : advise(
            .bernoulli, "8-bit grey images, whose shades are taken as probabilities",
            ["--binarize", "dynamic"])
      } else if isWhole && minimum >= 0 {
        Self.isOverdispersed(columns)
          ? advise(
            columns.count > 200 ? .zeroInflatedNegativeBinomial : .negativeBinomial,
            "whole numbers from 0 that vary more than Poisson's",
            columns.count > 200 ? ["--library-size", "observed"] : [])
          : advise(.poisson, "whole numbers from 0 that vary about as much as their means")
      } else if minimum >= 0 && maximum <= 1 {
        advise(.continuousBernoulli, "values from 0 to 1")
      } else {
        advise(
          .gaussian, "numbers of any size",
          isImage ? ["--observation-scale", "shared"] : ["--observation-scale", "per-dimension"])
      }
  }

  // Above this a list of columns is nothing that a person would look through.
  private static let mostTableColumns = 40

  // Of counts the variance is the mean with Poisson's distribution.
  private static func isOverdispersed(_ columns: [TableScan.Column]) -> Bool {
    let varying = columns.map(\.moments).filter { $0.mean > 0 }
    let ratios = varying.map { $0.deviation * $0.deviation / $0.mean }.sorted()
    return ratios.isEmpty ? false : ratios[ratios.count / 2] > 1.5
  }

  // As `--columns` says it.
  private static func kind(_ column: TableScan.Column) -> String {
    let isWhole = column.fractionCount == 0
    if isWhole && column.minimum >= 0 && column.maximum <= 1 { return "bernoulli" }
    if isWhole && column.minimum >= 0 && column.maximum < 10 {
      return "categorical \(Int(column.maximum) + 1)"
    }
    if isWhole && column.minimum >= 0 { return "poisson" }
    let (mean, deviation) = column.moments
    // Positive, and most of it near zero.
    return column.minimum > 0 && deviation > 0.6 * mean ? "log-normal" : "gaussian"
  }

  // Neighbours of one kind together: `3 gaussian, bernoulli`.
  private static func words(_ columns: [TableScan.Column]) -> String {
    var groups: [(kind: String, count: Int)] = []
    for kind in columns.map(kind) {
      // A categorical column says how many classes it has, and stands alone.
      if let last = groups.last, last.kind == kind, !kind.hasPrefix("categorical") {
        groups[groups.count - 1].count += 1
      } else {
        groups.append((kind, 1))
      }
    }
    return groups.map { $0.count == 1 ? $0.kind : "\($0.count) \($0.kind)" }
      .joined(separator: ", ")
  }
}
