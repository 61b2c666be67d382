/// Where the time of training steps went, in seconds, as rank 0's first thread saw it.
public struct StepTimes: Sendable, Equatable {
  /// Reading and converting the batch.
  public var data = 0.0
  /// From the batch to its ELBO, noise included.
  public var forward = 0.0
  /// From the ELBO to the gradient.
  public var backward = 0.0
  /// Waiting for other ranks, and moving gradients and parameters between them, with nothing else
  /// to do.
  public var allReduceExposed = 0.0
  /// Moving gradients while the rest of the backward was computed.
  public var allReduceHidden = 0.0
  /// Adding gradient buffers of this node and updating the parameters.
  public var optimizer = 0.0
  /// From the beginning of each step to its end.
  public var total = 0.0
  /// How many steps.
  public var stepCount = 0
  /// Examples of all ranks in these steps.
  public var exampleCount = 0

  /// No steps.
  public init() {}

  /// What is in no other part: waiting for other threads, and the loop itself.
  public var other: Double {
    total - data - forward - backward - allReduceExposed - optimizer
  }

  /// Examples of all ranks a second.
  public var examplesPerSecond: Double { total > 0 ? Double(exampleCount) / total : 0 }

  /// The part of the time that went into waiting for gradients of other ranks.
  public var allReduceShare: Double { total > 0 ? allReduceExposed / total : 0 }

  /// The times of the steps after those that had been taken before.
  public static func - (times: Self, before: Self) -> Self {
    var rest = times
    for part in [
      \Self.data, \.forward, \.backward, \.allReduceExposed, \.allReduceHidden, \.optimizer,
      \.total,
    ] {
      rest[keyPath: part] -= before[keyPath: part]
    }
    rest.stepCount -= before.stepCount
    rest.exampleCount -= before.exampleCount
    return rest
  }

  /// Does some work and adds how long it took to one of the parts.
  mutating func measure<Value>(
    _ part: WritableKeyPath<Self, Double>, _ work: () throws -> Value
  ) rethrows -> Value {
    let start = ContinuousClock.now
    defer { self[keyPath: part] += start.secondsUntilNow }
    return try work()
  }
}

extension ContinuousClock.Instant {
  /// Seconds from this instant to the present.
  var secondsUntilNow: Double { duration(to: .now) / .seconds(1) }
}
