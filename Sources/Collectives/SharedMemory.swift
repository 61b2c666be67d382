/// Memory that the ranks of a node have in common: a segment a rank, each readable by all.
///
/// Between a write by one rank and a read by another lie, in this order: ``publish()`` on the
/// writer, a collective call that both take part in, ``publish()`` on the reader.
public final class SharedMemory {
  /// What the address of every segment is a multiple of: a cache line.
  static let alignment = 64

  /// The segments in order of rank; each as long as its owner asked for.
  public let segments: [UnsafeMutableRawPointer]
  private let synchronize: () -> Void

  init(segments: [UnsafeMutableRawPointer], synchronize: @escaping () -> Void) {
    self.segments = segments
    self.synchronize = synchronize
  }

  /// Orders this rank's reads and writes before against those after.
  public func publish() { synchronize() }
}
