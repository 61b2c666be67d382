import ArgumentParser
import Collectives
import DataLoading
import Foundation
import Inference
import Training

struct TraverseCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "traverse",
    abstract: "Move one latent at a time, and write what p(x|z) says on the way.",
    discussion: """
      A row of the picture, and --steps rows of the arrays, for each latent. Columns as of sample. The others stay \
      at the mean of N(0, I), or where an example is; so does the class of a conditional model.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var examples: ExampleOptions
  @OptionGroup var observation: ObservationOptions

  @Option(
    help: "Which latents, numbered from 0. (default: the ten that tell most about the examples)")
  var latents: Widths?

  @Option(
    parsing: .unconditional,
    help: "The row of the data file at whose posterior mean the others stay.")
  var row: Int?

  @Option(parsing: .unconditional, help: "Steps of each latent.")
  var steps: Int = 11

  @Option(parsing: .unconditional, help: "From minus to plus this.")
  var reach: Double = 3

  func validate() throws {
    if steps < 2 || steps > 1000 {
      throw ValidationError("--steps is \(steps); it must be from 2 to 1000")
    }
    if !(Float(reach) > 0 && Float(reach).isFinite) {
      throw ValidationError("--reach is \(reach); it must be above 0")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "traverse", options,
      examples.values + observation.values + [
        ("--latents", "\(latents?.values ?? [])"), ("--row", row.map { "\($0)" } ?? "none"),
        ("--steps", "\(steps)"), ("--reach", "\(reach)"),
      ], on: ranks)
    let (latent, given) = (question.latent, latents?.values)
    try ranks.onEveryRank {
      guard let wrong = given?.first(where: { $0 < 0 || $0 >= latent }) else { return }
      throw UsageError(
        description:
          "--latents names latent \(wrong); the model has latents from 0 to \(latent - 1)")
    }
    let asked = given == nil || row != nil ? try AskedExamples(examples, question) : nil
    let chosen =
      try given
      ?? asked.map { try question.inference.mostInformativeLatents($0.requested, count: 10) } ?? []
    let origin =
      try asked.flatMap { asked in
        try row.map { try question.posteriorMeans(ofRows: [$0], asked) }
      } ?? [Float](repeating: 0, count: latent)
    try question.show(
      .given(
        LatentPaths.traverse(
          origin, latents: chosen, range: Float(-reach)...Float(reach), count: steps)),
      count: chosen.count * steps, observation, columns: steps,
      labels: .all(try row.flatMap { row in try asked?.labels(ofRows: [row])[0] } ?? 0),
      what: "latents \(chosen.map(String.init).joined(separator: ", ")) from \(-reach) to \(reach)")
  }
}

struct InterpolateCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "interpolate",
    abstract:
      "Go from one example's posterior mean to another's, and write what p(x|z) says on the way.",
    discussion: """
      A row of the picture, and --steps rows of the arrays, for each pair of neighbours in --rows. Columns as of sample. \
      A conditional model is told the class of the first of the two.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var examples: ExampleOptions
  @OptionGroup var observation: ObservationOptions

  @Option(
    help: "Rows of the data file to go through, two or more. (default: the first six of the split)")
  var rows: Widths?

  @Option(parsing: .unconditional, help: "Steps from one to the next, both included.")
  var steps: Int = 11

  @Flag(help: "Along the great circle, rather than straight.")
  var spherical = false

  func validate() throws {
    if steps < 2 || steps > 1000 {
      throw ValidationError("--steps is \(steps); it must be from 2 to 1000")
    }
    if let rows, rows.values.count < 2 {
      throw ValidationError("--rows names \(rows.values.count); a way has two ends at least")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "interpolate", options,
      examples.values + observation.values + [
        ("--rows", "\(rows?.values ?? [])"), ("--steps", "\(steps)"),
        ("--spherical", "\(spherical)"),
      ], on: ranks)
    let asked = try AskedExamples(examples, question)
    let ends =
      rows?.values
      ?? (0..<UInt32(min(6, asked.count))).map { Int(asked.requested.examples.row(of: $0)) }
    let means = try question.posteriorMeans(ofRows: ends, asked)
    let latent = question.latent
    func end(_ index: Int) -> [Float] { Array(means[index * latent..<(index + 1) * latent]) }
    let latents = (0..<max(ends.count - 1, 0)).flatMap {
      LatentPaths.interpolate(
        from: end($0), to: end($0 + 1), count: steps, isSpherical: spherical)
    }
    let labels = try asked.labels(ofRows: ends).dropLast().flatMap {
      Array(repeating: $0, count: steps)
    }
    try question.show(
      .given(latents), count: latents.count / latent, observation, columns: steps,
      labels: .rows(labels), what: "through rows \(ends.map(String.init).joined(separator: ", "))")
  }
}

struct ManifoldCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "manifold",
    abstract:
      "Write what p(x|z) says all over a plane of latents (Kingma & Welling 2014, figure 4).",
    discussion: """
      The unit square in equal steps, through the Gaussian inverse distribution function: for models of two \
      latents. The first rises from left to right, the second from bottom to top. Columns as of sample. Of a \
      conditional model it is that of one class, the first or --label.
      """)

  @OptionGroup var options: AskingOptions
  @OptionGroup var observation: ObservationOptions

  @Option(parsing: .unconditional, help: "Steps along each axis.")
  var size: Int = 20

  func validate() throws {
    if size < 2 || size > 200 {
      throw ValidationError("--size is \(size); it must be from 2 to 200")
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let question = try Question(
      "manifold", options, observation.values + [("--size", "\(size)")], on: ranks)
    let latent = question.latent
    try ranks.onEveryRank {
      if latent == 2 { return }
      throw UsageError(
        description:
          "The model has \(latent) latent\(latent == 1 ? "" : "s"), and a manifold two; traverse shows them one at a time"
      )
    }
    try question.show(
      .given(LatentPaths.manifold(size: size)), count: size * size, observation, columns: size,
      labels: .all(0),
      what: "\(size) by \(size) points of the plane")
  }
}

extension Question {
  /// The posterior means of some rows of the data file, on every rank.
  ///
  /// Collective.
  ///
  /// - Returns: `[rows, latent]`.
  func posteriorMeans(ofRows rows: [Int], _ asked: AskedExamples) throws -> [Float] {
    let numbers = try ranks.onEveryRank { try asked.numbers(ofRows: rows) }
    var means: [Float] = []
    try inference.encode(asked.requested, numbers) { means += $0.means }
    let bytes = try ranks.communicator.allGather(
      ranks.communicator.isRoot ? means.withUnsafeBytes { Array($0) } : [])[0]
    return bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }
}
