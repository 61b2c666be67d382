/// Ranks that agree.
///
/// A group of `worldSize` processes, numbered by `rank`. Every method but ``abort(status:)`` is
/// collective: every rank calls it, in the same order, with the same counts, and the call returns
/// when this rank has its result. MPI does not notice when counts differ (one rank gets an error,
/// another success), so callers compare what they are about to do first.
///
/// Rank 0 is the root: it speaks and writes.
public protocol Communicator: AnyObject, Sendable {
  /// This process, in `0 ..< worldSize`.
  var rank: Int { get }
  /// How many processes there are.
  var worldSize: Int { get }
  /// This process among those of its node, in `0 ..< nodeSize`.
  var nodeRank: Int { get }
  /// How many of the processes share this one's memory.
  var nodeSize: Int { get }
  /// The first rank of this one's node.
  var nodeLeader: Int { get }

  /// Combines elements over all ranks, in place. Afterwards every rank holds the same values.
  ///
  /// - Parameters:
  ///   - values: As many on every rank.
  ///   - operation: How two ranks' elements are combined.
  /// - Throws: ``CollectiveError`` with MPI's own text.
  func allReduce(
    _ values: UnsafeMutableBufferPointer<Float>, _ operation: ReduceOperation)
    throws(CollectiveError)
  /// Combines elements over all ranks, in place. Afterwards every rank holds the same values.
  func allReduce(
    _ values: UnsafeMutableBufferPointer<Double>, _ operation: ReduceOperation)
    throws(CollectiveError)
  /// Combines elements over all ranks, in place. Afterwards every rank holds the same values.
  func allReduce(
    _ values: UnsafeMutableBufferPointer<Int64>, _ operation: ReduceOperation)
    throws(CollectiveError)

  /// Prepares to add elements over all ranks, in place, again and again, while this rank does
  /// something else.
  ///
  /// Sums are prepared in the same order on every rank, and may be under way at the same time.
  /// Additions are made in the order of ranks, so that the result is the same on every rank and in
  /// every run.
  ///
  /// - Parameter values: As many on every rank, at most 2³⁰; they outlive the sum.
  /// - Returns: The sum, not started.
  func prepareSum(of values: UnsafeMutableBufferPointer<Float>) -> any RepeatedSum
  /// Prepares to add bfloat16 numbers (the upper halves of floats); they are added in single
  /// precision and the sum is rounded once.
  func prepareSum(ofBFloat16 values: UnsafeMutableBufferPointer<UInt16>) -> any RepeatedSum

  /// Memory that all ranks of the node can read and write, a segment for each.
  ///
  /// Collective over all ranks. The memory is zero at first.
  ///
  /// - Parameter byteCount: The size of this rank's own segment.
  /// - Returns: The segments, or nil on every rank if some rank's memory cannot be shared.
  /// - Throws: ``CollectiveError`` if the ranks cannot be asked.
  func shareMemory(byteCount: Int) throws(CollectiveError) -> SharedMemory?

  /// Sends the root's bytes to every rank, in place; the count is the same on every rank.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from root: Int) throws(CollectiveError)

  /// Every rank's bytes, in order of rank, on every rank. Counts may differ between ranks.
  func allGather(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]]

  /// Returns when every rank has called it.
  func barrier() throws(CollectiveError)

  /// Returns when every rank has called it, and leaves the processor to others until then; for waits
  /// of seconds.
  func barrierAsleep() throws(CollectiveError)

  /// Ends every rank of the group at once; not collective. For a rank that cannot go on.
  func abort(status: Int32) -> Never

  /// Leaves the group; the last collective call.
  func finalize() throws(CollectiveError)
}

/// How ``Communicator/allReduce(_:_:)-(UnsafeMutableBufferPointer<Float>,_)`` combines two elements.
public enum ReduceOperation: Sendable {
  /// Addition; the order of ranks is the library's own.
  case sum
  /// The smaller one.
  case min
  /// The larger one.
  case max
}

/// A sum over all ranks that moves on while MPI is called.
public protocol RepeatedSum: AnyObject {
  /// Begins. Nobody touches the values before it is done.
  func start() throws(CollectiveError)
  /// Moves the sum on, and tells whether this rank has its result.
  func isDone() throws(CollectiveError) -> Bool
  /// Returns when this rank has its result.
  func wait() throws(CollectiveError)
}

/// A call that MPI refused.
public struct CollectiveError: Error, CustomStringConvertible, Equatable {
  /// What was being done, in MPI's words: `all-reduce`, `broadcast`.
  public let operation: String
  /// MPI's error code.
  public let code: Int
  /// MPI's own text for the code.
  public let text: String

  /// `all-reduce failed: MPI error 15 (MPI_ERR_TRUNCATE: message truncated)`.
  public var description: String { "\(operation) failed: MPI error \(code) (\(text))" }
}

extension Communicator {
  /// Whether this rank is the one that speaks and writes.
  public var isRoot: Bool { rank == 0 }
  /// Whether all ranks share one machine's memory.
  public var isOneNode: Bool { nodeSize == worldSize }

  /// The root's text on every rank.
  public func broadcast(_ text: String, from root: Int = 0) throws(CollectiveError) -> String {
    String(decoding: try allGather(rank == root ? Array(text.utf8) : [])[root], as: UTF8.self)
  }
}
