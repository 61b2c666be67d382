import Layers
import TensorKernels
import TestSupport
import Testing
import VAEObjective

@Suite struct CPUReplicaTests {
  static let configuration = ModelConfiguration(
    inputs: 17, hidden: [12], latent: 4, activation: .tanh, likelihood: .bernoulli, draws: 2)

  static func replica(threads: Int, capacity: Int = 40) throws -> CPUReplica {
    let replica = CPUReplica(
      configuration, capacity: capacity, groupCapacity: 10, team: try WorkerTeam(count: threads))
    Initializer.glorotUniform.fill(replica.parameters, layout: replica.layout, seed: 3)
    return replica
  }

  static func withBatch<Result>(
    _ count: Int, _ body: (ExampleBatch) throws -> Result
  ) rethrows -> Result {
    var random = TestRandom(seed: 1)
    let values = FloatBuffer(random.uniform(40 * 17, in: 0...1))
    return try (0..<UInt32(count)).map { 100 + $0 }.withUnsafeBufferPointer {
      try body(ExampleBatch(indices: $0, values: values.matrix(rows: count, columns: 17)))
    }
  }

  static let noise = RandomStream(seed: 8, purpose: .trainingNoise, time: 2)

  @Test(arguments: [1, 2, 3, 5], [0, 1, 2, 7, 40]) func threadsDoNotChangeTheSum(
    threads: Int, examples: Int
  ) throws {
    let one = try Self.replica(threads: 1)
    let many = try Self.replica(threads: threads)
    let (first, second) = try Self.withBatch(examples) { batch in
      (
        try one.computeGradient(of: batch, noise: Self.noise),
        try many.computeGradient(of: batch, noise: Self.noise)
      )
    }
    #expect(first.elbo.exampleCount == examples)
    #expect(second.elbo.exampleCount == examples)
    #expect(
      abs(
        first.elbo.reconstructionLogLikelihoodSum - second.elbo.reconstructionLogLikelihoodSum)
        < 1e-3)
    #expect(abs(first.elbo.klDivergenceSum - second.elbo.klDivergenceSum) < 1e-4)
    expectClose(Self.sumOfGradients(many), Self.sumOfGradients(one), within: 1e-5)
  }

  static func sumOfGradients(_ replica: CPUReplica) -> [Float] {
    let total = FloatBuffer.poisoned(replica.layout.bufferCount)
    sum(replica.gradients, 0..<total.count, into: total)
    return total.values
  }

  /// Notes what it is told, and what the gradient is at that time.
  final class Listener: GradientReceiver {
    let partElementCount: Int
    let replica: CPUReplica
    var ranges: [Range<Int>] = []
    var seen: [Float]
    var progressCount = 0

    init(_ replica: CPUReplica, partElementCount: Int) {
      self.replica = replica
      self.partElementCount = partElementCount
      seen = Array(repeating: .nan, count: replica.layout.bufferCount)
    }

    func gradientIsComplete(_ range: Range<Int>) {
      ranges.append(range)
      seen.replaceSubrange(range, with: replica.gradients[0].values[range])
    }

    func progress() { progressCount += 1 }
  }

  @Test(arguments: [1, 2, 3], [1, 300, 1 << 20]) func partsAreCompleteWhenTheyAreReported(
    threads: Int, partElementCount: Int
  ) throws {
    let one = try Self.replica(threads: 1)
    let many = try Self.replica(threads: threads)
    for examples in [40, 0, 7] {
      let listener = Listener(many, partElementCount: partElementCount)
      try Self.withBatch(examples) { batch in
        _ = try one.computeGradient(of: batch, noise: Self.noise)
        _ = try many.computeGradient(of: batch, noise: Self.noise, receiver: listener)
      }
      expectClose(listener.seen, one.gradients[0].values, within: 1e-5)
      // From the end to the start, without gaps.
      #expect(listener.ranges.first?.upperBound == many.layout.bufferCount)
      #expect(listener.ranges.last?.lowerBound == 0)
      for (later, earlier) in zip(listener.ranges, listener.ranges.dropFirst()) {
        #expect(earlier.upperBound == later.lowerBound)
      }
      #expect(listener.ranges.count >= 4)
      #expect(listener.progressCount == 3)
      if partElementCount == 1 { #expect(listener.ranges.count > 4) }
    }
  }

  @Test func manyStepsOnManyThreadsAgree() throws {
    // A race between turns would show in one of a thousand.
    let replica = try Self.replica(threads: 3)
    try Self.withBatch(12) { batch in
      _ = try replica.computeGradient(of: batch, noise: Self.noise)
      let first = replica.gradients.map(\.values)
      for _ in 0..<1000 {
        _ = try replica.computeGradient(of: batch, noise: Self.noise)
        #expect(replica.gradients.map(\.values) == first)
      }
    }
  }

  @Test(arguments: [1, 2, 3]) func scoresOfAGroupDependOnTheGroupAlone(threads: Int) throws {
    let replica = try Self.replica(threads: threads)
    let groups = [0..<10, 10..<20, 20..<23]
    let together = try Self.withBatch(23) {
      try replica.score($0, groups: groups, noise: Self.noise)
    }
    let alone = try Self.withBatch(23) { batch in
      try groups.map {
        try Self.replica(threads: 1).score(batch, groups: [$0], noise: Self.noise)[0]
      }
    }
    #expect(together == alone)
    #expect(together.map(\.exampleCount) == [10, 10, 3])
  }

  @Test func importanceWeightedBoundsDoNotDependOnThreads() throws {
    let bounds = try [1, 2, 3].map { threads in
      try Self.withBatch(5) {
        try Self.replica(threads: threads).importanceWeightedBounds(
          $0, sampling: ImportanceSampling(drawCount: 30), noise: Self.noise
        ).map(\.bound)
      }
    }
    // Draws are cut into pieces by the capacity, which the number of threads changes.
    for other in bounds { expectClose(other, bounds[0], within: 1e-6) }
  }
}
