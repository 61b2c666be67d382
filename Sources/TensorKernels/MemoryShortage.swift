internal import Synchronization

/// What a process says that the system gives no more memory.
public enum MemoryShortage {
  private static let handler = Mutex<(@Sendable (Int) -> Never)?>(nil)

  /// Sets who is told how many bytes could not be had, and ends the process.
  public static func setHandler(_ handler: @escaping @Sendable (_ byteCount: Int) -> Never) {
    self.handler.withLock { $0 = handler }
  }

  static func end(byteCount: Int) -> Never {
    if let handler = handler.withLock({ $0 }) { handler(byteCount) }
    fatalError("The system has no \(byteCount) bytes of memory left")
  }
}
