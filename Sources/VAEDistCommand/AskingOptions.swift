import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Inference
import Reporting
import TensorKernels
import Training
import VAEObjective

/// What every command takes that asks a trained model.
struct AskingOptions: ParsableArguments {
  @Argument(help: "A run folder (its newest checkpoint) or a checkpoint.")
  var run: String

  @Option(
    help:
      "Where results go, by its ending: .npz, .npy, .csv, .tsv, or .png for pictures; may be given again. (default: RUN/<command>.npz, and .png of images)"
  )
  var output: [String] = []

  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  @Flag(help: "Print one JSON object with what was written.")
  var json = false

  func validate() throws {
    try checkThreads(threads)
    for path in output where !isPicture(path) && ResultFormat(path: path) == nil {
      throw ValidationError(
        "--output '\(path)' has none of the endings .npz, .npy, .csv, .tsv, .png")
    }
  }

  func isPicture(_ path: String) -> Bool { path.lowercased().hasSuffix(".png") }

  /// What ranks must have alike.
  var values: [(name: String, value: String)] {
    [("the checkpoint", run), ("--output", output.joined(separator: " "))]
  }
}

/// Which examples are asked about.
struct ExampleOptions: ParsableArguments {
  @Option(help: "Examples to ask about, as in train. (default: the run's own data)")
  var data: String?

  @Option(
    parsing: .unconditional,
    help: "What the values of --data are divided by. (default: what the run's were divided by)")
  var scale: Double?

  @Option(help: "A file of their labels. (default: beside the data, if there are any)")
  var labels: String?

  @Option(help: "Which part of the data. (default: test)")
  var split = Split.test

  func validate() throws {
    if let scale, data == nil {
      throw ValidationError("--scale \(scale) needs --data; the run's own data keep their scale")
    }
    if let scale, !(Float(scale) > 0 && Float(scale).isFinite) {
      throw ValidationError("--scale is \(scale); it must be above 0")
    }
  }

  var request: ExampleRequest {
    ExampleRequest(data: data, labels: labels, scale: scale, split: split)
  }

  var values: [(name: String, value: String)] {
    [
      ("--data", data ?? "default"), ("--split", split.rawValue), ("--labels", labels ?? "default"),
      ("--scale", scale.map { "\($0)" } ?? "default"),
    ]
  }
}

/// How p(x|z) is shown.
struct ObservationOptions: ParsableArguments {
  @Flag(help: "Draw x from p(x|z), rather than show its mean.")
  var draw = false

  @Flag(help: "Write x alone, without latents and classes: a table like the data.")
  var valuesOnly = false

  @Option(parsing: .unconditional, help: "Where random numbers begin.")
  var seed: UInt64 = 0

  @Option(
    parsing: .unconditional,
    help:
      "The class of every row, by name or number, for a conditional model. (default: one after the other; of traverse and interpolate the example's, else the first)"
  )
  var label: String?

  @Option(
    parsing: .unconditional,
    help:
      "What means of counts add up to with --library-size observed, before inflation by zeros. (default: 10000)"
  )
  var total: Double?

  func validate() throws {
    if let total, !(Float(total) > 0 && Float(total).isFinite) {
      throw ValidationError("--total is \(total); it must be above 0")
    }
  }

  var options: Inference.Options {
    var options = Inference.Options()
    options.observation = draw ? .draw : .mean
    options.seed = seed
    if let total { options.total = Float(total) }
    return options
  }

  var values: [(name: String, value: String)] {
    [
      ("--draw", "\(draw)"), ("--values-only", "\(valuesOnly)"), ("--seed", "\(seed)"),
      ("--label", label ?? "default"),
      ("--total", total.map { "\($0)" } ?? "default"),
    ]
  }
}

/// One question to a model: opens it, and writes what it says.
struct Question {
  let command: String
  let options: AskingOptions
  let ranks: Agreement
  let saved: SavedModel
  let inference: Inference

  /// Opens the model, the same on every rank.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - command: The command's name, which results are called by.
  ///   - options: What was given.
  ///   - values: What else ranks must have alike.
  ///   - examplesPerThread: The most examples that a thread computes at a time; 0 for the usual number.
  ///   - ranks: The ranks.
  /// - Throws: Whatever the checkpoint's reader finds, on every rank.
  init(
    _ command: String, _ options: AskingOptions, _ values: [(name: String, value: String)],
    examplesPerThread: (SavedModel) -> Int = { _ in 0 }, on ranks: Agreement
  ) throws {
    self.command = command
    self.options = options
    self.ranks = ranks
    try ranks.requireEqual(options.values + values)
    saved = try SavedModel.openAlike(options.run, ranks)
    let threads = try options.threads ?? Processors.defaultThreadCount(ranks.communicator)
    let model = try LoadedModel(
      saved, threadCount: threads, examplesPerThread: examplesPerThread(saved), agreement: ranks)
    let line = ProgressLine(command)
    inference = Inference(model) { line.show($0, of: $1) }
  }

