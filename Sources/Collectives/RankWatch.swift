internal import CCollectives
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#endif

// Of Swift's runtime library, stable and used by debuggers.
@_silgen_name("swift_demangle") private func demangle(
  _ name: UnsafePointer<CChar>, _ length: Int, _ buffer: UnsafeMutablePointer<CChar>?,
  _ size: UnsafeMutablePointer<Int>?, _ flags: UInt32
) -> UnsafeMutablePointer<CChar>?

/// Notices ranks that have died, or that come no further, and ends all of them with what each was doing.
///
/// A thread of each rank tells the root, and a deputy in case the root is the one that is stuck, several times
/// a second how far its rank has come; MPI has no part in it, since MPI is what ranks hang in. The messages
/// are datagrams: where the network does not let them through, only ranks of the same machine are watched.
public final class RankWatch: Sendable {
  private let watcher: Watcher

  /// Begins to watch; nil for a group of one.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - communicator: The ranks.
  ///   - timeout: Seconds of silence after which a rank is given up.
  ///   - status: The exit status of all ranks then.
  ///   - isAskedToEnd: Whether somebody has asked this process to end, perhaps since a rank has died.
  /// - Throws: A ``CollectiveError`` if the ranks cannot be asked.
  public init?(
    _ communicator: any Communicator, timeout: Int, status: Int32,
    isAskedToEnd: @escaping @Sendable () -> Bool = { false }
  ) throws(CollectiveError) {
    // Each rank asks the system before any of them may leave.
    let socket = DatagramSocket()
    let peer = WatchedRank(listeningOn: socket, isOneNode: communicator.isOneNode)
    let peers = try communicator.allGather(peer.encoded).map { WatchedRank(encoded: $0) }
    if communicator.worldSize == 1 { return nil }
    watcher = Watcher(
      rank: communicator.rank, peers: peers, socket: socket, timeout: Double(timeout),
      status: status, isAskedToEnd: isAskedToEnd)
    if vd_prepare_stack_taking() != 0 { watcher.canTakeStack = true }
    watcher.start()
  }

  deinit { watcher.sayGoodbye() }

  /// This rank ends in its own way.
  public func leave() { watcher.sayGoodbye() }

  /// From now on ranks are given up too that live, and come no further.
  ///
  /// Every rank has told of progress since the last collective.
  ///
  /// - Parameters:
  ///   - timeout: Seconds without progress, or of silence, after which a rank is given up; 0 for never.
  ///   - advice: How the report ends: what to do.
  public func expectProgress(timeout: Int, advice: String) {
    watcher.rules.withLock {
      $0 = Rules(
        timeout: timeout == 0 ? .infinity : Double(timeout), expectsProgress: true, advice: advice)
    }
  }

  /// Ranks may take as long as they like again.
  public func expectLife() {
    watcher.rules.withLock { $0.expectsProgress = false }
  }

  private struct Rules {
    var timeout: Double
    var expectsProgress = false
    var advice = ""
  }

  // One rank's thread. Sound to send: after the start everything but the atomics is the thread's own.
  private final class Watcher: @unchecked Sendable {
    private static let interval = 0.2  // seconds between looks
    private static let wordCount = 6

    private let rank: Int
    private var peers: [WatchedRank]
    private let socket: DatagramSocket?
    let rules: Mutex<Rules>
    private let status: Int32
    private let isAskedToEnd: @Sendable () -> Bool
    private let mainThread = pthread_self()
    private let isOver = Atomic<Bool>(false)
    private var latest = RankActivity.now
    private var latestChange = 0.0
    private var workBefore = 0.0  // processor seconds at that time
    private var slowest = 0.0
    private var expectedProgress = false
    private var hasShownStack = false
    private var hasNamedTheDead = false
    var canTakeStack = false
    private var suspectsSince: Double?
    private var silentUntil = 0.0

    init(
      rank: Int, peers: [WatchedRank], socket: DatagramSocket?, timeout: Double, status: Int32,
      isAskedToEnd: @escaping @Sendable () -> Bool
    ) {
      self.rank = rank
      self.peers = peers
      self.socket = socket
      rules = Mutex(Rules(timeout: timeout == 0 ? .infinity : timeout))
      self.status = status
      self.isAskedToEnd = isAskedToEnd
    }

