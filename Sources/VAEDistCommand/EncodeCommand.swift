import ArgumentParser
import Collectives
import DataLoading
import Foundation
import Inference
import Reporting
import Training

struct EncodeCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "encode",
    abstract: "Write the posterior mean and standard deviation of each example.",
    discussion: """
      Columns: row (of the data file), label and label_name (where there are any), mean and standard_deviation of \
      q(z|x). Runs under mpirun too, with the same bytes.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var examples: ExampleOptions

  mutating func run(on ranks: Agreement) throws {
    let question = try Question("encode", options, examples.values, on: ranks)
    let asked = try AskedExamples(examples, question)
    let paths = try ranks.onEveryRank { try question.paths(hasPicture: false) }
    var files: ResultFiles?
    try ranks.onRoot {
      let latents = [question.latent]
      files = try ResultFiles(
        paths.results,
        columns: asked.columns + [
          ResultColumn("mean", .float32, shape: latents),
          ResultColumn("standard_deviation", .float32, shape: latents),
        ], rowCount: asked.count)
    }
    try question.inference.encode(asked.requested) {
      try files?.append(asked.values($0.rows) + [.float32($0.means), .float32($0.deviations)])
    }
    try ranks.onRoot { try files?.finish() }
    try question.tell(
      rows: asked.count,
      "\(grouped(asked.count)) examples (\(asked.requested.splitName)), \(question.latent) latents",
      files: paths.results)
  }
}

/// Examples that a model is asked about, and what their rows are called.
struct AskedExamples {
  let requested: RequestedExamples
  let labels: Labels?

  /// Opens them.
  ///
  /// Collective.
  init(_ options: ExampleOptions, _ question: Question) throws {
    let requested = try options.request.open(for: question.saved, question.ranks)
    try self.init(
      requested, options.split, labels: options.labels, known: question.saved, question.ranks)
  }

  /// Takes some that are open, and looks for their labels.
  ///
  /// Collective.
  init(
    _ requested: RequestedExamples, _ split: Split, labels given: String?, known saved: SavedModel,
    _ ranks: Agreement
  ) throws {
    self.requested = requested
    let (array, own) = (requested.examples.array, requested.configuration)
    // Examples that were held out have their labels among those of the training examples.
    let isOfTraining = split == .train || requested.examples.rows != nil
    let path = given ?? (isOfTraining ? own.labels : own.testLabels)
    // What a conditional model knows by number must not be renumbered.
    let isOther = own.data != saved.configuration.data || given != nil
    let isKnown = saved.configuration.condition == .labels
    let known = isKnown && (isOther || !saved.names.labels.isEmpty) ? saved.names.labels : nil
    labels = try ranks.onEveryRank {
      try DataSource.labelsIfAny(
        of: array, beside: own.data, split: split, given: path, known: known)
    }
  }

  var count: Int { requested.examples.count }

  /// The numbers in the set of rows of the data file.
  ///
  /// - Throws: ``UsageError`` if one is not among the examples.
  func numbers(ofRows rows: [Int]) throws -> [UInt32] {
    let own = (0..<UInt32(count)).map { requested.examples.row(of: $0) }
    return try rows.map { row in
      guard let number = own.firstIndex(where: { Int($0) == row }) else {
        throw UsageError(
          description: "Row \(row) is not among the \(grouped(count)) examples"
            + " (\(requested.splitName)), whose rows are \(own.prefix(3).map(String.init).joined(separator: ", "))"
            + " … \(own.last.map(String.init) ?? ""); --split and --data choose others")
      }
      return UInt32(number)
    }
  }

  /// The classes of rows of the data file; 0 where there are no labels.
  ///
  /// - Throws: ``UsageError`` if one is not among the examples.
  func labels(ofRows rows: [Int]) throws -> [UInt32] {
    try numbers(ofRows: rows).map { label(Int($0)) ?? 0 }
  }

  /// The columns that say which example a row is.
  var columns: [ResultColumn] {
    [ResultColumn("row", .int64)] + (labels.map { Question.labelColumns($0.names) } ?? [])
  }

  /// Their values, for examples by their number in the set.
  func values(_ examples: some Sequence<Int>) -> [ResultValues] {
    let rows = examples.map { requested.examples.row(of: UInt32($0)) }
    let own = labels.map { labels in
      Question.labelValues(rows.map { labels.values[Int($0)] }, labels.names)
    }
    return [.int64(rows.map { Int64($0) })] + (own ?? [])
  }

  /// The label of an example, by its number in the set.
  func label(_ example: Int) -> UInt32? {
    labels.map { $0.values[Int(requested.examples.row(of: UInt32(example)))] }
  }
}
