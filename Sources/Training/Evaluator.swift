public import Collectives
public import DataLoading
public import TensorKernels
public import VAEObjective

/// Scores a set of examples on all ranks; the figure does not depend on how many there are.
///
/// The examples are cut into groups of ``groupSize``. Each rank scores some groups, each group by
/// one thread; all ranks then add the groups' sums in the order of the groups.
public final class Evaluator {
  /// Examples of a group.
  public static let groupSize = 100

  private let communicator: any Communicator
  private let reader: BatchReader
  private let noise: RandomStream
  private let groupsPerCall: Int

  /// - Parameters:
  ///   - examples: The examples.
  ///   - configuration: The run's settings: seed and binarization.
  ///   - communicator: The ranks.
  ///   - team: The replica's threads, each of which scores a group at a time.
  public init(
    _ examples: Examples, configuration: TrainingConfiguration, communicator: any Communicator,
    team: WorkerTeam
  ) {
    self.communicator = communicator
    groupsPerCall = team.count
    reader = BatchReader(
      examples, binarization: configuration.binarize, seed: configuration.seed,
      capacity: groupsPerCall * Self.groupSize, team: team)
    noise = Self.noise(examples, seed: configuration.seed)
  }

  /// One draw an example for each split, the same at every evaluation of a run.
  public static func noise(_ examples: Examples, seed: UInt64) -> RandomStream {
    RandomStream(
      seed: seed, purpose: .evaluationNoise, time: examples.split == .train ? 0 : 1)
  }

  private var exampleCount: Int { reader.examples.count }

  /// The ELBO of all examples, on every rank.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - replica: The model.
  ///   - stopReason: Asked now and then whether this rank has a reason to stop.
  /// - Returns: The ELBO, or on all ranks the reason where one of them had one.
  /// - Throws: A `KernelError` or a `CollectiveError`.
  func elbo(
    _ replica: any Replica, unless stopReason: () -> StopReason?
  ) throws -> Result<ELBO, Interruption> {
    var sums: [Double] = []
    var reason: StopReason?
    try forEachCall { batch, groups in
      reason = reason ?? stopReason()
      if reason != nil { return }
      for elbo in try replica.score(batch, groups: groups, noise: noise) {
        sums += [elbo.reconstructionLogLikelihoodSum, elbo.klDivergenceSum, elbo.squareSum]
      }
    }
    var total = ELBO(exampleCount: exampleCount)
    let own = reason.map { [$0 == .signal ? 1 : 2] } ?? sums.withUnsafeBytes { Array($0) }
    let parts = try communicator.allGather(own)
    if let reason = parts.first(where: { $0.count == 1 }) {
      return .failure(Interruption(reason: reason == [1] ? .signal : .walltime))
    }
    for part in parts {
      let values = Self.doubles(part)
      for index in stride(from: 0, to: values.count, by: 3) {
        total.reconstructionLogLikelihoodSum += values[index]
        total.klDivergenceSum += values[index + 1]
        total.squareSum += values[index + 2]
      }
    }
    return .success(total)
  }

  /// Why there is no figure.
  struct Interruption: Error {
    let reason: StopReason
  }

  /// The ELBO of all examples, on every rank.
  ///
  /// Collective.
  ///
  /// - Throws: A `KernelError` or a `CollectiveError`.
  public func elbo(_ replica: any Replica) throws -> ELBO {
    try elbo(replica, unless: { nil }).get()
  }

  /// Where the ELBO of this rank's examples stops being a number; nil where it is one.
  ///
  /// Not collective.
  ///
  /// - Throws: A `KernelError`.
  func locateNonFinite(_ replica: any Replica) throws -> String? {
    var found: String?
    try forEachCall { batch, groups in
      if found != nil { return }
      if try replica.score(batch, groups: groups, noise: noise).allSatisfy(\.isFinite) { return }
      found = try replica.locateNonFinite(batch, noise: noise).text(row: reader.examples.row)
    }
    return found
  }

  /// What the posteriors of all examples are like, on every rank.
  ///
  /// Collective.
  ///
  /// - Throws: A `KernelError` or a `CollectiveError`.
  public func posterior(_ replica: any Replica, latent: Int) throws -> PosteriorSums {
    var groupSums: [Double] = []
    try forEachCall { batch, groups in
      for sums in try replica.summarizePosteriors(batch, groups: groups) {
        groupSums += sums.encoded
      }
    }
    var total = PosteriorSums(latent: latent)
    let size = total.encoded.count
    for part in try communicator.allGather(groupSums.withUnsafeBytes { Array($0) }) {
      let values = Self.doubles(part)
      for start in stride(from: 0, to: values.count, by: size) {
        total += PosteriorSums(encoded: Array(values[start..<start + size]))
      }
    }
    return total
  }

  /// The importance-weighted bound of each example, in order, on every rank.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - replica: The model.
  ///   - sampling: How many draws, and whether they are led.
  ///   - progress: Told how many of this rank's examples are done.
  /// - Returns: A bound and its effective sample size for each example, nats.
  /// - Throws: A `KernelError` or a `CollectiveError`.
  public func importanceWeightedBounds(
    _ replica: any Replica, sampling: ImportanceSampling,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> [ImportanceEstimate] {
    var figures: [Double] = []
    // A few examples with many draws each keep all ranks busy.
    let own = EpochSampler.slice(
      of: 0..<exampleCount, rank: communicator.rank, worldSize: communicator.worldSize)
    let size = groupsPerCall * Self.groupSize
    for first in stride(from: own.lowerBound, to: own.upperBound, by: size) {
      let range = first..<min(first + size, own.upperBound)
      let estimates = try withBatch(range) {
        try replica.importanceWeightedBounds($0, sampling: sampling, noise: noise)
      }
      for estimate in estimates { figures += [estimate.bound, estimate.effectiveSampleSize] }
      progress(range.upperBound - own.lowerBound, own.count)
    }
    return try communicator.allGather(figures.withUnsafeBytes { Array($0) }).flatMap { part in
      let values = Self.doubles(part)
      return stride(from: 0, to: values.count, by: 2).map {
        ImportanceEstimate(bound: values[$0], effectiveSampleSize: values[$0 + 1])
      }
    }
  }

  // Hands over this rank's examples, as many groups at a time as there are threads.
  private func forEachCall(_ body: (ExampleBatch, [Range<Int>]) throws -> Void) throws {
    let groupCount = (exampleCount + Self.groupSize - 1) / Self.groupSize
    let own = EpochSampler.slice(
      of: 0..<groupCount, rank: communicator.rank, worldSize: communicator.worldSize)
    for first in stride(from: own.lowerBound, to: own.upperBound, by: groupsPerCall) {
      let groups = first..<min(first + groupsPerCall, own.upperBound)
      let start = groups.lowerBound * Self.groupSize
      let end = min(groups.upperBound * Self.groupSize, exampleCount)
      let ranges = groups.map { group in
        let lower = group * Self.groupSize - start
        return lower..<min(lower + Self.groupSize, end - start)
      }
      try withBatch(start..<end) { try body($0, ranges) }
    }
  }

  private func withBatch<Result>(
    _ range: Range<Int>, _ body: (ExampleBatch) throws -> Result
  ) rethrows -> Result {
    RankActivity.tick()
    let indices = (UInt32(range.lowerBound)..<UInt32(range.upperBound)).map { $0 }
    return try indices.withUnsafeBufferPointer { try body(reader.batch($0, epoch: nil)) }
  }

  private static func doubles(_ bytes: [UInt8]) -> [Double] {
    bytes.withUnsafeBytes { raw in
      (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }
}