    func start() {
      var thread = pthread_t()
      let own = Unmanaged.passRetained(self)
      let code = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          Unmanaged<Watcher>.fromOpaque(argument).takeRetainedValue().watch()
          return nil
        }, own.toOpaque())
      if code == 0 { pthread_detach(thread) } else { own.release() }
    }

    /// The rank ends in its own way.
    func sayGoodbye() {
      isOver.store(true, ordering: .releasing)
      tell(isLeaving: true)
    }

    // MARK: The thread

    private func watch() {
      var signals = sigset_t()
      sigfillset(&signals)
      pthread_sigmask(SIG_BLOCK, &signals, nil)
      var before = Self.now
      latestChange = before
      for index in peers.indices { peers[index].heardAt = before }
      tell(isLeaving: false)
      while !isOver.load(ordering: .acquiring) {
        usleep(UInt32(Self.interval * 1e6))
        let now = Self.now
        if now - before > 10 * Self.interval { forgive(now) }
        before = now
        look(now)
        tell(isLeaving: false)
        if rank < 2 {
          listen(now)
          nameTheDead(now)
          if now > silentUntil { judge(now) }
        }
        showStackIfStuck(now)
      }
    }

    // This process has been stopped itself, perhaps with all others: the time does not count.
    private func forgive(_ now: Double) {
      silentUntil = now + 5
      latestChange = now
      for index in peers.indices { peers[index].heardAt = now }
    }

    private func look(_ now: Double) {
      let activity = RankActivity.now
      let expectsProgress = rules.withLock { $0.expectsProgress }
      if expectsProgress != expectedProgress {
        // How long loading took says nothing of steps.
        (slowest, latestChange, expectedProgress) = (0, now, expectsProgress)
      } else if activity.ticks != latest.ticks {
        if !latest.isWaiting { slowest = max(slowest, now - latestChange) }
        latestChange = now
        workBefore = Self.processorSeconds
      }
      latest = activity
    }

    // A large step may take minutes, and a disk too: such ranks are given ten times as long.
    private func hasReason(_ now: Double) -> Bool {
      latest.phase == .writing
        || !latest.isWaiting
          && Self.processorSeconds - workBefore > 0.3 * (now - latestChange)
    }

    private static let patience = 10.0

    private func tell(isLeaving: Bool) {
      let activity = RankActivity.now
      let idle = isLeaving ? 0 : Self.now - latestChange
      let words: [UInt64] = [
        WatchedRank.magic, UInt64(rank), UInt64(activity.step),
        UInt64(activity.phase.rawValue) | (activity.isWaiting ? 256 : 0)
          | (isLeaving ? 512 : 0) | (hasReason(Self.now) ? 1024 : 0), UInt64(idle * 1000),
        UInt64(slowest * 1000),
      ]
      for receiver in 0..<min(2, peers.count) {
        if receiver == rank && !isLeaving {
          peers[rank].note(words, at: Self.now)
        } else if receiver != rank, let address = peers[receiver].address {
          socket?.send(words, to: address)
        }
      }
    }

    private func listen(_ now: Double) {
      while let words = socket?.receive(wordCount: Self.wordCount) {
        if words[0] == WatchedRank.magic && words[1] < UInt64(peers.count) {
          peers[Int(words[1])].note(words, at: now)
        }
      }
    }

    // MARK: The verdict

    private func judge(_ now: Double) {
      // Once the root has said what there is to say, or has come to its end, the deputy has nothing to add.
      if rank != 0 && peers[0].hasLeft { return }
      // What has once taken long may do so again.
      let rules = self.rules.withLock { $0 }
      let limit =
        rules.expectsProgress
        ? max(rules.timeout, 5 * (peers.map(\.slowest).max() ?? 0)) : rules.timeout
      var suspects: [(rank: Int, reason: String)] = []
      for (other, peer) in peers.enumerated() where !peer.hasLeft {
        let isHere = peer.isBeside(peers[rank])
        if other != rank && isHere && peer.isGone {
          suspects.append((other, "its process \(peer.process) is gone"))
        } else if (peer.isKnown || isHere) && now - peer.heardAt > limit {
          let isStopped = isHere && peer.state == "T"
          suspects.append(
            (
              other,
              isStopped
                ? "its process \(peer.process) has been stopped by a signal"
                : "nothing has been heard of it for \(Self.short(now - peer.heardAt)) s"
            ))
        } else if rules.expectsProgress && peer.isKnown && !peer.activity.isWaiting
          && peer.idle(now) > (peer.hasReason ? Self.patience : 1) * limit
        {
          suspects.append((other, "it has come no further for \(Self.short(peer.idle(now))) s"))
        }
      }
      let isDead = suspects.contains { $0.reason.hasSuffix("is gone") }
      // Datagrams may not come through, and somebody may have been stopped before its first.
      let heard = peers.filter { $0.isKnown && !$0.hasLeft }
      if suspects.isEmpty && rules.expectsProgress
        && heard.allSatisfy({ $0.activity.isWaiting && $0.idle(now) > limit })
      {
        let silent = peers.firstIndex { !$0.isKnown }
        suspects = [
          (
            silent ?? 0,
            silent == nil
              ? "all ranks have been waiting for each other for \(Self.short(limit)) s"
              : "all others have been waiting for \(Self.short(limit)) s, and nothing was ever heard of it"
          )
        ]
      }
      // A rank that ends in its own way says so, but a little later than its process may be gone.
      if suspects.isEmpty { suspectsSince = nil }
      let since = suspectsSince ?? now
      if !suspects.isEmpty { suspectsSince = since }
      // The deputy speaks if the root cannot.
      if rank != 0 && !suspects.contains(where: { $0.rank == 0 }) { return }
      let wait = (isDead ? 0.3 : 0.7) + (rank == 0 ? 0 : 0.3)
      if let first = suspects.first, now - since >= wait { end(first, suspects.map(\.rank), now) }
    }

    // mpirun asks all ranks to end a second after one has died on another host, and a second later makes
    // them. Whoever is silent then is probably the one; nothing more is done, in case it is not.
    private func nameTheDead(_ now: Double) {
      if hasNamedTheDead || !isAskedToEnd() || (rank != 0 && !isSilent(0, now)) { return }
      let dead = peers.indices.filter { isSilent($0, now) }
      guard let first = dead.first else { return }
      hasNamedTheDead = true
      report((first, "nothing has been heard of it for a second, it is probably dead"), dead, now)
    }

    private func isSilent(_ other: Int, _ now: Double) -> Bool {
      peers[other].isKnown && !peers[other].hasLeft && now - peers[other].heardAt > 0.9
    }

    private func end(_ first: (rank: Int, reason: String), _ suspects: [Int], _ now: Double) {
      tell(isLeaving: true)
      report(first, suspects, now)
      _exit(status)
    }

    private func report(
      _ first: (rank: Int, reason: String), _ suspects: [Int], _ now: Double
    ) {
      let (peer, advice) = (peers[first.rank], rules.withLock { $0.advice })
      var lines = [
        "Error: Rank \(first.rank) (host \(peer.host)) does not go on: \(first.reason), last"
          + " heard of at \(peer.activity.text); all ranks end\(advice)"
      ]
      let others = peers.indices.filter { !suspects.contains($0) }
      for other in suspects + others.prefix(16) {
        let peer = peers[other]
        lines.append(
          "  rank \(other) (host \(peer.host)): "
            + (peer.isKnown
              ? "\(peer.activity.text), last progress \(Self.short(peer.idle(now))) s ago"
              : "never heard of"))
      }
      if others.count > 16 { lines.append("  and \(others.count - 16) more ranks") }
      Self.complain(lines.joined(separator: "\n") + "\n")
    }

    // A rank that computes for ever shows where, a little before it is given up.
    private func showStackIfStuck(_ now: Double) {
      let rules = self.rules.withLock { $0 }
      let limit = max(rules.timeout, 5 * (rank < 2 ? peers.map(\.slowest).max() ?? 0 : slowest))
      if !rules.expectsProgress || latest.isWaiting || hasShownStack || !canTakeStack
        || now - latestChange
          < (hasReason(now) ? Self.patience : 1) * limit - 2 * Self.interval
      {
        return
      }
      hasShownStack = true
      var addresses = [UnsafeRawPointer?](repeating: nil, count: Int(VD_MOST_FRAMES))
      let count = Int(vd_take_stack(UInt(mainThread), &addresses))
      if count == 0 { return }
      let calls = addresses[..<count].dropFirst(2).map { "    \(Self.name(of: $0))" }
      Self.complain(
        "Rank \(rank) (host \(peers[rank].host)) has come no further for"
          + " \(Self.short(now - latestChange)) s; it is in\n"
          + calls.joined(separator: "\n") + "\n")
    }

    private static func name(of address: UnsafeRawPointer?) -> String {
      var name = [CChar](repeating: 0, count: 1024)
      var offset = 0
      vd_describe_address(address, &name, name.count, &offset)
      let text = String(
        decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      return text.isEmpty ? "?" : "\(demangled(text)) + \(offset)"
    }

    // As a person would write it, where it is Swift's.
    private static func demangled(_ symbol: String) -> String {
      guard symbol.hasPrefix("$s"),
        let text = symbol.withCString({ demangle($0, symbol.utf8.count, nil, nil, 0) })
      else { return symbol }
      defer { free(text) }
      return String(cString: text)
    }

    private static func complain(_ text: String) {
      _ = text.withCString { write(STDERR_FILENO, $0, text.utf8.count) }
    }

    private static func short(_ seconds: Double) -> String {
      String((max(seconds, 0) * 10).rounded() / 10)
    }

    private static var now: Double { seconds(CLOCK_MONOTONIC) }

    private static var processorSeconds: Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

    private static func seconds(_ clock: clockid_t) -> Double {
      var time = timespec()
      clock_gettime(clock, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
  }
}
