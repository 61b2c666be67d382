internal import Collectives
internal import DataLoading
internal import TensorKernels

extension TableDescription {
  /// The columns of the data, checked, and standardized by the training examples unless the
  /// configuration says by what; nil for other data than tables.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - configuration: What the columns are.
  ///   - train: The training examples.
  ///   - test: The array of the test examples, where they have one of their own.
  ///   - agreement: The ranks.
  /// - Throws: ``SharedFailure`` for the first column whose values are not of its kind.
  init?(
    _ configuration: TrainingConfiguration, train: Examples, test: NumericArray?,
    agreement: Agreement
  ) throws {
    guard configuration.likelihood == .table, let text = configuration.columns else { return nil }
    self = try agreement.onEveryRank {
      do throws(TableDescription.Problem) {
        return try TableDescription(text)
      } catch {
        throw TrainingError.unfitColumns(error.description)
      }
    }
    let kinds = columns.map(\.column)
    let isResolved = columns.allSatisfy(\.isResolved)
    for (number, array) in [train.array, test].enumerated() {
      guard let array else { continue }
      try agreement.onEveryRank {
        if array.width != kinds.count {
          throw TrainingError.otherColumnCount(described: kinds.count, inputs: array.width)
        }
      }
      let scan = try Self.scan(array, rows: nil, agreement)
      // A column that a run has learned may be missing in other data.
      try agreement.onEveryRank {
        try scan.check(kinds, of: array, needsValues: number == 0 && !isResolved)
      }
    }
    if isResolved { return }
    let own = try Self.scan(train.array, rows: train.rows, agreement)
    for (index, column) in columns.enumerated() where !column.isResolved {
      columns[index] = (own.standardized(column.column, at: index), true)
    }
  }

  // Each rank scans its part.
  private static func scan(
    _ array: NumericArray, rows: [UInt32]?, _ agreement: Agreement
  ) throws -> TableScan {
    let communicator = agreement.communicator
    let own = try agreement.onEveryRank {
      try TableScan(
        array, pieces: PreparedData.ownPieces(of: array, communicator), rows: rows)
    }
    return TableScan(
      joining: try communicator.allGather(own.encoded).map {
        TableScan(encoded: $0, width: array.width)
      })
  }
}
