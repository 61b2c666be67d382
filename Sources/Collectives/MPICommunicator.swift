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
  /// This process among those of its node.
  public let nodeRank: Int
  /// How many were started on this node.
  public let nodeSize: Int
  /// The first rank of this node.
  public let nodeLeader: Int

  private init(_ place: vd_mpi_place) {
    rank = Int(place.rank)
    worldSize = Int(place.world_size)
    nodeRank = Int(place.node_rank)
    nodeSize = Int(place.node_size)
    nodeLeader = Int(place.node_leader)
  }

  /// Starts MPI.
  ///
  /// - Throws: ``CollectiveError`` if MPI cannot start.
  public static func start() throws(CollectiveError) -> MPICommunicator {
    var place = vd_mpi_place()
    try check("starting MPI", vd_mpi_initialize(&place))
    return MPICommunicator(place)
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

  /// Messages between all pairs of ranks.
  public func prepareSum(of values: UnsafeMutableBufferPointer<Float>) -> any RepeatedSum {
    MPISum(values.baseAddress, values.count, VD_MPI_FLOAT)
  }

  /// Messages between all pairs of ranks.
  public func prepareSum(
    ofBFloat16 values: UnsafeMutableBufferPointer<UInt16>
  ) -> any RepeatedSum {
    MPISum(values.baseAddress, values.count, VD_MPI_BFLOAT16)
  }

  private final class MPISum: RepeatedSum {
    private let sum: OpaquePointer

    init(_ values: UnsafeMutableRawPointer?, _ count: Int, _ type: vd_mpi_type) {
      guard let sum = vd_mpi_make_sum(values, count, type) else {
        preconditionFailure("There is no memory for a sum of \(count) values")
      }
      self.sum = sum
    }

    deinit { vd_mpi_destroy_sum(sum) }

    func start() throws(CollectiveError) {
      try MPICommunicator.check("sum", waits: false, vd_mpi_start_sum(sum))
    }

    func isDone() throws(CollectiveError) -> Bool {
      var isDone: Int32 = 0
      try MPICommunicator.check("sum", waits: false, vd_mpi_test_sum(sum, &isDone))
      return isDone != 0
    }

    func wait() throws(CollectiveError) {
      try MPICommunicator.check("sum", vd_mpi_wait_sum(sum))
    }
  }

  /// Memory without a name, mapped by all ranks of the node.
  public func shareMemory(byteCount: Int) throws(CollectiveError) -> SharedMemory? {
    var segments = [UnsafeMutableRawPointer?](repeating: nil, count: nodeSize)
    var byteCounts = [Int](repeating: 0, count: nodeSize)
    let code = vd_mpi_share_memory(max(byteCount, 1), &segments, &byteCounts)
    let mapped = Array(zip(segments, byteCounts))
    let memory = SharedMemory(
      segments: mapped.compactMap { segment, byteCount in
        segment.map { UnsafeMutableRawBufferPointer(start: $0, count: byteCount) }
      }, synchronize: vd_mpi_synchronize,
      release: { for (segment, byteCount) in mapped { vd_mpi_unmap(segment, byteCount) } })
    let isHere = code == 0 && memory.segments.count == nodeSize
    return try allGather([isHere ? 1 : 0]).contains([0]) ? nil : memory
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

  /// `MPI_Ibarrier`, asked about a thousand times a second.
  public func barrierAsleep() throws(CollectiveError) {
    try Self.check("barrier", vd_mpi_barrier_asleep())
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

  private static func check(
    _ operation: String, waits: Bool = true, _ call: @autoclosure () -> Int32
  ) throws(CollectiveError) {
    let code = waits ? RankActivity.whileWaiting { call() } : call()
    if code == 0 { return }
    throw CollectiveError(
      operation: operation, code: Int(code), text: text { vd_mpi_error_text(code, $0, $1) })
  }

  /// The name and version of the MPI library.
  public static var libraryVersion: String { text { vd_mpi_library_version($0, $1) } }

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
