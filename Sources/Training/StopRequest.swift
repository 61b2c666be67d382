internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#endif

// The number of the signal that asked for the end; all that a handler may touch.
private let signalNumber = Atomic<Int32>(0)

/// Why a run ends before its last step, with a checkpoint.
public enum StopReason: Sendable, Equatable {
  /// A signal to some rank.
  case signal
  /// The time that it was given is over.
  case walltime
}

/// Who may ask a run to end: a signal to any rank, or the root's clock.
///
/// Ranks tell each other in a sum that every step has anyway, so that all end after the same step. While
/// it lives, SIGTERM, SIGINT and SIGUSR1 only leave a note; a second SIGINT does what it usually does.
///
/// Handlers run on a thread of their own: oneDNN's products keep numbers below the stack pointer, where a
/// handler on the same stack would write over them.
public final class StopRequest {
  private static let signals = [SIGTERM, SIGINT, SIGUSR1]
  private let end: ContinuousClock.Instant?
  private let isLast: Bool
  private let listener = Listener()
  private var maskBefore = sigset_t()

  /// Listens from now on.
  ///
  /// - Parameters:
  ///   - end: When training is to stop by itself; nil for never.
  ///   - isLast: Whether the process ends with the run: what comes later is no reason to fail.
  public init(end: ContinuousClock.Instant?, isLast: Bool) {
    self.end = end
    self.isLast = isLast
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      signalNumber.store(number, ordering: .relaxed)
    }
    action.sa_flags = SA_RESTART
    for number in Self.signals {
      // Whoever presses Ctrl-C twice means it.
      if number == SIGINT { action.sa_flags |= Int32(bitPattern: UInt32(SA_RESETHAND)) }
      sigaction(number, &action, nil)
      action.sa_flags = SA_RESTART
    }
    var ours = Self.set
    pthread_sigmask(SIG_BLOCK, &ours, &maskBefore)
    listener.start()
  }

  deinit {
    listener.isOver.store(true, ordering: .relaxed)
    if !isLast { signalNumber.store(0, ordering: .relaxed) }
    for number in Self.signals { signal(number, isLast ? SIG_IGN : SIG_DFL) }
    pthread_sigmask(SIG_SETMASK, &maskBefore, nil)
  }

  private static var set: sigset_t {
    var set = sigset_t()
    sigemptyset(&set)
    for number in signals { sigaddset(&set, number) }
    return set
  }

  // The thread that the signals find.
  private final class Listener: Sendable {
    let isOver = Atomic<Bool>(false)

    func start() {
      var thread = pthread_t()
      let own = Unmanaged.passRetained(self)
      let code = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          let listener = Unmanaged<Listener>.fromOpaque(argument).takeRetainedValue()
          // Whoever started this process may have blocked them, which is inherited.
          var ours = StopRequest.set
          pthread_sigmask(SIG_UNBLOCK, &ours, nil)
          while !listener.isOver.load(ordering: .relaxed) { usleep(100_000) }
          return nil
        }, own.toOpaque())
      precondition(code == 0, "The system cannot start a thread (error \(code))")
      pthread_detach(thread)
    }
  }

  /// Whether a signal has asked this process to end.
  public static var hasSignal: Bool { signalNumber.load(ordering: .relaxed) != 0 }

  /// What this rank knows of.
  var reason: StopReason? {
    if Self.hasSignal { return .signal }
    if let end, .now >= end { return .walltime }
    return nil
  }
}

extension Duration {
  /// Reads `3h50m`, `90m`, `45s` or `3600`, which are seconds; nil for anything else, or no time at all.
  public init?(walltime text: String) {
    var seconds: Int64 = 0
    var digits = ""
    var units: [(Character, Int64)] = [("h", 3600), ("m", 60), ("s", 1)]
    for character in text {
      if character.isASCII && character.isNumber {
        digits.append(character)
      } else {
        guard let place = units.firstIndex(where: { $0.0 == character }),
          let number = Int64(digits), number < 1_000_000_000
        else { return nil }
        seconds += number * units[place].1
        units.removeFirst(place + 1)
        digits = ""
      }
    }
    if !digits.isEmpty {
      // A bare number is seconds.
      guard units.count == 3, let number = Int64(digits), number < 1_000_000_000 else { return nil }
      seconds = number
    }
    if seconds == 0 { return nil }
    self = .seconds(seconds)
  }
}