  var latent: Int { saved.configuration.latent }

  /// The extents of x in results: those of an image where they are known.
  var exampleShape: [Int] {
    guard let extents = inference.model.imageExtents else { return [saved.inputs] }
    return extents.channels == 1
      ? [extents.height, extents.width] : [extents.height, extents.width, extents.channels]
  }

  /// An image's extents, where x is one that can be shown.
  var tile: Picture.Tile? {
    inference.model.imageExtents.flatMap {
      Picture.Tile(height: $0.height, width: $0.width, channels: $0.channels)
    }
  }

  /// The number of a class that is given by its name or number; nil where none is given.
  ///
  /// - Throws: ``UsageError`` unless the model knows it.
  func number(ofLabel label: String?) throws -> UInt32? {
    let classes = saved.configuration.classes ?? 0
    let names = saved.names.labels
    return try ranks.onEveryRank {
      guard let label else { return nil }
      if classes == 0 {
        throw UsageError(
          description: "--label \(label) is for conditional models, and this one knows no classes")
      }
      if let number = names.firstIndex(of: label) { return UInt32(number) }
      guard let number = UInt32(label), number < classes else {
        throw UsageError(
          description: "--label is '\(label)'; the model knows classes from 0 to \(classes - 1)"
            + (names.isEmpty ? "" : ": \(names.joined(separator: ", "))"))
      }
      return number
    }
  }

  /// A column of examples, with the names that they have in tables.
  ///
  /// - Parameters:
  ///   - name: What the array is called.
  ///   - isAlone: Whether no other column is of examples, so that names need nothing before them.
  /// - Returns: The column.
  func exampleColumn(_ name: String, isAlone: Bool = false) -> ResultColumn {
    var column = ResultColumn(name, .float32, shape: exampleShape)
    column.numberNames = saved.names.columns.map { isAlone ? $0 : "\(name)_\($0)" }
    let kinds = saved.configuration.tableKinds
    // A mean of truth values is a probability, and no class.
    column.classes = saved.names.classes.filter { place, _ in
      if case .categorical? = kinds.indices.contains(place) ? kinds[place] : nil {
        true
      } else {
        false
      }
    }
    return column
  }

  /// The columns of classes by their numbers and, where they have some, names.
  static func labelColumns(_ names: [String]) -> [ResultColumn] {
    [ResultColumn("label", .int64)]
      + (names.isEmpty ? [] : [ResultColumn("label_name", textsAmong: names)])
  }

  /// The values of such columns.
  static func labelValues(_ labels: [UInt32], _ names: [String]) -> [ResultValues] {
    [.int64(labels.map { Int64($0) })]
      + (names.isEmpty
        ? []
        : [.text(labels.map { DataNames.name(Int($0), of: names) })])
  }

  /// The paths to write, results first.
  ///
  /// - Parameter hasPicture: Whether there is a picture to be had.
  /// - Returns: Those of results, and those of pictures.
  /// - Throws: ``UsageError`` if a picture is asked for that cannot be had.
  func paths(hasPicture: Bool) throws -> (results: [String], pictures: [String]) {
    let pictures = options.output.filter { options.isPicture($0) }
    if !pictures.isEmpty && ["encode", "score"].contains(command) {
      throw UsageError(
        description:
          "There is no picture for '\(pictures[0])': \(command) writes numbers, as .npz, .npy, .csv or .tsv"
      )
    }
    if !pictures.isEmpty && !hasPicture {
      throw UsageError(
        description: "There is no picture for '\(pictures[0])': "
          + (inference.model.imageExtents.map {
            "examples of \($0) are neither grey nor red, green and blue"
          } ?? "the examples are no images, or the run does not know their extents"))
    }
    if options.output.isEmpty {
      return (
        ["\(saved.runPath)/\(command).npz"], hasPicture ? ["\(saved.runPath)/\(command).png"] : []
      )
    }
    return (options.output.filter { !options.isPicture($0) }, pictures)
  }

  /// What was written, for `--json`.
  struct Report: Encodable {
    let checkpoint: String
    let step: Int
    let rows: Int
    let files: [String]
  }

  /// Says what was written.
  func tell(rows: Int, _ what: String, files: [String]) throws {
    if !ranks.communicator.isRoot { return }
    if options.json {
      say(
        try jsonText(
          Report(
            checkpoint: saved.file.path, step: saved.progress.step, rows: rows, files: files)))
    } else {
      say("\(saved.file.path), step \(grouped(saved.progress.step)): \(what)")
      for file in files { say("  \(file)") }
    }
  }
}
