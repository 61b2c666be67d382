internal import Collectives
internal import DataLoading
internal import TensorKernels
public import Training
public import VAEObjective

/// Asks a trained model about examples and latents, on all ranks; answers come to the root in order.
///
/// Nothing here depends on how many ranks or threads there are. Every method is collective and throws a
/// `SharedFailure` for what all ranks know of, a `CollectiveError` for what one rank met.
public struct Inference {
  /// The model.
  public let model: LoadedModel
  private let rows: RankedRows
  private let latent: Int
  private let inputs: Int

  /// Gets a model ready to be asked.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - progress: Told now and then, on the root, how many rows of how many are done.
  public init(_ model: LoadedModel, progress: @escaping (Int, Int) -> Void = { _, _ in }) {
    self.model = model
    rows = RankedRows(model: model, progress: progress)
    latent = model.saved.configuration.latent
    inputs = model.saved.inputs
  }

  private var seed: UInt64 { model.saved.configuration.seed }
  private var classes: Int { model.saved.configuration.classes ?? 0 }

  // MARK: Of examples

  /// What q(z|x) is for some rows.
  public struct Encoding: Sendable {
    /// The examples, by their number in the set, or among the chosen ones.
    public let rows: Range<Int>
    /// μ, `[rows, latent]`.
    public let means: [Float]
    /// σ, `[rows, latent]`.
    public let deviations: [Float]
  }

  /// The posterior of each example, or of some.
  ///
  /// - Parameters:
  ///   - requested: The examples.
  ///   - chosen: Which of them, by their number in the set; nil for all.
  ///   - receive: Takes some rows at a time.
  /// - Throws: `SharedFailure` for what all ranks know of, `CollectiveError` for what one met.
  public func encode(
    _ requested: RequestedExamples, _ chosen: [UInt32]? = nil, receive: (Encoding) throws -> Void
  ) throws {
    let reader = self.reader(requested)
    let count = chosen?.count ?? requested.examples.count
    try rows.forEach(of: count, width: 2 * latent) { rows, groups in
      let posteriors = matrix(rows.count, 2 * latent)
      let indices = chosen.map { Array($0[rows]) } ?? rows.map { UInt32($0) }
      try withBatch(indices, reader) {
        try model.replica.encode($0, groups: groups, into: posteriors)
      }
      return Array(posteriors.elements)
    } receive: { rows, elements in
      var means: [Float] = []
      var deviations: [Float] = []
      for row in 0..<rows.count {
        let own = elements[2 * latent * row..<2 * latent * (row + 1)]
        means += own.prefix(latent)
        deviations += own.suffix(latent).map { naturalExponential($0 / 2) }
      }
      try receive(Encoding(rows: rows, means: means, deviations: deviations))
    }
  }

  /// What an example's score is.
  public struct Score: Sendable, Equatable {
    /// E_q[log p(x|z)], by as many draws as in training, nats.
    public let reconstructionLogLikelihood: Double
    /// KL(q(z|x) ‖ p(z)), nats; an estimate where the prior is learned.
    public let klDivergence: Double
    /// log (1/K) Σ p(x, z) / q(z|x), nats; nil if nobody asked.
    public let bound: ImportanceEstimate?
    /// log p(x|z) − KL, nats.
    public var elbo: Double { reconstructionLogLikelihood - klDivergence }
  }

