internal import Digests
public import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// What one pass over a table finds in each column; missing values are NaN.
///
/// Cut into pieces as ``DataScan``, so that figures do not depend on the number of ranks.
public struct TableScan: Sendable, Equatable {
  /// What is known of a column.
  public struct Column: Sendable, Equatable {
    /// Values that are there.
    public private(set) var count = 0.0
    /// The smallest of them.
    public private(set) var minimum = Double.infinity
    /// The largest of them.
    public private(set) var maximum = -Double.infinity
    /// How many are 0.
    public private(set) var zeroCount = 0.0
    /// How many are not whole numbers.
    public private(set) var fractionCount = 0.0
    /// How many are infinite, or beyond 32-bit floating point.
    public private(set) var infinityCount = 0.0
    // Mean and sum of squared deviations, of the values and of the logarithms of positive ones.
    private var plain = Moments()
    private var logarithmic = Moments()

    /// Mean and standard deviation of the values.
    public var moments: (mean: Double, deviation: Double) { plain.summary }
    /// Mean and standard deviation of the logarithms of those above 0.
    public var logMoments: (mean: Double, deviation: Double) { logarithmic.summary }

    fileprivate mutating func add(_ value: Double) {
      if value.isNaN { return }
      if value.isInfinite {
        infinityCount += 1
        return
      }
      count += 1
      minimum = min(minimum, value)
      maximum = max(maximum, value)
      if value == 0 { zeroCount += 1 }
      if value != value.rounded() { fractionCount += 1 }
      plain.add(value)
      if value > 0 { logarithmic.add(log(value)) }
    }

    fileprivate mutating func add(_ other: Column) {
      count += other.count
      minimum = min(minimum, other.minimum)
      maximum = max(maximum, other.maximum)
      zeroCount += other.zeroCount
      fractionCount += other.fractionCount
      infinityCount += other.infinityCount
      plain.add(other.plain)
      logarithmic.add(other.logarithmic)
    }

    fileprivate static let numberCount = 12

    fileprivate var numbers: [Double] {
      [count, minimum, maximum, fractionCount, infinityCount, zeroCount]
        + plain.numbers + logarithmic.numbers
    }

    fileprivate init() {}

    fileprivate init(numbers: ArraySlice<Double>) {
      let values = Array(numbers)
      (count, minimum, maximum) = (values[0], values[1], values[2])
      (fractionCount, infinityCount, zeroCount) = (values[3], values[4], values[5])
      plain = Moments(values[6..<9])
      logarithmic = Moments(values[9..<12])
    }
  }

  /// Sums that pieces add up without losing digits (Chan, Golub & LeVeque 1983).
  private struct Moments: Sendable, Equatable {
    private var count = 0.0
    private var mean = 0.0
    private var squares = 0.0

    init() {}

    init(_ numbers: ArraySlice<Double>) {
      let values = Array(numbers)
      (count, mean, squares) = (values[0], values[1], values[2])
    }

    var numbers: [Double] { [count, mean, squares] }

    var summary: (mean: Double, deviation: Double) {
      count > 0 ? (mean, (squares / count).squareRoot()) : (0, 0)
    }

    mutating func add(_ value: Double) {
      count += 1
      let before = value - mean
      mean += before / count
      squares += before * (value - mean)
    }

    mutating func add(_ other: Moments) {
      if other.count == 0 { return }
      let total = count + other.count
      let difference = other.mean - mean
      squares += other.squares + difference * difference * count * other.count / total
      mean += difference * other.count / total
      count = total
    }
  }

  /// The columns in order.
  public private(set) var columns: [Column]
  // Of each piece, for joining in order.
  private var pieces: [[Column]] = []

  /// Scans some pieces; see ``DataScan/pieceCount(of:)``.
  ///
  /// - Parameters:
  ///   - array: The table.
  ///   - range: Which pieces.
  ///   - rows: The rows that count, in order; nil for all.
  /// - Throws: ``DataError`` if some cannot be read.
  public init(
    _ array: NumericArray, pieces range: Range<Int>, rows: [UInt32]? = nil
  ) throws(DataError) {
    columns = []
    let row = FloatBuffer(count: array.width)
    for piece in range {
      var own = [Column](repeating: Column(), count: array.width)
      let examples = DataScan.examples(ofPiece: piece, of: array)
      var next = rows.map { Self.firstIndex(notBelow: examples.lowerBound, in: $0) } ?? 0
      for example in examples {
        if let rows {
          if next == rows.count || rows[next] != example { continue }
          next += 1
        }
        try array.read(example: example, scale: 1, into: row.mutableElements)
        for (index, value) in row.elements.enumerated() { own[index].add(Double(value)) }
      }
      pieces.append(own)
    }
  }

