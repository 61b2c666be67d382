#if canImport(Glibc)
internal import Glibc
#endif

/// The group of one: local mode.
///
/// No MPI call is made, and MPI need not be able to start.
public final class SoloCommunicator: Communicator {
  /// Always 0.
  public let rank = 0
  /// Always 1.
  public let worldSize = 1
  /// Always 0.
  public let nodeRank = 0
  /// Always 1.
  public let nodeSize = 1
  /// Always 0.
  public let nodeLeader = 0

  /// The group of this process alone.
  public init() {}

  /// Leaves the values as they are.
  public func allReduce(_: UnsafeMutableBufferPointer<Float>, _: ReduceOperation) {}
  /// Leaves the values as they are.
  public func allReduce(_: UnsafeMutableBufferPointer<Double>, _: ReduceOperation) {}
  /// Leaves the values as they are.
  public func allReduce(_: UnsafeMutableBufferPointer<Int64>, _: ReduceOperation) {}

  /// Leaves the values as they are.
  public func prepareSum(of _: UnsafeMutableBufferPointer<Float>) -> any RepeatedSum { Done() }
  /// Leaves the values as they are.
  public func prepareSum(ofBFloat16 _: UnsafeMutableBufferPointer<UInt16>) -> any RepeatedSum {
    Done()
  }

  private final class Done: RepeatedSum {
    func start() {}
    func isDone() -> Bool { true }
    func wait() {}
  }

  /// Memory of this process, aligned to cache lines.
  public func shareMemory(byteCount: Int) -> SharedMemory? {
    let memory = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(byteCount, 1), alignment: Int(getpagesize()))
    memory.initializeMemory(as: UInt8.self, repeating: 0)
    return SharedMemory(
      segments: [memory], synchronize: {}, release: { memory.deallocate() })
  }

  /// Leaves the bytes as they are.
  public func broadcast(_: UnsafeMutableRawBufferPointer, from root: Int) {
    precondition(root == 0, "Rank \(root) is outside a group of one")
  }

  /// The bytes themselves.
  public func allGather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }

  /// Returns at once.
  public func barrier() {}
  /// Returns at once.
  public func barrierAsleep() {}

  /// Ends the process.
  public func abort(status: Int32) -> Never { exit(status) }

  /// Does nothing.
  public func finalize() {}
}
