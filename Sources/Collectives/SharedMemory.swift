/// Memory that the ranks of a node have in common: a segment a rank, each readable by all.
///
/// Between a write by one rank and a read by another lie, in this order: ``publish()`` on the
/// writer, a collective call that both take part in, ``publish()`` on the reader.
public final class SharedMemory {
  /// The segments in order of rank, on page boundaries; each as long as its owner asked for.
  public let segments: [UnsafeMutableRawBufferPointer]
  private let synchronize: () -> Void
  private let release: () -> Void

  init(
    segments: [UnsafeMutableRawBufferPointer], synchronize: @escaping () -> Void,
    release: @escaping () -> Void
  ) {
    self.segments = segments
    self.synchronize = synchronize
    self.release = release
  }

  deinit {
    release()
  }

  /// Orders this rank's reads and writes before against those after.
  public func publish() { synchronize() }
}
