import ArgumentParser
import Checkpointing
import Collectives
import Exporting
import Foundation
import TensorKernels
import Training

/// What a trained model is written as for other programs.
enum ExportFormat: String, CaseIterable, ExpressibleByArgument {
  case onnx
  case safetensors
  case tensorboard
}

struct ExportCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a trained model for other programs: ONNX, safetensors, TensorBoard.",
    discussion: """
      onnx: encoder.onnx (x to mean and standard_deviation), decoder.onnx (z to the parameters of p(x|z) and \
      x_mean) and vae.onnx (x and noise to all of them), for any number of rows; x is as the model sees it, after \
      the scale. safetensors: the parameters alone, with PyTorch's names and layouts, as --initialize-from takes \
      them. tensorboard: figures, images, histograms and the projector's points.
      """)

  @Argument(help: "A run folder (its newest checkpoint) or a checkpoint.")
  var run: String

  @Option(help: "What to write: onnx, safetensors or tensorboard.")
  var format: ExportFormat

  @Option(
    help:
      "A folder for onnx, a file for safetensors. (default: RUN/onnx, RUN/model.safetensors; tensorboard is always RUN/tensorboard)"
  )
  var output: String?

  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  func validate() throws {
    try checkThreads(threads)
    if format == .tensorboard && output != nil {
      throw ValidationError(
        "--output is for onnx and safetensors; TensorBoard's events are RUN/tensorboard")
    }
    if output == "" { throw ValidationError("--output is empty; it must name a place") }
  }

  mutating func run(on ranks: Agreement) throws {
    let format = format
    try ranks.requireEqual([
      ("the checkpoint", run), ("--format", format.rawValue), ("--output", output ?? "default"),
    ])
    if format == .tensorboard { return try writeEvents(ranks) }
    let saved = try SavedModel.openAlike(run, ranks)
    let base = output ?? "\(saved.runPath)/\(format == .onnx ? "onnx" : "model.safetensors")"
    var files: [String] = []
    try ranks.onRoot {
      if format == .onnx {
        let model = try ONNXModel(saved)
        try DurableFile.makeFolder(base)
        for (name, bytes) in [
          ("encoder", model.encoder), ("decoder", model.decoder), ("vae", model.whole),
        ] {
          let file = try DurableFileWriter("\(base)/\(name).onnx")
          try file.write(bytes)
          try file.commit()
          files.append("\(base)/\(name).onnx")
        }
      } else {
        try saved.writeParameters(to: base)
        files.append(base)
      }
    }
    if !ranks.communicator.isRoot { return }
    say("\(saved.file.path), step \(grouped(saved.progress.step))")
    for file in files { say("  \(file)") }
  }

  private func writeEvents(_ ranks: Agreement) throws {
    let folder = RunFolder(path: run)
    try ranks.onRoot {
      if !folder.holdsRun {
        throw UsageError(
          description: "'\(run)' holds no run; --format tensorboard takes run folders")
      }
    }
    let threads = try threads ?? Processors.defaultThreadCount(ranks.communicator)
    let facts = try RunFacts(folder, threads: threads, ranks)
    try ranks.onRoot {
      // What training or an earlier export wrote would be seen beside it.
      TensorBoardRecord.remove(of: folder)
      let record = try TensorBoardRecord(folder, restart: nil, time: facts.clockStart)
      for event in facts.events { try record.add(event) }
      try record.add(facts)
      say(
        "Events: \(TensorBoardRecord.folder(of: folder)); tensorboard --logdir \(shellQuoted(run))")
    }
  }
}
