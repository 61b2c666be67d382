internal import CKernels
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#endif

/// More threads than the system gives, by its limits or for want of memory.
public struct ThreadsRefused: Error, CustomStringConvertible, Equatable {
  /// How many were to compute.
  public let wanted: Int
  /// How many could.
  public let given: Int
  /// In the system's words.
  public let reason: String

  /// The sentence.
  public var description: String {
    "--threads is \(wanted), and the system gives no more than \(given) (\(reason)); use fewer,"
      + " one for each core"
  }
}

/// Threads that run one job at a time together, member 0 being the caller's.
///
/// Members look for work for some milliseconds before they sleep: a step hands out work thousands
/// of times a second, and waking a sleeping thread costs as much as a small product. After the first
/// hundred microseconds they offer their core to others each time.
public final class WorkerTeam {
  /// Members, the caller among them.
  public var count: Int { threads.count + 1 }
  private let shared: Shared
  private var threads: [pthread_t] = []

  // What members share. Sound to send: `job` is written before `turn` is raised (release) and read
  // after it was seen (acquire), and not written again before every member has reported back.
  private final class Shared: @unchecked Sendable {
    // A pause takes some 50 ns, a yield a few hundred.
    private static let looksBeforeYield = 2_000
    private static let looksBeforeSleep = 10_000

    let count: Int
    let prepare: @Sendable () -> Void
    let turn = Atomic<Int>(0)
    let pending = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    var job: ((Int) -> Void)?
    var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(count: Int, prepare: @escaping @Sendable () -> Void) {
      self.count = count
      self.prepare = prepare
      pthread_mutex_init(mutex, nil)
      pthread_cond_init(condition, nil)
    }

    deinit {
      pthread_cond_destroy(condition)
      pthread_mutex_destroy(mutex)
      condition.deallocate()
      mutex.deallocate()
    }

    /// Returns when the condition holds: at first by looking often, then asleep.
    func wait(until holds: () -> Bool) {
      for look in 0..<Self.looksBeforeSleep {
        if holds() { return }
        if look < Self.looksBeforeYield { vd_kernel_pause() } else { sched_yield() }
      }
      pthread_mutex_lock(mutex)
      while !holds() { pthread_cond_wait(condition, mutex) }
      pthread_mutex_unlock(mutex)
    }

    /// Makes a change that others wait for.
    func announce(_ change: () -> Void) {
      pthread_mutex_lock(mutex)
      change()
      pthread_cond_broadcast(condition)
      pthread_mutex_unlock(mutex)
    }

    func serve(as index: Int) {
      blockSignalsOnThisThread()
      prepare()
      var seen = 0
      while true {
        wait { turn.load(ordering: .acquiring) != seen }
        seen = turn.load(ordering: .acquiring)
        if isOver.load(ordering: .acquiring) { return }
        job?(index)
        if pending.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { announce {} }
      }
    }
  }

  private final class Member {
    let shared: Shared
    let index: Int
    init(_ shared: Shared, _ index: Int) {
      self.shared = shared
      self.index = index
    }
  }

  /// Starts `count - 1` threads.
  ///
  /// Each thread, the caller's too, treats denormal numbers as zero and lets oneDNN use no further
  /// threads.
  ///
  /// - Parameter count: Members, the caller among them.
  /// - Throws: ``ThreadsRefused``.
  public init(count: Int) throws(ThreadsRefused) {
    precondition(count > 0, "At least one thread computes")
    shared = Shared(count: count) {
      flushDenormalsOnThisThread()
      MatrixProduct.useCallingThreadOnly()
    }
    shared.prepare()
    for index in 1..<max(count, 1) {
      var thread = pthread_t()
      let member = Unmanaged.passRetained(Member(shared, index))
      let status = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          let member = Unmanaged<Member>.fromOpaque(argument).takeRetainedValue()
          member.shared.serve(as: member.index)
          return nil
        }, member.toOpaque())
      if status != 0 {
        member.release()
        throw ThreadsRefused(
          wanted: count, given: index, reason: String(cString: strerror(status)))
      }
      threads.append(thread)
    }
  }

  deinit {
    shared.announce {
      shared.isOver.store(true, ordering: .releasing)
      shared.turn.add(1, ordering: .releasing)
    }
    for thread in threads { pthread_join(thread, nil) }
  }

  /// Cuts a range into as many parts as there are members, and does each in parallel.
  ///
  /// Parts begin at multiples of `alignment` from the start; a member whose part would be empty does
  /// nothing.
  ///
  /// - Parameters:
  ///   - range: What to cut.
  ///   - alignment: What parts but the last are multiples of.
  ///   - body: Does one part.
  public func forEachPart(
    of range: Range<Int>, alignment: Int = 1, _ body: (Range<Int>) -> Void
  ) {
    let units = (range.count + alignment - 1) / alignment
    let share = (units + count - 1) / count * alignment
    run { index in
      let start = min(range.lowerBound + index * share, range.upperBound)
      let end = min(start + share, range.upperBound)
      if start < end { body(start..<end) }
    }
  }

  /// Calls `job` once for each member, in parallel, and returns when all have returned.
  public func run(_ job: (Int) -> Void) {
    if threads.isEmpty {
      job(0)
      return
    }
    withoutActuallyEscaping(job) { job in
      shared.job = job
      shared.pending.store(threads.count, ordering: .relaxed)
      shared.announce { shared.turn.add(1, ordering: .releasing) }
      job(0)
      shared.wait { shared.pending.load(ordering: .acquiring) == 0 }
      shared.job = nil
    }
  }
}

/// Where members of a team wait for each other in the middle of a job.
///
/// Members look again and again, without sleeping: the others are at most a part of a layer behind.
public final class TeamBarrier: Sendable {
  private let count: Int
  private let arrived = Atomic<Int>(0)
  private let round = Atomic<Int>(0)
  private let isBroken = Atomic<Bool>(false)

  /// A barrier for this many members.
  public init(count: Int) {
    self.count = count
  }

  /// Returns true when every member has come, or false as soon as one has given up.
  public func wait() -> Bool {
    // Whoever gave up does not come again: a round that it is missing in must not be completed.
    if isBroken.load(ordering: .acquiring) { return false }
    let current = round.load(ordering: .acquiring)
    if arrived.add(1, ordering: .acquiringAndReleasing).newValue == count {
      arrived.store(0, ordering: .relaxed)
      round.add(1, ordering: .releasing)
      return !isBroken.load(ordering: .acquiring)
    }
    var looks = 0
    while round.load(ordering: .acquiring) == current {
      if isBroken.load(ordering: .acquiring) { return false }
      looks += 1
      if looks < 2_000 { vd_kernel_pause() } else { sched_yield() }
    }
    return !isBroken.load(ordering: .acquiring)
  }

  /// Lets the others go on without this member.
  public func giveUp() { isBroken.store(true, ordering: .releasing) }

  /// Makes the barrier as new; while no member waits.
  public func reset() {
    arrived.store(0, ordering: .relaxed)
    isBroken.store(false, ordering: .relaxed)
  }
}

// A handler on this thread's stack would write over what oneDNN keeps below the stack pointer. What the
// thread brings upon itself still ends the process.
private func blockSignalsOnThisThread() {
  var signals = sigset_t()
  sigfillset(&signals)
  for number in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP] { sigdelset(&signals, number) }
  pthread_sigmask(SIG_BLOCK, &signals, nil)
}
