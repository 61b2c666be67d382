import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Reporting
import TensorKernels
import Training

struct ConvertCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write data of any format as an NPY file, which is mapped and never held in memory.",
    discussion: """
      Values stay as they are: 8-bit numbers 8-bit, everything else single precision. Texts of a table become the \
      numbers of their places among the column's different texts in order.
      """)

  @Argument(help: "Data as in train.")
  var data: String

  @Argument(help: "The file to write: .npy, .npz, .csv or .tsv.")
  var output: String

  @Option(help: "Which part of the data.")
  var split = Split.train

  @Option(
    help: ArgumentHelp(
      "Columns of a CSV or TSV that are left out: names, or numbers from 1 on", valueName: "names"))
  var skipColumns: String?

  func validate() throws {
    if ResultFormat(path: output) == nil {
      throw ValidationError("'\(output)' has none of the endings .npy, .npz, .csv, .tsv")
    }
  }

  // One rank is enough.
  mutating func run(on ranks: Agreement) throws {
    try ranks.onRoot {
      func real(_ path: String) -> String {
        URL(filePath: path).resolvingSymlinksInPath().standardizedFileURL.path
      }
      if real(DataSource.split(data)?.path ?? data) == real(output) {
        throw UsageError(
          description: "'\(output)' is what is read; name another file to write")
      }
      let source = try DataSource(
        name: data, choice: ColumnChoice(skipping: nameList(skipColumns)))
      guard let array = split == .train ? source.train : source.test else {
        throw UsageError(description: "'\(data)' has no test examples; --split train has them all")
      }
      try array.load()
      guard let format = ResultFormat(path: output) else { return }
      let isByte = array.type == .uint8
      var column = ResultColumn(
        "x", isByte ? .uint8 : .float32, shape: Array(array.shape.dropFirst()))
      column.numberNames = array.names.columns
      column.classes = array.names.classes
      let file = try format.begin(output, columns: [column], rowCount: array.exampleCount)
      // About a quarter of a megabyte at a time.
      let rows = max(1, (1 << 16) / array.width)
      let buffer = FloatBuffer(count: rows * array.width).matrix(rows: rows, columns: array.width)
      let line = ProgressLine("convert")
      for first in stride(from: 0, to: array.exampleCount, by: rows) {
        line.show(first, of: array.exampleCount)
        let count = min(rows, array.exampleCount - first)
        for row in 0..<count {
          try array.read(example: first + row, scale: 1, into: buffer.row(row))
        }
        let values = buffer.rows(0..<count).elements
        try file.append([isByte ? .uint8(values.map { UInt8($0) }) : .float32(Array(values))])
      }
      try file.finish()
      line.show(array.exampleCount, of: array.exampleCount)
      say("\(output): \(isByte ? "uint8" : "float32") \(array.shape)")
    }
  }
}
