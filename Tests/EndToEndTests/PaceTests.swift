import Foundation
import Testing
import VAEDistCommand

/// What a progress bar says is left.
@Suite struct PaceTests {
  // Five epochs of 200 steps of 10 ms, each with a pause of 3 s behind it.
  @Test func pausesAndStepsAreBothCounted() throws {
    var pace = Pace()
    var now = ContinuousClock.now
    var left = 5 * (200 * 0.01 + 3)
    for epoch in 0..<5 {
      for step in 0..<200 {
        now += .milliseconds(10)
        left -= 0.01
        pace.step(at: now)
        let estimate = pace.seconds(steps: (5 - epoch) * 200 - step - 1, pauses: 5 - epoch)
        if epoch == 0 && step < 40 { #expect(estimate == nil) }
        if epoch > 0 {
          let estimate = try #require(estimate)
          #expect(
            abs(estimate - left) < 0.05 + 0.05 * left, "\(epoch) \(step): \(estimate) \(left)")
        }
      }
      pace.pause()
      now += .seconds(3)
      left -= 3
    }
  }

  // A machine that becomes half as fast is believed within its memory of ten seconds or so.
  @Test func whatWasLatelyCounts() throws {
    var pace = Pace()
    var now = ContinuousClock.now
    for _ in 0..<3_000 {
      now += .milliseconds(10)
      pace.step(at: now)
    }
    #expect(abs(try #require(pace.seconds(steps: 100, pauses: 0)) - 1) < 0.01)
    for _ in 0..<1_000 {
      now += .milliseconds(20)
      pace.step(at: now)
    }
    let estimate = try #require(pace.seconds(steps: 100, pauses: 0))
    #expect(estimate > 1.7 && estimate < 2.01, "\(estimate)")
  }
}
