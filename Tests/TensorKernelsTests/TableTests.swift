import Foundation
import TensorKernels
import TestSupport
import Testing

/// Tables of mixed columns against textbook formulas in `Double`.
@Suite struct TableTests {
  static let columns = [
    TableColumn(.gaussian, center: 40, scale: 12), TableColumn(.categorical(classes: 5)),
    TableColumn(.logNormal, center: 9, scale: 0.7), TableColumn(.bernoulli),
    TableColumn(.poisson), TableColumn(.gaussian), TableColumn(.categorical(classes: 2)),
  ]
  static let rows: [[Double]] = [
    [52.5, 3, 12_000, 1, 0, -0.25, 1], [18, 0, 900, 0, 17, 3, 0],
    [.nan, 4, .nan, 1, 2, .nan, .nan], [33, .nan, 25_000, .nan, .nan, 0.5, 0],
    [.nan, .nan, .nan, .nan, .nan, .nan, .nan],
  ]
  static let outputCount = 2 + 5 + 2 + 1 + 1 + 2 + 2
  static let floor = 0.01

  static func normal(_ x: Double, _ mean: Double, _ logVariance: Double) -> Double {
    let variance = exp(logVariance) + floor * floor
    return -0.5 * (log(2 * Double.pi * variance) + (x - mean) * (x - mean) / variance)
  }

  /// log p of a row, missing values passed over.
  static func logDensity(_ row: [Double], _ outputs: [Double]) -> Double {
    var sum = 0.0
    var start = 0
    for (x, column) in zip(row, columns) {
      let o = Array(outputs[start..<start + column.outputCount])
      start += column.outputCount
      if x.isNaN { continue }
      let (center, scale) = (Double(column.center), Double(column.scale))
      switch column.kind {
      case .gaussian: sum += normal((x - center) / scale, o[0], o[1]) - log(scale)
      case .logNormal: sum += normal((log(x) - center) / scale, o[0], o[1]) - log(scale) - log(x)
      case .bernoulli: sum += x * o[0] - log(1 + exp(o[0]))
      case .poisson: sum += x * o[0] - exp(o[0]) - lgamma(x + 1)
      case .categorical: sum += o[Int(x)] - log(o.reduce(0) { $0 + exp($1) })
      }
    }
    return sum
  }

  static func outputs(_ count: Int, seed: UInt64) -> [[Double]] {
    var random = TestRandom(seed: seed)
    return (0..<count).map { _ in
      random.uniform(outputCount, in: -2...2).map { Double(Float($0)) }
    }
  }

  static func scoring(_ draws: Int, scale: Float?) -> LikelihoodScoring {
    var scoring = LikelihoodScoring(.table(columns), draws: draws, gradientScale: scale)
    scoring.floor = Float(floor)
    return scoring
  }

  @Test func densityAndGradientAreThoseOfTheFormula() {
    let draws = 2
    let outputs = Self.outputs(Self.rows.count * draws, seed: 3)
    let buffer = matrix(outputs, columns: Self.outputCount)
    let densities = withFigures(outputs.count) {
      Self.scoring(draws, scale: 0.5)
        .run(matrix(Self.rows, columns: Self.columns.count), outputs: buffer, into: $0)
    }
    let h = 1e-5
    for (index, own) in outputs.enumerated() {
      let row = Self.rows[index / draws]
      let expected = Self.logDensity(row, own)
      #expect(abs(densities[index] - expected) <= 2e-6 * (10 + abs(expected)))
      let gradient = own.indices.map { position in
        var (above, below) = (own, own)
        above[position] += h
        below[position] -= h
        return 0.5 * (Self.logDensity(row, below) - Self.logDensity(row, above)) / (2 * h)
      }
      expectClose(buffer.rows(index..<index + 1).values, gradient, within: 1e-5, "row \(index)")
    }
    // Nothing observed says nothing.
    #expect(densities[8] == 0 && densities[9] == 0)
  }

  // The density of each kind over all its values, in the units of the table.
  @Test(arguments: [0, 2]) func densitiesIntegrateToOne(_ column: Int) {
    let outputs = Self.outputs(1, seed: 11)
    let isLogNormal = Self.columns[column].kind == .logNormal
    // Of the log-normal one along log x.
    let step = isLogNormal ? 0.002 : 0.05
    let points = stride(from: isLogNormal ? 2.0 : -200, to: isLogNormal ? 16 : 280, by: step)
    var sum = 0.0
    for point in points {
      var row = [Double](repeating: .nan, count: Self.columns.count)
      row[column] = isLogNormal ? exp(point) : point
      let density = withFigures(1) {
        Self.scoring(1, scale: nil).run(
          matrix([row], columns: Self.columns.count),
          outputs: matrix(outputs, columns: Self.outputCount), into: $0)
      }[0]
      sum += exp(density) * step * (isLogNormal ? exp(point) : 1)
    }
    #expect(abs(sum - 1) < 1e-4)
  }

  @Test func encodersReadStandardizedValuesAndWhatIsMissing() {
    let width = 1 + 5 + 1 + 1 + 1 + 1 + 2 + Self.columns.count
    let inputs = FloatBuffer.poisoned(2 * width).matrix(rows: 2, columns: width)
    tableInputs(
      matrix([Self.rows[1], Self.rows[2]], columns: Self.columns.count), Self.columns, into: inputs)
    let first: [Double] = [
      (18 - 40) / 12, 1, 0, 0, 0, 0, (log(900) - 9) / 0.7, 0, log(18), 3, 1, 0,
      1, 1, 1, 1, 1, 1, 1,
    ]
    expectClose(inputs.row(0), first, within: 1e-6)
    let second: [Double] = [
      0, 0, 0, 0, 0, 1, 0, 1, log(3), 0, 0, 0,
      0, 1, 0, 1, 1, 0, 0,
    ]
    expectClose(inputs.row(1), second, within: 1e-6)
  }
}
