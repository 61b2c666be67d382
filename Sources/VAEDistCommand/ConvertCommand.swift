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
    discussion: "Values stay as they are: 8-bit numbers 8-bit, everything else single precision.")

  @Argument(help: "Data as in train.")
  var data: String

  @Argument(help: "The file to write: .npy, .npz, .csv or .tsv.")
  var output: String

  @Option(help: "Which part of the data.")
  var split = Split.train

  func validate() throws {
    if ResultFormat(path: output) == nil {
      throw ValidationError("'\(output)' has none of the endings .npy, .npz, .csv, .tsv")
    }
  }

  // One rank is enough.
  mutating func run(on ranks: Agreement) throws {
    try ranks.onRoot {
      let source = try DataSource(name: data)
      guard let array = split == .train ? source.train : source.test else {
        throw UsageError(description: "'\(data)' has no test examples; --split train has them all")
      }
      try array.load()
      guard let format = ResultFormat(path: output) else { return }
      let isByte = array.type == .uint8
      let file = try format.begin(
        output,
        columns: [
          ResultColumn("x", isByte ? .uint8 : .float32, shape: Array(array.shape.dropFirst()))
        ], rowCount: array.exampleCount)
      let row = FloatBuffer(count: array.width)
      for example in 0..<array.exampleCount {
        try array.read(example: example, scale: 1, into: row.mutableElements)
        try file.append([
          isByte ? .uint8(row.elements.map { UInt8($0) }) : .float32(Array(row.elements))
        ])
      }
      try file.finish()
      say("\(output): \(isByte ? "uint8" : "float32") \(array.shape)")
    }
  }
}
