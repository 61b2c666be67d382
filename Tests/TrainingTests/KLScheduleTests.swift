import Testing
import Training

@Suite struct KLScheduleTests {
  static func schedule(
    totalSteps: Int = 100, _ change: (inout TrainingConfiguration) -> Void
  ) -> KLSchedule {
    var configuration = TrainingConfiguration()
    change(&configuration)
    return KLSchedule(configuration, totalSteps: totalSteps)
  }

  @Test func betaRisesOverTheWarmUp() {
    let schedule = Self.schedule { ($0.beta, $0.klWarmupSteps) = (4, 8) }
    #expect([0, 2, 8, 50].map { schedule.weight(step: $0) } == [0, 1, 4, 4])
    #expect(Self.schedule { _ in }.weight(step: 0) == 1)
  }

  @Test func cyclesRiseOverTheirFirstHalf() {
    let schedule = Self.schedule { ($0.beta, $0.klCycles) = (2, 4) }
    // Cycles of 25 steps.
    for first in [0, 25, 50, 75] {
      #expect(schedule.weight(step: first) == 0)
      #expect(abs(schedule.weight(step: first + 5) - 2 * 0.4) < 1e-12)
      #expect(schedule.weight(step: first + 13) == 2)
      #expect(schedule.weight(step: first + 24) == 2)
    }
  }

  @Test func freeBitsCostNothingAGroup() {
    let schedule = Self.schedule {
      ($0.latent, $0.freeBits, $0.freeBitsGroups, $0.beta) = (5, 1, 2, 3)
    }
    // Groups of two and of three latents.
    let penalty = schedule.penalty([0.25, 0.5, 2, 0, 0.125], step: 9)
    #expect(penalty.nats == 3 * (1 + 2.125))
    #expect(penalty.weights == [0, 0, 3, 3, 3])
    let each = Self.schedule { $0.freeBits = 0.4 }.penalty([0.25, 0.5], step: 0)
    #expect(abs(each.nats - 0.9) < 1e-12)
    #expect(each.weights == [0, 1])
  }

  @Test func capacityPullsFromBothSides() {
    let schedule = Self.schedule {
      ($0.klCapacity, $0.klCapacitySteps, $0.beta) = (10, 20, 5)
    }
    #expect(schedule.capacity(step: 5) == 2.5)
    #expect(schedule.capacity(step: 90) == 10)
    #expect(schedule.penalty([3, 4], step: 90).nats == 15)
    #expect(schedule.penalty([3, 4], step: 90).weights == [-5, -5])
    #expect(schedule.penalty([3, 9], step: 90).weights == [5, 5])
    #expect(schedule.needsDivergences && !Self.schedule { $0.beta = 2 }.needsDivergences)
  }
}
