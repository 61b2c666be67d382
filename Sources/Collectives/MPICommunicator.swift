internal import CCollectives

#if canImport(Glibc)
internal import Glibc
#endif

/// All processes that an MPI launcher started together.
///
/// MPI is started once a process, by ``start()``, and used by one thread (`MPI_THREAD_FUNNELED`).
public final class MPICommunicator: Communicator {
  /// This process among all that were started.
  public let rank: Int
  /// How many were started.
  public let worldSize: Int

  private init(rank: Int32, worldSize: Int32) {
    self.rank = Int(rank)
    self.worldSize = Int(worldSize)
  }

  /// Starts MPI.
  ///
  /// - Throws: ``CollectiveError`` if MPI cannot start.
  public static func start() throws(CollectiveError) -> MPICommunicator {
    var rank: Int32 = 0
    var worldSize: Int32 = 1
    try check("starting MPI", vd_mpi_initialize(&rank, &worldSize))
    return MPICommunicator(rank: rank, worldSize: worldSize)
  }

  /// Sums, or finds extremes, with `MPI_Allreduce`.
  public func allReduce(
    _ values: UnsafeMutableBufferPointer<Float>, _ operation: ReduceOperation
  ) throws(CollectiveError) {
    try allReduce(values.baseAddress, values.count, VD_MPI_FLOAT, operation)
  }

  /// Sums, or finds extremes, with `MPI_Allreduce`.
  public func allReduce(
    _ values: UnsafeMutableBufferPointer<Double>, _ operation: ReduceOperation
  ) throws(CollectiveError) {
    try allReduce(values.baseAddress, values.count, VD_MPI_DOUBLE, operation)
  }

  /// Sums, or finds extremes, with `MPI_Allreduce`.
  public func allReduce(
    _ values: UnsafeMutableBufferPointer<Int64>, _ operation: ReduceOperation
  ) throws(CollectiveError) {
    try allReduce(values.baseAddress, values.count, VD_MPI_INT64, operation)
  }

  private func allReduce(
    _ values: UnsafeMutableRawPointer?, _ count: Int, _ type: vd_mpi_type,
    _ operation: ReduceOperation
  ) throws(CollectiveError) {
    let mpiOperation =
      switch operation {
      case .sum: VD_MPI_SUM
      case .min: VD_MPI_MIN
      case .max: VD_MPI_MAX
      }
    try Self.check("all-reduce", vd_mpi_all_reduce(values, count, type, mpiOperation))
  }

  /// `MPI_Bcast` of bytes.
  public func broadcast(
    _ bytes: UnsafeMutableRawBufferPointer, from root: Int
  ) throws(CollectiveError) {
    precondition(root >= 0 && root < worldSize, "Rank \(root) is outside 0..<\(worldSize)")
    try Self.check("broadcast", vd_mpi_broadcast(bytes.baseAddress, bytes.count, Int32(root)))
  }

  /// `MPI_Allgather`, first of the counts, then of blocks as long as the longest.
  public func allGather(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]] {
    var counts = [Int64](repeating: 0, count: worldSize)
    var own = Int64(bytes.count)
    try Self.check("all-gather", vd_mpi_all_gather(&own, 8, &counts))
    let longest = Int(counts.max() ?? 0)
    if longest == 0 { return Array(repeating: [], count: worldSize) }
    let block = bytes + [UInt8](repeating: 0, count: longest - bytes.count)
    var blocks = [UInt8](repeating: 0, count: longest * worldSize)
    try Self.check("all-gather", vd_mpi_all_gather(block, longest, &blocks))
    return counts.enumerated().map { rank, count in
      Array(blocks[rank * longest..<rank * longest + Int(count)])
    }
  }

  /// `MPI_Barrier`.
  public func barrier() throws(CollectiveError) {
    try Self.check("barrier", vd_mpi_barrier())
  }

  /// `MPI_Abort`.
  public func abort(status: Int32) -> Never {
    vd_mpi_abort(status)
    exit(status)
  }

  /// `MPI_Finalize`.
  public func finalize() throws(CollectiveError) {
    try Self.check("ending MPI", vd_mpi_finalize())
  }

  private static func check(_ operation: String, _ code: Int32) throws(CollectiveError) {
    if code == 0 { return }
    throw CollectiveError(
      operation: operation, code: Int(code), text: text { vd_mpi_error_text(code, $0, $1) })
  }

  private static func text(
    _ write: (UnsafeMutablePointer<CChar>, Int) -> Void
  ) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let start = buffer.baseAddress else { return "" }
      buffer.initialize(repeating: 0)
      write(start, buffer.count)
      return String(cString: start)
    }
  }
}
