import ArgumentParser
import Collectives
import DataLoading
import Foundation
import Inference
import Reporting
import TensorKernels
import Training
import VAEObjective

struct SampleCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample",
    abstract: "Draw latents from p(z), and write what p(x|z) says of them.",
    discussion: """
      Columns: z, x in the units that the model sees (after the scale), and label for a conditional model. \
      The picture shows the first rows. Runs under mpirun too, with the same bytes.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var observation: ObservationOptions

  @Option(parsing: .unconditional, help: "How many.")
  var count: Int = 100

  @Option(
    parsing: .unconditional,
    help: "What deviations from the mean of p(z) are multiplied by.")
  var temperature: Double = 1

  func validate() throws {
    if count < 1 || count > Int(UInt32.max) {
      throw ValidationError("--count is \(count); it must be from 1 to \(UInt32.max)")
    }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature is \(temperature); it must be at least 0")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "sample", options,
      observation.values + [("--count", "\(count)"), ("--temperature", "\(temperature)")],
      on: ranks)
    try question.show(
      .prior(count: count, temperature: Float(temperature)), count: count, observation,
      what: "\(grouped(count)) draws of p(z)")
  }
}

struct DecodeCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Write what p(x|z) says of given latents.",
    discussion: """
      Columns as of sample. The latents' file may be what encode wrote as .npy. Runs under mpirun too, with the \
      same bytes.
      """)

  @OptionGroup var options: AskingOptions

  @Argument(help: "An NPY file of latents, a row each.")
  var latents: String

  @OptionGroup var observation: ObservationOptions

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "decode", options, observation.values + [("--latents", latents)], on: ranks)
    let (path, latent) = (latents, question.latent)
    let given = try ranks.onEveryRank {
      let array = try NumericArray(path: path)
      if array.width != latent {
        throw UsageError(
          description:
            "'\(path)' has \(array.width) numbers in a row, and the model has \(latent) latents"
        )
      }
      return try array.finiteValues()
    }
    try question.show(
      .given(given), count: given.count / latent, observation,
      what: "\(grouped(given.count / latent)) latents of '\(path)'")
  }
}

extension Question {
  /// Images of a picture at most.
  private static let mostTiles = 400

  /// Writes what p(x|z) says of latents, and shows it.
  ///
  /// - Parameters:
  ///   - source: The latents.
  ///   - count: How many.
  ///   - observation: Mean or draw, and what else there is to say.
  ///   - columns: Images in a row of the picture; nil for about as many as rows.
  ///   - usual: The classes of rows where none is given.
  ///   - what: What they are, for people.
  /// - Throws: What the model or the files meet.
  func show(
    _ source: Inference.LatentSource, count: Int, _ observation: ObservationOptions,
    columns: Int? = nil, labels usual: Inference.RowLabels = .inTurn, what: String
  ) throws {
    var asked = observation.options
    asked.labels = try number(ofLabel: observation.label).map { .all($0) } ?? usual
    if let total = observation.total, saved.configuration.librarySize == .none {
      try ranks.onEveryRank {
        throw UsageError(
          description:
            "--total \(total) is for models of --library-size observed, and this one is of"
            + " \(saved.configuration.librarySize.rawValue)")
      }
    }
    let paths = try ranks.onEveryRank { try self.paths(hasPicture: tile != nil) }
    let hasLabels = inference.label(ofRow: 0, asked) != nil
    let labelNames = saved.names.labels
    var files: ResultFiles?
    try ranks.onRoot {
      files = try ResultFiles(
        paths.results,
        // The first is what an .npy file holds.
        columns: [
          exampleColumn("x", isAlone: true)
        ]
          + (observation.valuesOnly
            ? []
            : [ResultColumn("z", .float32, shape: [latent])]
              + (hasLabels ? Self.labelColumns(labelNames) : [])),
        rowCount: count)
    }
    let shown = columns == nil ? min(count, Self.mostTiles) : count
    var tiles: [Float] = []
    try inference.observe(source, asked) { [asked] rows, latents, values in
      let labels = rows.compactMap { inference.label(ofRow: $0, asked) }
      try files?.append(
        [.float32(values)]
          + (observation.valuesOnly
            ? []
            : [.float32(latents)] + (hasLabels ? Self.labelValues(labels, labelNames) : [])))
      if rows.lowerBound < shown && !paths.pictures.isEmpty { tiles += values }
    }
    try ranks.onRoot {
      try files?.finish()
      try draw(Array(tiles.prefix(shown * saved.inputs)), columns: columns, to: paths.pictures)
    }
    let isOfOneClass =
      if case .all = asked.labels { hasLabels } else { false }
    let label = inference.label(ofRow: 0, asked).map {
      " of class \(DataNames.name(Int($0), of: labelNames))"
    }
    try tell(
      rows: count, what + (isOfOneClass ? label ?? "" : ""),
      files: paths.results + paths.pictures)
  }

  /// Draws images side by side.
  func draw(_ values: [Float], columns: Int?, to paths: [String]) throws {
    guard let tile, !paths.isEmpty else { return }
    let count = values.count / saved.inputs
    let usual = Int(Double(count).squareRoot().rounded(.up))
    let picture = Picture(
      values, tile: tile, columns: columns ?? usual,
      range: inference.model.shades ?? Self.range(of: values))
    for path in paths { try picture.write(to: path) }
  }

  private static func range(of values: [Float]) -> ClosedRange<Float> {
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max(), low < high else { return 0...1 }
    return low...high
  }
}

struct ReconstructCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "reconstruct",
    abstract: "Write examples beside what the decoder makes of their posterior mean.",
    discussion: """
      Columns: reconstruction, x, row (of the data file), label (where there are any). In the picture, rows of \
      examples alternate with rows of their reconstructions. Runs under mpirun too, with the same bytes.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var examples: ExampleOptions

  @Option(help: "Rows of the data file. (default: the first --count of the split)")
  var rows: Widths?

  @Option(parsing: .unconditional, help: "How many.")
  var count: Int = 40

  @Flag(help: "Draw x from p(x|z), rather than show its mean.")
  var draw = false

  @Option(parsing: .unconditional, help: "Where random numbers begin.")
  var seed: UInt64 = 0

  func validate() throws {
    if count < 1 { throw ValidationError("--count is \(count); it must be at least 1") }
  }

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "reconstruct", options,
      examples.values + [
        ("--rows", "\(rows?.values ?? [])"), ("--count", "\(count)"), ("--draw", "\(draw)"),
        ("--seed", "\(seed)"),
      ], on: ranks)
    let asked = try AskedExamples(examples, question)
    let (wanted, most) = (rows?.values, count)
    let chosen = try ranks.onEveryRank {
      try wanted.map { try asked.numbers(ofRows: $0) }
        ?? (0..<min(most, asked.count)).map { UInt32($0) }
    }
    let paths = try ranks.onEveryRank { try question.paths(hasPicture: question.tile != nil) }
    var files: ResultFiles?
    try ranks.onRoot {
      files = try ResultFiles(
        paths.results,
        columns: [
          question.exampleColumn("reconstruction"), question.exampleColumn("x"),
        ] + asked.columns, rowCount: chosen.count)
    }
    // Ten pairs in a row.
    let columns = min(10, chosen.count)
    let inputs = question.saved.inputs
    var pairs: [Float] = []
    try question.inference.reconstruct(
      asked.requested, chosen, draw ? .draw : .mean, seed: seed
    ) { rows, values, reconstructions in
      try files?.append(
        [.float32(reconstructions), .float32(values)]
          + asked.values(rows.map { Int(chosen[$0]) }))
      if !paths.pictures.isEmpty && rows.lowerBound < 200 {
        pairs += Self.interleave(values, reconstructions, columns * inputs)
      }
    }
    try ranks.onRoot {
      try files?.finish()
      try question.draw(pairs, columns: columns, to: paths.pictures)
    }
    try question.tell(
      rows: chosen.count,
      "\(grouped(chosen.count)) examples (\(asked.requested.splitName)) and their reconstructions",
      files: paths.results + paths.pictures)
  }

  // A row of the one, a row of the other.
  private static func interleave(_ first: [Float], _ second: [Float], _ size: Int) -> [Float] {
    stride(from: 0, to: first.count, by: size).flatMap { start -> [Float] in
      let range = start..<min(start + size, first.count)
      // The last row may be short; what is missing is no number, and black.
      let missing = [Float](repeating: .nan, count: size - range.count)
      return first[range] + missing + second[range] + missing
    }
  }
}
