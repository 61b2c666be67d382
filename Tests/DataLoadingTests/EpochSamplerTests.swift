import DataLoading
import TestSupport
import Testing

@Suite struct EpochSamplerTests {
  static let sizes = [(1, 1), (10, 3), (100, 100), (101, 100), (1617, 100), (7, 50)]

  @Test(arguments: sizes, 1...9) func shardsOfAnEpochAreDisjointAndCoverIt(
    _ size: (examples: Int, batch: Int), worldSize: Int
  ) {
    let sampler = EpochSampler(
      exampleCount: size.examples, globalBatchSize: size.batch, seed: 4)
    let order = sampler.order(ofEpoch: 2)
    var seen: [UInt32] = []
    for step in 0..<sampler.stepsPerEpoch {
      let global = sampler.globalBatch(step: step)
      let slices = (0..<worldSize).map {
        sampler.batch(step: step, rank: $0, worldSize: worldSize)
      }
      // The ranks' slices, one after the other, are the global batch: no rank's is more than one
      // longer than another's.
      #expect(slices.flatMap { Array($0) } == Array(global))
      let counts = slices.map(\.count)
      #expect((counts.max() ?? 0) - (counts.min() ?? 0) <= 1)
      seen += slices.flatMap { $0.map { order[$0] } }
      #expect(global.count == size.batch || step == sampler.stepsPerEpoch - 1)
    }
    #expect(seen.sorted() == Array(0..<UInt32(size.examples)))
  }

  @Test func theOrderIsAFunctionOfSeedAndEpoch() {
    func order(_ seed: UInt64, _ epoch: Int) -> [UInt32] {
      EpochSampler(exampleCount: 500, globalBatchSize: 10, seed: seed).order(ofEpoch: epoch)
    }
    #expect(order(1, 0) == order(1, 0))
    #expect(order(1, 0) != order(1, 1))
    #expect(order(1, 0) != order(2, 0))
  }
}