  /// The ELBO of each example, and its importance-weighted bound.
  ///
  /// The mean over the examples is what `evaluate` prints, but for the order of additions.
  public func score(
    _ requested: RequestedExamples, sampling: ImportanceSampling?,
    receive: (_ rows: Range<Int>, _ scores: [Score]) throws -> Void
  ) throws {
    let reader = self.reader(requested)
    let noise = Evaluator.noise(requested.examples, seed: requested.configuration.seed)
    let width = sampling == nil ? 2 : 4
    try rows.forEach(of: requested.examples.count, width: width) { rows, groups -> [Double] in
      var figures = [Double](repeating: 0, count: rows.count * width)
      try withBatch(rows.map { UInt32($0) }, reader) { batch in
        let scores = try model.replica.scoreExamples(batch, groups: groups, noise: noise)
        let bounds = try sampling.map {
          try model.replica.importanceWeightedBounds(batch, sampling: $0, noise: noise)
        }
        for (row, score) in scores.enumerated() {
          figures[row * width] = score.reconstructionLogLikelihood
          figures[row * width + 1] = score.klDivergence
          if let bound = bounds?[row] {
            figures[row * width + 2] = bound.bound
            figures[row * width + 3] = bound.effectiveSampleSize
          }
        }
      }
      return figures
    } receive: { rows, figures in
      try receive(
        rows,
        (0..<rows.count).map { row in
          let own = figures[row * width..<(row + 1) * width].map { $0 }
          return Score(
            reconstructionLogLikelihood: own[0], klDivergence: own[1],
            bound: width == 2
              ? nil : ImportanceEstimate(bound: own[2], effectiveSampleSize: own[3]))
        })
    }
  }

  /// Each example and what the decoder makes of its posterior mean.
  ///
  /// - Parameters:
  ///   - requested: The examples.
  ///   - chosen: Which of them, by their number in the set.
  ///   - observation: Mean or draw.
  ///   - seed: What keys the noise of draws.
  ///   - receive: Takes values and reconstructions, each `[rows, inputs]`; rows count the chosen ones.
  /// - Throws: `SharedFailure` for what all ranks know of, `CollectiveError` for what one met.
  public func reconstruct(
    _ requested: RequestedExamples, _ chosen: [UInt32], _ observation: Observation, seed: UInt64,
    receive: (_ rows: Range<Int>, _ values: [Float], _ reconstructions: [Float]) throws -> Void
  ) throws {
    let reader = self.reader(requested)
    let usesTotals = model.saved.configuration.librarySize == .observed
    try rows.forEach(of: chosen.count, width: 2 * inputs) { rows, groups -> [Float] in
      let posteriors = matrix(rows.count, 2 * latent)
      let latents = matrix(rows.count, latent)
      let result = matrix(rows.count, inputs)
      var joined: [Float] = []
      try withBatch(Array(chosen[rows]), reader) { batch in
        let values = batch.values
        try model.replica.encode(batch, groups: groups, into: posteriors)
        latents.copy(posteriors.columns(0..<latent))
        let totals = usesTotals ? (0..<rows.count).map { values.row($0).reduce(0, +) } : []
        try model.replica.observe(
          latents, groups: groups,
          query: ObservationQuery(
            observation, rows: Array(batch.indices), seed: seed,
            labels: batch.labels.map { Array($0) } ?? [], totals: totals),
          into: result)
        for row in 0..<rows.count { joined += Array(values.row(row)) + Array(result.row(row)) }
      }
      return joined
    } receive: { rows, elements in
      var values: [Float] = []
      var reconstructions: [Float] = []
      for row in 0..<rows.count {
        let own = elements[2 * inputs * row..<2 * inputs * (row + 1)]
        values += own.prefix(inputs)
        reconstructions += own.suffix(inputs)
      }
      try receive(rows, values, reconstructions)
    }
  }

  /// The latents that tell most, by their KL divergence over the examples, the first one first.
  public func mostInformativeLatents(_ requested: RequestedExamples, count: Int) throws -> [Int] {
    let evaluator = Evaluator(
      requested.examples, configuration: requested.configuration,
      communicator: model.agreement.communicator, team: model.team)
    let divergences = try evaluator.posterior(model.replica, latent: latent).meanDivergences
    return Array(
      divergences.indices.sorted { divergences[$0] > divergences[$1] }.prefix(count))
  }

  // MARK: Of latents

  /// Where latents come from.
  public enum LatentSource: Sendable {
    /// From p(z), deviations multiplied by a temperature.
    case prior(count: Int, temperature: Float)
    /// As they are given, `[rows, latent]`.
    case given([Float])
  }

