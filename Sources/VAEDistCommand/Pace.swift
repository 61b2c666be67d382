import Foundation

/// How long the rest of a run takes, by how it has gone lately.
package struct Pace {
  // Of steps one after the other, the older the less they count.
  private var steps = 0.0
  private var seconds = 0.0
  // Of what lies between epochs: evaluation and checkpoint.
  private var pauseSeconds: Double?
  private var last: ContinuousClock.Instant?
  private var isPausing = false

  private static let memorySeconds = 10.0

  /// Nothing is known yet.
  package init() {}

  /// A step has been made.
  package mutating func step(at now: ContinuousClock.Instant) {
    defer { (last, isPausing) = (now, false) }
    guard let last else { return }
    let elapsed = (now - last) / .seconds(1)
    if isPausing {
      pauseSeconds = max(elapsed - (secondsPerStep ?? 0), 0)
      return
    }
    let weight = exp(-elapsed / Self.memorySeconds)
    steps = steps * weight + 1
    seconds = seconds * weight + elapsed
  }

  /// An epoch has ended.
  package mutating func pause() { isPausing = true }

  private var secondsPerStep: Double? { seconds > 0 ? seconds / steps : nil }

  /// What steps and pauses will take; nil before that can be told.
  package func seconds(steps remaining: Int, pauses: Int) -> Double? {
    // The first steps are slower than all others.
    guard let secondsPerStep, seconds > 0.5 else { return nil }
    return Double(remaining) * secondsPerStep + Double(pauses) * (pauseSeconds ?? 0)
  }
}
