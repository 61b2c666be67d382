internal import Synchronization

/// What this rank is doing, for whoever watches it.
///
/// One a process. Noting it costs a few relaxed stores.
public enum RankActivity {
  /// A part of the work.
  public enum Phase: UInt8, Sendable, CaseIterable {
    /// Before the first step.
    case starting
    /// Reading examples.
    case reading
    /// Computing the gradient of its part of a batch.
    case differentiating
    /// Adding gradients and updating parameters.
    case updating
    /// Scoring examples.
    case evaluating
    /// Having a checkpoint written.
    case writing
    /// After the last step.
    case ending

    var text: String {
      switch self {
      case .starting: "before the first step"
      case .reading: "reading a batch"
      case .differentiating: "computing a gradient"
      case .updating: "updating parameters"
      case .evaluating: "evaluating"
      case .writing: "at a checkpoint"
      case .ending: "at the end"
      }
    }
  }

  private static let state = Atomic<UInt64>(0)  // step and phase
  private static let ticks = Atomic<UInt64>(0)
  private static let waiting = Atomic<Bool>(false)

  /// The rank goes on with something.
  public static func note(_ phase: Phase, step: Int) {
    state.store(UInt64(step) << 8 | UInt64(phase.rawValue), ordering: .relaxed)
    tick()
  }

  /// The rank has come further with what it is doing.
  public static func tick() { ticks.add(1, ordering: .relaxed) }

  /// Waits for other ranks.
  static func whileWaiting<Value, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    waiting.store(true, ordering: .relaxed)
    tick()
    defer {
      waiting.store(false, ordering: .relaxed)
      tick()
    }
    return try body()
  }

  /// What is known now.
  struct Snapshot: Equatable {
    var step = 0
    var phase = Phase.starting
    var isWaiting = false
    var ticks: UInt64 = 0

    /// `step 120, computing a gradient`.
    var text: String {
      "step \(step), \(phase.text)\(isWaiting ? ", waiting for other ranks" : "")"
    }
  }

  static var now: Snapshot {
    let word = state.load(ordering: .relaxed)
    return Snapshot(
      step: Int(word >> 8), phase: Phase(rawValue: UInt8(truncatingIfNeeded: word)) ?? .starting,
      isWaiting: waiting.load(ordering: .relaxed), ticks: ticks.load(ordering: .relaxed))
  }
}
