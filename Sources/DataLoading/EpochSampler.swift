internal import TensorKernels

/// Which examples a rank sees, and when: a function of seed, epoch, step, rank and world size.
///
/// An epoch is a permutation of all examples, cut into global batches; the last may be short. Each
/// global batch is cut into one slice a rank, in order of rank, as equal as can be. So the examples
/// of a step are the same for every world size, and each example is seen once an epoch.
public struct EpochSampler: Sendable {
  /// Examples of an epoch.
  public let exampleCount: Int
  /// Examples of a step, all ranks together; the last step of an epoch may have fewer.
  public let globalBatchSize: Int
  /// Examples that stay together on one rank: slices begin at multiples of it.
  public let microBatchSize: Int
  private let seed: UInt64

  /// - Parameters:
  ///   - exampleCount: Examples of an epoch.
  ///   - globalBatchSize: Examples of a step, all ranks together.
  ///   - microBatchSize: Examples that stay together on one rank.
  ///   - seed: The run's seed.
  public init(exampleCount: Int, globalBatchSize: Int, microBatchSize: Int = 1, seed: UInt64) {
    precondition(exampleCount > 0 && globalBatchSize > 0 && microBatchSize > 0)
    self.microBatchSize = microBatchSize
    self.exampleCount = exampleCount
    self.globalBatchSize = globalBatchSize
    self.seed = seed
  }

  /// Steps of an epoch.
  public var stepsPerEpoch: Int { (exampleCount + globalBatchSize - 1) / globalBatchSize }

  /// The order in which the examples of an epoch are seen; the same on every rank.
  ///
  /// - Complexity: O(`exampleCount`), once an epoch.
  public func order(ofEpoch epoch: Int) -> [UInt32] {
    RandomStream(seed: seed, purpose: .shuffle, time: UInt32(truncatingIfNeeded: epoch))
      .permutation(of: exampleCount)
  }

  /// The positions within an epoch's order that all ranks together see at a step of the epoch.
  public func globalBatch(step: Int) -> Range<Int> {
    let start = step * globalBatchSize
    return start..<min(start + globalBatchSize, exampleCount)
  }

  /// The positions that one rank sees; may be empty.
  public func batch(step: Int, rank: Int, worldSize: Int) -> Range<Int> {
    let batch = globalBatch(step: step)
    let pieces = Self.slice(
      of: 0..<(batch.count + microBatchSize - 1) / microBatchSize, rank: rank, worldSize: worldSize)
    func position(_ piece: Int) -> Int {
      min(batch.lowerBound + piece * microBatchSize, batch.upperBound)
    }
    return position(pieces.lowerBound)..<position(pieces.upperBound)
  }

  /// A rank's part of a range: contiguous, and at most one longer than any other rank's.
  public static func slice(of range: Range<Int>, rank: Int, worldSize: Int) -> Range<Int> {
    precondition(rank >= 0 && rank < worldSize, "Rank \(rank) is outside 0..<\(worldSize)")
    return range.lowerBound + range.count * rank / worldSize..<range.lowerBound + range.count
      * (rank + 1) / worldSize
  }
}
