internal import Checkpointing

/// A table as text: a header, and a line a row; numbers read back as the same numbers.
final class TextTable: ResultFile {
  private let file: DurableFileWriter
  private let widths: [Int]
  private let separator: String

  init(
    _ path: String, columns: [ResultColumn], separator: String
  ) throws(CheckpointError) {
    self.separator = separator
    widths = columns.map(\.width)
    file = try DurableFileWriter(path)
    try add(columns.flatMap(\.tableNames))
  }

  func append(_ values: [ResultValues]) throws(CheckpointError) {
    let rowCount = zip(values, widths).map { $0.count / $1 }.first ?? 0
    for row in 0..<rowCount {
      var cells: [String] = []
      for (numbers, width) in zip(values, widths) {
        for index in row * width..<(row + 1) * width { cells.append(numbers.text(index)) }
      }
      try add(cells)
    }
  }

  private func add(_ cells: [String]) throws(CheckpointError) {
    try file.write(Array((cells.joined(separator: separator) + "\n").utf8))
  }

  func finish() throws(CheckpointError) { try file.commit() }
}
