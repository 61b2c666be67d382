import Foundation
import Testing
import Training

@Suite struct ScheduleTests {
  static func rates(_ kind: ScheduleKind, warmup: Int, total: Int) -> [Double] {
    var configuration = TrainingConfiguration()
    configuration.learningRate = 2
    configuration.learningRateSchedule = kind
    configuration.warmupSteps = warmup
    let schedule = LearningRateSchedule(configuration, totalSteps: total)
    return (0...total).map { schedule.learningRate(step: $0) }
  }

  @Test func constantStays() {
    #expect(Self.rates(.constant, warmup: 0, total: 5) == [2, 2, 2, 2, 2, 2])
  }

  @Test func warmupRisesInEqualSteps() {
    #expect(Self.rates(.constant, warmup: 4, total: 6) == [0.5, 1, 1.5, 2, 2, 2, 2])
  }

  @Test func stagesAreThoseOfBurda() {
    // 3ⁱ epochs at 10^(−i/7), i from 0 to 7.
    let rates = Self.rates(.stages, warmup: 0, total: 3280)
    var step = 0
    for stage in 0...7 {
      let length = Int(pow(3, Double(stage)))
      let expected = 2 * pow(10, -Double(stage) / 7)
      #expect(rates[step..<step + length].allSatisfy { abs($0 - expected) < 1e-12 }, "\(stage)")
      step += length
    }
    #expect(step == 3280)
  }

  @Test func cosineFallsFromThePeakToZero() {
    let rates = Self.rates(.cosine, warmup: 2, total: 10)
    #expect(rates[1] == 2)
    #expect(rates[2] == 2)
    #expect(abs(rates[6] - 1) < 1e-12)  // half-way
    #expect(abs(rates[4] - (1 + cos(Double.pi / 4))) < 1e-12)
    #expect(abs(rates[10]) < 1e-12)
    #expect(zip(rates.dropFirst(2), rates.dropFirst(3)).allSatisfy { $0 > $1 })
  }
}
