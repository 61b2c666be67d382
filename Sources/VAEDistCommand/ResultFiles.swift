import Checkpointing
import Reporting

/// Rows that are written as they come, to any number of files.
final class ResultFiles {
  private let files: [any ResultFile]

  init(
    _ paths: [String], columns: [ResultColumn], rowCount: Int
  ) throws(CheckpointError) {
    var files: [any ResultFile] = []
    for path in paths {
      guard let format = ResultFormat(path: path) else { continue }
      files.append(try format.begin(path, columns: columns, rowCount: rowCount))
    }
    self.files = files
  }

  func append(_ values: [ResultValues]) throws(CheckpointError) {
    for file in files { try file.append(values) }
  }

  func finish() throws(CheckpointError) {
    for file in files { try file.finish() }
  }
}
