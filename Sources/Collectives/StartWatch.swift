internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#endif

/// Ends a process that waits too long for the others while MPI starts, which MPI itself never does.
public final class StartWatch: Sendable {
  private let isOver = Atomic<Bool>(false)

  /// Begins to count.
  ///
  /// - Parameters:
  ///   - rank: This process, as the launcher says.
  ///   - seconds: How long starting may take; what this process spends stopped itself does not count.
  ///   - status: The exit status then.
  /// - Returns: What is told when all have started.
  public static func begin(rank: Int, seconds: Int, status: Int32) -> StartWatch {
    let watch = StartWatch()
    var thread = pthread_t()
    let count = Count(watch: watch, rank: rank, seconds: seconds, status: status)
    let own = Unmanaged.passRetained(count)
    let code = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Count>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, own.toOpaque())
    if code == 0 { pthread_detach(thread) } else { own.release() }
    return watch
  }

  /// All have started.
  public func end() { isOver.store(true, ordering: .relaxed) }

  private final class Count: Sendable {
    private let watch: StartWatch
    private let (rank, seconds): (Int, Int)
    private let status: Int32

    init(watch: StartWatch, rank: Int, seconds: Int, status: Int32) {
      (self.watch, self.rank, self.seconds, self.status) = (watch, rank, seconds, status)
    }

    func run() {
      var signals = sigset_t()
      sigfillset(&signals)
      pthread_sigmask(SIG_BLOCK, &signals, nil)
      // The root speaks; the others end a little later, should it be the root that is stuck.
      for _ in 0..<10 * (seconds + (rank == 0 ? 0 : 2)) {
        usleep(100_000)
        if watch.isOver.load(ordering: .relaxed) { return }
      }
      var name = [CChar](repeating: 0, count: 256)
      gethostname(&name, name.count - 1)
      let host = String(
        decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let text =
        "Error: Rank \(rank) (host \(host)) has waited \(seconds) s for the other ranks to start: one"
        + " of them is stopped, out of memory, or cannot be reached; all ranks end\n"
      _ = text.withCString { write(STDERR_FILENO, $0, text.utf8.count) }
      _exit(status)
    }
  }
}