  private static func firstIndex(notBelow row: Int, in rows: [UInt32]) -> Int {
    var (low, high) = (0, rows.count)
    while low < high {
      let middle = (low + high) / 2
      if rows[middle] < row { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The figures of several scans of consecutive pieces, in order.
  public init(joining scans: [TableScan]) {
    columns = []
    for piece in scans.flatMap(\.pieces) {
      if columns.isEmpty { columns = [Column](repeating: Column(), count: piece.count) }
      for (index, column) in piece.enumerated() { columns[index].add(column) }
    }
  }

  /// The scan as bytes, for the other ranks.
  public var encoded: [UInt8] {
    pieces.flatMap { $0.flatMap(\.numbers) }.withUnsafeBytes { Array($0) }
  }

  /// A scan of a table of `width` columns from another rank's bytes.
  public init(encoded: [UInt8], width: Int) {
    columns = []
    let numbers = encoded.withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
    let size = Column.numberCount
    for start in stride(from: 0, to: numbers.count, by: width * size) {
      pieces.append(
        (0..<width).map { Column(numbers: numbers[start + $0 * size..<start + ($0 + 1) * size]) })
    }
  }

  /// The column with a center and a scale of its own, where its kind has them.
  ///
  /// Values that are all alike are divided by 1.
  public func standardized(_ column: TableColumn, at index: Int) -> TableColumn {
    let (mean, deviation) =
      column.kind == .logNormal ? columns[index].logMoments : columns[index].moments
    var result = column
    let scale = Float(deviation)
    result.center = Float(mean)
    result.scale = scale.isNormal && scale.isFinite ? scale : 1
    return result
  }

  /// Fails at the first column whose values its distribution does not have.
  ///
  /// - Parameters:
  ///   - kinds: What each column is.
  ///   - array: What was scanned.
  ///   - needsValues: Whether a column may not be missing throughout, as where it is to be learned.
  /// - Throws: ``DataError/unsuitableColumn(path:column:found:needs:)``.
  public func check(
    _ kinds: [TableColumn], of array: NumericArray, needsValues: Bool
  ) throws(DataError) {
    let path = array.path
    for (index, (column, kind)) in zip(columns, kinds).enumerated() {
      func refuse(_ found: String, _ needs: String) -> DataError {
        .unsuitableColumn(
          path: path, column: array.columnName(index), found: found, needs: needs)
      }
      if column.infinityCount > 0 {
        throw refuse(
          "infinite values, or some beyond 32-bit floating point",
          "numbers, or NaN where one is missing")
      }
      if let classes = array.names.classes[index] {
        let most =
          switch kind.kind {
          case .categorical(let count): count
          case .bernoulli: 2
          default: 0
          }
        if classes.count > most {
          throw refuse(
            "texts (\(DataError.some(classes, of: 3)))", "categorical \(max(classes.count, 2))")
        }
      }
      if column.count == 0 {
        if needsValues { throw refuse("no value at all", "some values") }
        continue
      }
      let isWhole = column.fractionCount == 0
      let range =
        "\(isWhole ? "" : "fractional ")values from \(short(Float(column.minimum)))"
        + " to \(short(Float(column.maximum)))"
      switch kind.kind {
      case .gaussian:
        // Values are read as 32-bit floats, 24 binary digits.
        let (mean, deviation) = column.moments
        if array.type.hasMoreDigitsThanFloat && abs(mean) > max(deviation, 1) * 0x1p20 {
          throw refuse(
            "\(range), which 32-bit floating point hardly tells apart",
            "an offset subtracted from it, or a coarser unit")
        }
      case .logNormal:
        if column.minimum < Double(Float.leastNormalMagnitude) {
          throw refuse(range, "values above 0 (1.2e-38 or more) for log-normal")
        }
      case .bernoulli:
        if !isWhole || column.minimum < 0 || column.maximum > 1 {
          throw refuse(range, "0 and 1 for bernoulli")
        }
      case .poisson:
        if !isWhole || column.minimum < 0 || column.maximum > 1e9 {
          throw refuse(range, "whole numbers from 0 to 1e9 for poisson")
        }
      case .categorical(let classes):
        if !isWhole || column.minimum < 0 || column.maximum > Double(classes - 1) {
          throw refuse(range, "class numbers from 0 to \(classes - 1) for categorical \(classes)")
        }
      }
    }
  }
}
