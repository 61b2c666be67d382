internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#endif

/// Threads that run one job at a time together, member 0 being the caller's.
///
/// Members spin for a few microseconds before they sleep: a step hands out work thousands of times
/// a second, and waking a sleeping thread costs as much as a small product.
final class WorkerTeam {
  private let shared: Shared
  private var threads: [pthread_t] = []

  // What members share. Sound to send: `job` is written before `turn` is raised (release) and read
  // after it was seen (acquire), and not written again before every member has reported back.
  private final class Shared: @unchecked Sendable {
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
      for _ in 0..<20_000 where holds() { return }
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
  /// - Parameters:
  ///   - count: Members, the caller among them.
  ///   - prepare: What each thread, the caller's too, does once before its first job.
  init(count: Int, prepare: @escaping @Sendable () -> Void) {
    shared = Shared(count: count, prepare: prepare)
    prepare()
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
      precondition(status == 0, "The system cannot start a thread (error \(status))")
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

  /// Calls `job` once for each member, in parallel, and returns when all have returned.
  func run(_ job: (Int) -> Void) {
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
