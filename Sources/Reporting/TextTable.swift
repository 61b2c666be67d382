internal import Checkpointing

/// A table as text: a header, and a line a row; numbers read back as the same numbers.
final class TextTable: ResultFile {
  private let file: DurableFileWriter
  private let columns: [ResultColumn]
  private let separator: String

  init(
    _ path: String, columns: [ResultColumn], separator: String
  ) throws(CheckpointError) {
    self.separator = separator
    self.columns = columns
    file = try DurableFileWriter(path)
    try add(columns.flatMap(\.tableNames).map(quoted))
  }

  func append(_ values: [ResultValues]) throws(CheckpointError) {
    let rowCount = zip(values, columns).map { $0.count / $1.width }.first ?? 0
    for row in 0..<rowCount {
      var cells: [String] = []
      for (numbers, column) in zip(values, columns) {
        for place in 0..<column.width {
          let index = row * column.width + place
          if let name = column.classes[place].flatMap({ numbers.name(index, among: $0) }) {
            cells.append(quoted(name))
          } else {
            let text = numbers.text(index)
            if case .text = numbers { cells.append(quoted(text)) } else { cells.append(text) }
          }
        }
      }
      try add(cells)
    }
  }

  // As RFC 4180 has it, and where a reader would see a comment.
  private func quoted(_ text: String) -> String {
    let isPlain =
      !text.hasPrefix("#")
      && !text.contains { $0 == "\"" || $0.isNewline || separator.first == $0 }
    return isPlain ? text : "\"\(text.replacing("\"", with: "\"\""))\""
  }

  private func add(_ cells: [String]) throws(CheckpointError) {
    try file.write(Array((cells.joined(separator: separator) + "\n").utf8))
  }

  func finish() throws(CheckpointError) { try file.commit() }
}
