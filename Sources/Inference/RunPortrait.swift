internal import Collectives
internal import DataLoading
public import Training
internal import VAEObjective

#if canImport(Glibc)
internal import Glibc
#endif

/// What a report shows of a trained model: its latents, and what it makes of them.
///
/// The root's says it; on other ranks the figures are empty.
public struct RunPortrait: Sendable {
  /// How many examples were asked about, evenly spread over the set; 0 where they cannot be read.
  public let exampleCount: Int
  /// Mean KL divergence of each latent, nats; nil where a learned prior ties them together.
  public let divergences: [Double]?
  /// Latents whose posterior mean has a variance above 0.01 over the examples.
  public let activeUnits: Int
  /// Posterior means of some examples, `[points, latent]`.
  public let means: [Float]
  /// The points' numbers in the set.
  public let points: [Int]
  /// Draws of p(z) as E[x|z], `[samples, inputs]`; empty where examples cannot be shown.
  public let samples: [Float]
  /// Some examples, `[pairs, inputs]`, and what the decoder makes of their posterior means.
  public let originals: [Float]
  /// `[pairs, inputs]`.
  public let reconstructions: [Float]
  /// Of two latents the manifold; otherwise one latent a row, from −3 to 3; `[tiles, inputs]`.
  public let paths: [Float]
  /// Images in a row of the paths.
  public let pathColumns: Int
  /// The latent of each row of the paths; empty for the manifold.
  public let pathLatents: [Int]

  /// What examples are.
  public enum Kind: Sendable, Equatable {
    /// Images.
    case image
    /// Values in a row that have neighbours.
    case series
    /// Columns that are different things.
    case table
    /// Nothing that a page could show.
    case other
  }

  private static let mostExamples = 10_000
  private static let mostPoints = 2_000

  /// Asks.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - inference: The model.
  ///   - requested: Examples of it; nil where they cannot be read.
  ///   - kind: What examples are, and so what is shown of them.
  /// - Throws: `SharedFailure` for what all ranks know of, `CollectiveError` for what one met.
  public init(
    _ inference: Inference, _ requested: RequestedExamples?, _ kind: Kind
  ) throws {
    let latent = inference.model.saved.configuration.latent
    let count = requested?.examples.count ?? 0
    let chosen = Self.spread(count, Self.mostExamples)
    exampleCount = chosen.count
    let shown = Self.spread(chosen.count, Self.mostPoints).map { Int($0) }
    points = shown.map { Int(chosen[$0]) }
    let isPoint = Set(shown)
    var pointMeans: [Float] = []
    var sums = [Double](repeating: 0, count: 3 * latent)  // of KL, μ and μ²
    func add(_ encoding: Inference.Encoding) {
      for row in encoding.rows {
        let own =
          (row - encoding.rows.lowerBound) * latent..<(row - encoding.rows.lowerBound + 1)
          * latent
        for (index, place) in own.enumerated() {
          let (mean, deviation) = (
            Double(encoding.means[place]), Double(encoding.deviations[place])
          )
          sums[index] +=
            0.5 * (mean * mean + deviation * deviation - 1) - log(max(deviation, 1e-30))
          sums[latent + index] += mean
          sums[2 * latent + index] += mean * mean
        }
        if isPoint.contains(row) { pointMeans += encoding.means[own] }
      }
    }
    if let requested { try inference.encode(requested, chosen, receive: add) }
    means = pointMeans
    let total = Double(max(chosen.count, 1))
    let hasStandardPrior = inference.model.saved.configuration.prior == .standard
    let divergence = sums.prefix(latent).map { $0 / total }
    divergences = hasStandardPrior && !chosen.isEmpty ? divergence : nil
    activeUnits = (0..<latent).count {
      let mean = sums[latent + $0] / total
      return sums[2 * latent + $0] / total - mean * mean > 0.01
    }
    var options = Inference.Options()
    options.observation = kind == .table ? .draw : .mean
    func observed(_ source: Inference.LatentSource) throws -> [Float] {
      var all: [Float] = []
      try inference.observe(source, options) { all += $2 }
      return all
    }
    // Of a conditional model of a table, draws of the classes that the examples beside them have.
    if kind == .table, let examples = requested?.examples, examples.hasLabels {
      let shown = Self.spread(count, Self.mostPoints)
      var labels = [UInt32](repeating: 0, count: shown.count)
      shown.withUnsafeBufferPointer { shown in
        labels.withUnsafeMutableBufferPointer { examples.readLabels(shown, into: $0) }
      }
      options.labels = .rows((0..<Self.mostPoints).map { labels[$0 % labels.count] })
    }
    samples =
      kind == .other
      ? [] : try observed(.prior(count: kind == .table ? Self.mostPoints : 100, temperature: 1))
    var (values, rebuilt): ([Float], [Float]) = ([], [])
    if let requested, kind != .other {
      let pairs = Self.spread(count, kind == .table ? Self.mostPoints : 50)
      try inference.reconstruct(requested, pairs, .mean, seed: 0) {
        values += $1
        rebuilt += $2
      }
    }
    (originals, reconstructions) = (values, rebuilt)
    if kind != .image {
      (paths, pathColumns, pathLatents) = ([], 1, [])
      return
    }
    // Of a conditional model, its first class.
    options.labels = .all(0)
    if latent == 2 {
      pathColumns = 20
      pathLatents = []
      paths = try observed(.given(LatentPaths.manifold(size: 20)))
    } else {
      pathColumns = 11
      // The root alone has the sums.
      let order = divergence.indices.sorted { divergence[$0] > divergence[$1] }.prefix(10)
      let text = try inference.model.agreement.communicator.broadcast(
        order.map(String.init).joined(separator: ","))
      pathLatents = text.split(separator: ",").compactMap { Int($0) }
      paths = try observed(
        .given(
          LatentPaths.traverse(
            [Float](repeating: 0, count: latent), latents: pathLatents, range: -3...3, count: 11)))
    }
  }

  // Some of the first `count` numbers, at equal distances.
  private static func spread(_ count: Int, _ most: Int) -> [UInt32] {
    let kept = min(count, most)
    return (0..<kept).map { UInt32($0 * count / kept) }
  }
}