  /// Which classes a conditional model is told.
  public enum RowLabels: Sendable, Equatable {
    /// One after the other.
    case inTurn
    /// The same for every row.
    case all(UInt32)
    /// One for each row.
    case rows([UInt32])
  }

  /// What is asked of latents besides.
  public struct Options: Sendable {
    /// Mean or draw.
    public var observation = Observation.mean
    /// What keys the noise of draws.
    public var seed: UInt64 = 0
    /// The classes of rows, of a conditional model.
    public var labels = RowLabels.inTurn
    /// What means of counts add up to, where they are shares of a total.
    public var total: Float = 10_000

    /// The usual ones.
    public init() {}
  }

  /// The class of a row; nil where the model knows none.
  public func label(ofRow row: Int, _ options: Options) -> UInt32? {
    if classes == 0 { return nil }
    return switch options.labels {
    case .inTurn: UInt32(row % classes)
    case .all(let label): label
    case .rows(let labels): labels[row]
    }
  }

  /// What p(x|z) says of latents.
  ///
  /// - Parameters:
  ///   - source: The latents.
  ///   - options: What is asked besides.
  ///   - receive: Takes z, `[rows, latent]`, and x, `[rows, inputs]`.
  /// - Throws: `SharedFailure` for what all ranks know of, `CollectiveError` for what one met.
  public func observe(
    _ source: LatentSource, _ options: Options,
    receive: (_ rows: Range<Int>, _ latents: [Float], _ values: [Float]) throws -> Void
  ) throws {
    let count =
      switch source {
      case .prior(let count, _): count
      case .given(let values): values.count / latent
      }
    let usesTotals = model.saved.configuration.librarySize == .observed
    let width = latent + inputs
    try rows.forEach(of: count, width: width) { rows, groups -> [Float] in
      let latents = matrix(rows.count, latent)
      let values = matrix(rows.count, inputs)
      let numbers = rows.map { UInt32($0) }
      switch source {
      case .prior(_, let temperature):
        try numbers.withUnsafeBufferPointer {
          try model.replica.drawLatents(
            $0, seed: options.seed, temperature: temperature, into: latents)
        }
      case .given(let given):
        _ = latents.elements.update(
          fromContentsOf: given[rows.lowerBound * latent..<rows.upperBound * latent])
      }
      try model.replica.observe(
        latents, groups: groups,
        query: ObservationQuery(
          options.observation, rows: numbers, seed: options.seed,
          labels: rows.compactMap { label(ofRow: $0, options) },
          totals: usesTotals ? rows.map { _ in options.total } : []),
        into: values)
      var joined: [Float] = []
      joined.reserveCapacity(rows.count * width)
      for row in 0..<rows.count { joined += Array(latents.row(row)) + Array(values.row(row)) }
      return joined
    } receive: { rows, elements in
      var latents: [Float] = []
      var values: [Float] = []
      for row in 0..<rows.count {
        let own = elements[width * row..<width * (row + 1)]
        latents += own.prefix(latent)
        values += own.suffix(inputs)
      }
      try receive(rows, latents, values)
    }
  }

  // MARK: Reading

  private func reader(_ requested: RequestedExamples) -> BatchReader {
    BatchReader(
      requested.examples, binarization: requested.configuration.binarize,
      seed: requested.configuration.seed, capacity: model.team.count * Evaluator.groupSize,
      team: model.team)
  }

  private func withBatch(
    _ indices: [UInt32], _ reader: BatchReader, _ body: (ExampleBatch) throws -> Void
  ) throws {
    try indices.withUnsafeBufferPointer { indices in
      try body(
        ExampleBatch(
          indices: indices, values: reader.read(indices, epoch: nil),
          labels: classes > 0 ? reader.readLabels(indices) : nil))
    }
  }

  private func matrix(_ rows: Int, _ columns: Int) -> MatrixView {
    FloatBuffer(count: rows * columns).matrix(rows: rows, columns: columns)
  }
}
