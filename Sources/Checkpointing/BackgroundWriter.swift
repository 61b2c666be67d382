internal import Foundation
internal import Synchronization

/// Writes on a thread of its own, one thing at a time, and again until it succeeds.
///
/// A thing that cannot be written waits for its next attempt, or until there is a newer one to write
/// instead.
public final class BackgroundWriter {
  /// What has become of a thing to write.
  public enum News: Sendable, Equatable {
    /// It could not be written, and will be tried again.
    case failed(CheckpointError)
    /// What had failed before has been written.
    case recovered
  }

  private let shared: Shared

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - retrySeconds: How long after a failure the next attempt is made.
  ///   - whileWaiting: Called about twice a second while somebody waits for a disk.
  public init(retrySeconds: Double, whileWaiting: @escaping @Sendable () -> Void = {}) {
    shared = Shared(retrySeconds: retrySeconds, whileWaiting: whileWaiting)
    let shared = shared
    Thread.detachNewThread { shared.serve() }
  }

  deinit {
    shared.end()
  }

  /// Has a thing written.
  ///
  /// Returns at once, unless the thing before is still being written for the first time.
  ///
  /// - Parameters:
  ///   - prepare: Copies what is to be written, while nothing is being written.
  ///   - write: Writes it; called on the other thread, perhaps several times.
  public func submit(
    _ prepare: () -> Void, write: @escaping @Sendable () throws(CheckpointError) -> Void
  ) {
    shared.submit(prepare, write)
  }

  /// What has happened since this was asked last.
  public func takeNews() -> [News] { shared.takeNews() }

  /// Returns when everything is written.
  ///
  /// - Parameter seconds: How long attempts go on, at least one more.
  /// - Throws: What the last attempt threw; the thing is then given up.
  public func finish(within seconds: Double) throws(CheckpointError) {
    if let failure = shared.finish(within: seconds) { throw failure }
  }

  // Everything is guarded by the condition's lock.
  private final class Shared: @unchecked Sendable {
    private let condition = NSCondition()
    private let retrySeconds: Double
    private let whileWaiting: @Sendable () -> Void
    private var work: (@Sendable () throws(CheckpointError) -> Void)?
    private var isWriting = false
    private var failure: CheckpointError?  // of the latest attempt
    private let news = Mutex<[News]>([])
    private var reasonsToTry = 0  // how often somebody has ended a pause between attempts
    private var isInHurry = false
    private var isOver = false

    init(retrySeconds: Double, whileWaiting: @escaping @Sendable () -> Void) {
      self.retrySeconds = retrySeconds
      self.whileWaiting = whileWaiting
    }

    func serve() {
      condition.lock()
      defer { condition.unlock() }
      while true {
        while work == nil && !isOver { condition.wait() }
        guard let work else { return }
        let error = attempt(work)
        if let error {
          // Once for each reason, however many files it keeps from being written.
          if failure?.reason != error.reason { news.withLock { $0.append(.failed(error)) } }
          if isOver { return }
        } else {
          if failure != nil { news.withLock { $0.append(.recovered) } }
          self.work = nil
        }
        failure = error
        let before = reasonsToTry
        condition.broadcast()
        if error == nil { continue }
        let next = Date(timeIntervalSinceNow: isInHurry ? 0.2 : retrySeconds)
        while !isOver && reasonsToTry == before && condition.wait(until: next) {}
      }
    }

    // With the lock open, so that others can wait in their own way.
    private func attempt(
      _ work: @Sendable () throws(CheckpointError) -> Void
    ) -> CheckpointError? {
      isWriting = true
      condition.unlock()
      defer {
        condition.lock()
        isWriting = false
      }
      do throws(CheckpointError) { try work() } catch { return error }
      return nil
    }

    // Disks may take their time.
    private func waitAWhile() {
      _ = condition.wait(until: Date(timeIntervalSinceNow: 0.5))
      whileWaiting()
    }

    func submit(
      _ prepare: () -> Void, _ work: @escaping @Sendable () throws(CheckpointError) -> Void
    ) {
      condition.lock()
      defer { condition.unlock() }
      while isWriting || (self.work != nil && failure == nil) { waitAWhile() }
      prepare()
      self.work = work
      reasonsToTry += 1
      condition.broadcast()
    }

    func takeNews() -> [News] {
      news.withLock { news in
        defer { news = [] }
        return news
      }
    }

    func finish(within seconds: Double) -> CheckpointError? {
      condition.lock()
      defer { condition.unlock() }
      let end = Date(timeIntervalSinceNow: seconds)
      isInHurry = true
      defer { isInHurry = false }
      reasonsToTry += 1
      condition.broadcast()
      while work != nil && (isWriting || Date() < end) { waitAWhile() }
      guard work != nil, let failure else { return nil }
      work = nil
      self.failure = nil
      return failure
    }

    func end() {
      condition.lock()
      isOver = true
      condition.broadcast()
      condition.unlock()
    }
  }
}
