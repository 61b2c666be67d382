/// Times a run: its whole, and the span since the latest event.
struct RunClock {
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private let secondsBefore: Double
  private var spanStart: ContinuousClock.Instant

  /// Examples of the span.
  var exampleCount = 0

  /// A clock that starts now, for a run that had already taken some time.
  init(secondsBefore: Double = 0) {
    start = clock.now
    spanStart = start
    self.secondsBefore = secondsBefore
  }

  /// Seconds that the run has taken, earlier sittings included.
  var wallSeconds: Double { secondsBefore + Self.seconds(start.duration(to: clock.now)) }

  /// Examples of the span per second.
  var examplesPerSecond: Double { Double(exampleCount) / max(spanSeconds, 1e-9) }

  /// Begins a span.
  mutating func startSpan() {
    spanStart = clock.now
    exampleCount = 0
  }

  private var spanSeconds: Double { Self.seconds(spanStart.duration(to: clock.now)) }

  private static func seconds(_ duration: Duration) -> Double { duration / .seconds(1) }
}
