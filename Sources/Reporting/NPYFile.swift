internal import Checkpointing

/// One array in NumPy's format, version 1.0.
///
/// - Source: NumPy, `numpy.lib.format`.
final class NPYFile: ResultFile {
  private let file: DurableFileWriter
  private let index: Int  // of the column that is written
  private let kind: ResultColumn.Kind

  /// Of several columns the first of several numbers a row, or the first.
  convenience init(
    _ path: String, columns: [ResultColumn], rowCount: Int
  ) throws(CheckpointError) {
    let index = columns.firstIndex { !$0.shape.isEmpty } ?? 0
    try self.init(path, column: columns[index], index: index, rowCount: rowCount)
  }

  init(
    _ path: String, column: ResultColumn, index: Int, rowCount: Int
  ) throws(CheckpointError) {
    self.index = index
    kind = column.kind
    file = try DurableFileWriter(path)
    try file.write(Self.header(column, rowCount: rowCount))
  }

  /// Where the file is until it is finished.
  var temporaryPath: String { file.temporaryPath }

  func append(_ values: [ResultValues]) throws(CheckpointError) {
    try values[index].withBytes(of: kind) { bytes throws(CheckpointError) in try file.write(bytes) }
  }

  func finish() throws(CheckpointError) { try file.commit() }

  // The elements begin at a multiple of 64 bytes.
  private static func header(_ column: ResultColumn, rowCount: Int) -> [UInt8] {
    let extents = ([rowCount] + column.shape).map(String.init)
    let shape = extents.count == 1 ? "\(extents[0])," : extents.joined(separator: ", ")
    let text =
      "{'descr': '\(column.kind.description)', 'fortran_order': False, 'shape': (\(shape)), }"
    let length = (10 + text.utf8.count + 1 + 63) / 64 * 64 - 10
    let padding = String(repeating: " ", count: length - text.utf8.count - 1)
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)]
      + Array("\(text)\(padding)\n".utf8)
  }
}
