public import DataLoading

#if canImport(Glibc)
internal import Glibc
#endif

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
    let label = Self.label(of: array, all)
    let skipped = all.indices.filter {
      $0 == label || Self.isNothingToLearn($0, all[$0], of: array)
    }
    let kept = all.indices.filter { !skipped.contains($0) }
    if kept.isEmpty {
      (likelihood, reason, flags) = (.table, "no column is left to learn", [])
      return
    }
    let found = Self.look(
      Summary(array, kept.map { all[$0] }), kinds: kept.map { Self.kind(all[$0], array, $0) },
      hasTexts: kept.contains { array.names.classes[$0] != nil }, isGrey: isGrey)
    likelihood = found.likelihood
    reason =
      found.reason
      + (kept.contains { all[$0].infinityCount > 0 }
        ? "; infinite values must be replaced first, no likelihood takes them" : "")
    let names = skipped.map { Self.name($0, array) }
    flags =
      ["--likelihood", likelihood.rawValue] + found.flags
      + (names.isEmpty ? [] : ["--skip-columns", names.joined(separator: ",")])
      + (label.map { ["--labels", "\(array.path):\(Self.name($0, array))"] } ?? [])
  }

  // The column of a table of text whose name says that it is what examples are, and no part of them.
  private static func label(of array: NumericArray, _ columns: [TableScan.Column]) -> Int? {
    let names = ["label", "labels", "class", "target", "y"]
    return array.names.columns.indices.first { place in
      let (name, column) = (array.names.columns[place].lowercased(), columns[place])
      return array.width > 2 && names.contains(name) && column.fractionCount == 0
        && column.minimum >= 0 && column.maximum < 1_000
        && column.count == Double(array.exampleCount)
    }
  }

  private typealias Found = (likelihood: LikelihoodKind, reason: String, flags: [String])

  // What matters of all columns together.
  private struct Summary {
    let columns: [TableScan.Column]
    let type: ElementType
    let axes: [Int]
    let hasMissing: Bool
    let minimum: Double
    let maximum: Double
    let isWhole: Bool

    init(_ array: NumericArray, _ columns: [TableScan.Column]) {
      self.columns = columns
      type = array.type
      axes = Array(array.shape.dropFirst())
      hasMissing = columns.contains {
        $0.count + $0.infinityCount < Double(array.exampleCount)
      }
      minimum = columns.map(\.minimum).min() ?? 0
      maximum = columns.map(\.maximum).max() ?? 0
      isWhole = columns.allSatisfy { $0.fractionCount == 0 }
    }

    var isImage: Bool { axes.count >= 2 }
    var isCountable: Bool { isWhole && minimum >= 0 }
    // Convolutions with a window of 4 and a stride of 2 need some pixels.
    var network: [String] {
      isImage && axes[0] >= 8 && axes[1] >= 8 ? ["--network", "conv"] : []
    }
    // Whole numbers up to 255: images, flattened or not.
    var isOfBytes: Bool {
      isCountable && maximum <= 255 && (isImage ? type == .uint8 || maximum > 200 : maximum == 255)
        && (isImage || columns.count >= 64)
    }
    var isColored: Bool { axes.count > 2 && (axes[2] == 3 || axes[0] == 3) }
    // Few enough that a person would look through them.
    var isNarrow: Bool { !isImage && columns.count <= DataAdvice.mostTableColumns }
    // Whole numbers in some columns and fractions in others, or numbers far from 0 that nobody counted.
    var isOfDifferentKinds: Bool {
      isWhole
        ? isCountable && columns.contains { DataAdvice.isMeasured($0) }
        : columns.contains { $0.fractionCount == 0 && $0.minimum < $0.maximum }
    }
    // Whole numbers that nobody counted: far from 0, or the shades of deep images.
    var isOfMeasurements: Bool {
      isImage && maximum > 1_000
        || 2 * columns.count { DataAdvice.isMeasured($0) } > columns.count
    }
    // Deviations of columns that differ by more than ten times.
    var isUneven: Bool {
      let deviations = columns.map(\.moments.deviation).filter { $0 > 0 }.sorted()
      guard let last = deviations.last else { return false }
      let count = deviations.count
      return last / deviations[0] > 100
        || deviations[count - 1 - count / 10] > 10 * deviations[count / 10]
    }
    // The size of values, as a power of ten.
    var size: Double {
      let squares = columns.map(\.moments).map { $0.mean * $0.mean + $0.deviation * $0.deviation }
      let root = (squares.reduce(0, +) / Double(max(columns.count, 1))).squareRoot()
      return root > 0 && root.isFinite ? pow(10, log10(root).rounded()) : 1
    }
  }

  private static func look(
    _ data: Summary, kinds: [String], hasTexts: Bool, isGrey: Bool
  ) -> Found {
    let isUnit = data.minimum >= 0 && data.maximum <= 1
    let table = ["--columns", words(kinds)]
    if data.hasMissing { return (.table, "some values are missing", table) }
    if hasTexts { return (.table, "some columns are of texts", table) }
    if data.isNarrow && data.isOfDifferentKinds {
      return (.table, "its columns are of different kinds", table)
    }
    if data.isWhole && isUnit { return (.bernoulli, "all values are 0 or 1", data.network) }
    if data.isOfBytes { return images(data, isGrey: isGrey) }
    if data.isCountable && !data.isOfMeasurements { return counts(data) }
    if isUnit { return (.continuousBernoulli, "values from 0 to 1", data.network) }
    if data.isNarrow || !data.isImage && data.isUneven && data.columns.count <= 1_024 {
      return (.table, "numbers of different sizes, which a table standardizes", table)
    }
    let scale = data.size > 10 || data.size < 0.1 ? ["--scale", text(data.size)] : []
    return (
      .gaussian, "numbers of any size",
      data.network + scale + ["--observation-scale", data.isImage ? "shared" : "per-dimension"]
    )
  }

  // Bytes up to 16 are shades only where that is known, or images.
  private static func images(_ data: Summary, isGrey: Bool) -> Found {
    let isDivided = data.type == .uint8 && data.maximum > 16 || isGrey
    let scale = isDivided ? [] : ["--scale", data.maximum > 16 ? "255" : text(data.maximum)]
    if data.isColored && data.maximum > 16 {
      return (
        .discretizedLogistic, "8-bit colour images, scored in bits per dimension",
        data.network + (data.type == .uint8 ? [] : scale)
      )
    }
    return (
      .bernoulli, "8-bit grey images, whose shades are taken as probabilities",
      data.network + ["--binarize", "dynamic"] + scale
    )
  }

  private static func counts(_ data: Summary) -> Found {
    if !isOverdispersed(data.columns) {
      return (
        .poisson, "whole numbers from 0 that vary about as much as their means", data.network
      )
    }
    // Of many, as of genes in a cell, the total differs from example to example.
    let flags = data.network + (data.columns.count >= 20 ? ["--library-size", "observed"] : [])
    let reason = "whole numbers from 0 that vary more than Poisson's"
    return hasMoreZeros(data.columns)
      ? (.zeroInflatedNegativeBinomial, reason + ", with more zeros than that explains", flags)
      : (.negativeBinomial, reason, flags)
  }

  // Whether half of the columns have more zeros than the negative binomial distribution of their mean and variance:
  // (θ / (θ + μ))^θ with θ = μ² / (σ² − μ).
  private static func hasMoreZeros(_ columns: [TableScan.Column]) -> Bool {
    let excess = columns.compactMap { column -> Double? in
      let (mean, deviation) = column.moments
      let surplus = deviation * deviation - mean
      guard mean > 0, surplus > 0, column.count > 0 else { return nil }
      let theta = mean * mean / surplus
      return column.zeroCount / column.count - pow(theta / (theta + mean), theta)
    }.sorted()
    return excess.isEmpty ? false : excess[excess.count / 2] > 0.03
  }

  /// Columns of a table of text that name rows, are always the same, or empty.
  private static func isNothingToLearn(
    _ place: Int, _ column: TableScan.Column, of array: NumericArray
  ) -> Bool {
    if !DataSource.isTable(array.path) { return false }
    if column.count == 0 && column.infinityCount == 0 { return true }
    guard let classes = array.names.classes[place] else { return false }
    return classes.count == 1 || classes.count > 1_000 || 2 * classes.count > array.exampleCount
      || array.width > mostTableColumns
  }

  // As --skip-columns says it.
  private static func name(_ place: Int, _ array: NumericArray) -> String {
    let names = array.names.columns
    let name = names.indices.contains(place) ? names[place] : ""
    let isClear = !name.isEmpty && !name.contains(",") && names.count { $0 == name } == 1
    return isClear ? name : "\(array.columnNumbers[place])"
  }

  /// Above this a list of columns is nothing that a person would look through.
  static let mostTableColumns = 40

  // Of counts the variance is the mean with Poisson's distribution.
  private static func isOverdispersed(_ columns: [TableScan.Column]) -> Bool {
    let ratios = columns.compactMap(dispersion).sorted()
    return ratios.isEmpty ? false : ratios[ratios.count / 2] > 1.5
  }

  // Variance over mean; nil of a column of zeros.
  private static func dispersion(_ column: TableScan.Column) -> Double? {
    let (mean, deviation) = column.moments
    return mean > 0 ? deviation * deviation / mean : nil
  }

  // Large and never near 0, as years, ages and prices are.
  private static func isMeasured(_ column: TableScan.Column) -> Bool {
    let mean = column.moments.mean
    return mean >= 10 && column.minimum > 0.1 * mean
  }

  // As `--columns` says it.
  private static func kind(
    _ column: TableScan.Column, _ array: NumericArray, _ place: Int
  ) -> String {
    if let classes = array.names.classes[place] { return "categorical \(classes.count)" }
    let (mean, deviation) = column.moments
    if column.minimum >= column.maximum { return "gaussian" }
    if column.fractionCount == 0 && column.minimum >= 0 {
      if column.maximum <= 1 { return "bernoulli" }
      let ratio = dispersion(column) ?? 0
      let isCount = !isMeasured(column) && ratio > 0.6 && ratio < 3
      if column.maximum < 10 && !(isCount && column.minimum == 0 && column.maximum >= 5) {
        return "categorical \(Int(column.maximum) + 1)"
      }
      if isCount { return "poisson" }
    }
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

  private static func text(_ number: Double) -> String {
    number == number.rounded() && number < 1e9 ? "\(Int(number))" : "\(number)"
  }
}
