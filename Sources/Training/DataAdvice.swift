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
  ///   - all: What each of their values is like.
  ///   - isGrey: Whether small 8-bit numbers are known to be shades, too.
  public init(_ array: NumericArray, _ all: [TableScan.Column], isGrey: Bool) {
    let skipped = all.indices.filter { Self.isName($0, of: array) }
    let kept = all.indices.filter { !skipped.contains($0) }
    let columns = kept.map { all[$0] }
    let hasMissing = columns.contains {
      $0.count + $0.infinityCount < Double(array.exampleCount)
    }
    let hasTexts = kept.contains { array.names.classes[$0] != nil }
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
    let own: [String]
    (likelihood, reason, own) =
      if hasMissing || hasTexts || (!isImage && columns.count <= Self.mostTableColumns && isMixed) {
        advise(
          .table, hasMissing ? "some values are missing" : "its columns are of different kinds",
          [
            "--columns",
            Self.words(kept.map { Self.kind(all[$0], classes: array.names.classes[$0]) }),
          ], network: false)
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
    flags =
      own
      + (skipped.isEmpty
        ? [] : ["--skip-columns", skipped.map { Self.name($0, array) }.joined(separator: ",")])
  }

  /// Whether a column of texts is rather the names of rows, or always the same: nothing to learn.
  static func isName(_ place: Int, of array: NumericArray) -> Bool {
    guard let classes = array.names.classes[place] else { return false }
    return classes.count == 1 || classes.count > 1_000 || 2 * classes.count > array.exampleCount
      || array.width > mostTableColumns
  }

  // As --skip-columns says it.
  private static func name(_ place: Int, _ array: NumericArray) -> String {
    let name = array.names.columns.indices.contains(place) ? array.names.columns[place] : ""
    return name.isEmpty || name.contains(",") ? "\(place + 1)" : name
  }

  // Above this a list of columns is nothing that a person would look through.
  static let mostTableColumns = 40

  // Of counts the variance is the mean with Poisson's distribution.
  private static func isOverdispersed(_ columns: [TableScan.Column]) -> Bool {
    let varying = columns.map(\.moments).filter { $0.mean > 0 }
    let ratios = varying.map { $0.deviation * $0.deviation / $0.mean }.sorted()
    return ratios.isEmpty ? false : ratios[ratios.count / 2] > 1.5
  }

  // As `--columns` says it.
  private static func kind(_ column: TableScan.Column, classes: [String]?) -> String {
    if let classes { return "categorical \(classes.count)" }
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
  private static func words(_ kinds: [String]) -> String {
    var groups: [(kind: String, count: Int)] = []
    for kind in kinds {
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
