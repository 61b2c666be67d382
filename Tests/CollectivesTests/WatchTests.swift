import Collectives
import TestSupport
import Testing

/// Ranks that come no further are given up, with what each was doing; slow ones are not.
@Suite(.serialized) struct WatchTests {
  @Test func aRankThatComputesForEverIsNamedWithItsStack() throws {
    let outcome = try Launch.ranks(3, "rank-program", ["stuck"], seconds: 30)
    #expect(outcome.status == 75, "\(outcome.errors)")
    #expect(outcome.errors.contains("Error: Rank 2 (host "))
    #expect(outcome.errors.contains("it has come no further for "))
    #expect(outcome.errors.contains("last heard of at step 7, computing a gradient; all ranks end"))
    #expect(outcome.errors.contains("  rank 0 (host "))
    #expect(outcome.errors.contains("; it is in\n") && outcome.errors.contains("nanosleep + "))
  }

  @Test func aSlowRankIsWaitedFor() throws {
    let outcome = try Launch.ranks(3, "rank-program", ["slow"], seconds: 30)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.split(separator: "\n").count == 3)
  }

  @Test func ranksThatWaitForEachOtherAreEnded() throws {
    let outcome = try Launch.ranks(3, "rank-program", ["waiting"], seconds: 30)
    #expect(outcome.status == 75, "\(outcome.errors)")
    #expect(outcome.errors.contains("all ranks have been waiting for each other for 2.0 s"))
    #expect(outcome.errors.components(separatedBy: "Error: ").count == 2)
  }
}
