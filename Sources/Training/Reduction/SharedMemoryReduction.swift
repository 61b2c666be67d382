internal import Collectives
internal import TensorKernels
internal import VAEObjective

/// All ranks on one node: gradients, parameters and optimizer state lie in memory that all see.
///
/// Each rank adds up the gradients of its part of the parameters, straight from the buffers of all
/// ranks' threads, and updates that part in its own replica, where it alone has work to do. Then
/// each copies the other parts from their owners. So every gradient is read once, every parameter is
/// updated once, and the optimizer's state exists once on the node. One rank alone is the same with
/// nothing to copy.
///
/// Ranks wait for each other twice a step: before the gradients are read (in the sum of the ELBO,
/// which every step takes before this), and before the parameters are copied. Nobody can come to the
/// next step's update, which writes parameters again, before everybody has copied.
final class SharedMemoryReduction: GradientReduction {
  let method = AllReduceMethod.sharedMemory
  var parameters: FloatBuffer { replicas[rank] }
  var gradients: [FloatBuffer] { gradientsOfRanks[rank] }
  var fixedSums: [FixedPointBuffer] { fixedSumsOfRanks[rank] }
  let optimizerState: [FloatBuffer]
  var loadsOptimizerState: Bool { rank == 0 }
  var receiver: (any GradientReceiver)? { nil }

  private let communicator: any Communicator
  private let team: WorkerTeam
  private let memory: SharedMemory
  private let rank: Int
  private let replicas: [FloatBuffer]  // one a rank
  private let gradientsOfRanks: [[FloatBuffer]]  // one a thread of each rank
  private let fixedSumsOfRanks: [[FixedPointBuffer]]  // the same, where sums are exact
  private let shards: [Range<Int>]  // one a rank
  // What adds up to the gradient, in the order of ranks.
  private var sources = GradientSum.floats([])
  private let isExact: Bool

  /// Asks the node for the memory.
  ///
  /// Collective.
  ///
  /// - Returns: Nil if the ranks are on several nodes or there is too little shared memory.
  init?(
    bufferCount: Int, stateCount: Int, isExact: Bool = false, team: WorkerTeam,
    communicator: any Communicator
  ) throws {
    guard communicator.isOneNode else { return nil }
    let threadCounts = try communicator.allGather(
      withUnsafeBytes(of: UInt32(team.count)) { Array($0) }
    ).map { $0.withUnsafeBytes { Int($0.loadUnaligned(as: UInt32.self)) } }
    let byteCount = FloatBuffer.roundedUp(bufferCount) * MemoryLayout<Float>.stride
    // The root's segment holds the optimizer's state too.
    let rank = communicator.rank
    // A sum in fixed point is as large as two floats.
    let bufferCounts = threadCounts.enumerated().map {
      1 + $1 * (isExact ? 3 : 1) + ($0 == 0 ? stateCount : 0)
    }
    guard
      let memory = try communicator.shareMemory(byteCount: bufferCounts[rank] * byteCount)
    else { return nil }
    func bytes(_ rank: Int, _ index: Int, buffers: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(
        rebasing: memory.segments[rank][index * byteCount..<(index + buffers) * byteCount])
    }
    func buffer(_ rank: Int, _ index: Int) -> FloatBuffer {
      FloatBuffer(in: bytes(rank, index, buffers: 1), count: bufferCount, owner: memory)
    }
    replicas = threadCounts.indices.map { buffer($0, 0) }
    gradientsOfRanks = threadCounts.enumerated().map { rank, threads in
      (1...threads).map { buffer(rank, $0) }
    }
    fixedSumsOfRanks = threadCounts.enumerated().map { rank, threads in
      let first = 1 + threads + (rank == 0 ? stateCount : 0)
      return (0..<(isExact ? threads : 0)).map {
        FixedPointBuffer(
          in: bytes(rank, first + 2 * $0, buffers: 2), count: bufferCount, owner: memory)
      }
    }
    optimizerState = (0..<stateCount).map { buffer(0, 1 + threadCounts[0] + $0) }
    precondition(
      bufferCount % FloatBuffer.alignmentInElements == 0, "Flat buffers are whole cache lines")
    // Blocks whose squares are added up for themselves are not divided.
    let unit = isExact ? sumOfSquaresBlock : FloatBuffer.alignmentInElements
    let units = (bufferCount + unit - 1) / unit
    let size = communicator.worldSize
    func bound(_ part: Int) -> Int { min(part * units / size * unit, bufferCount) }
    shards = (0..<size).map { bound($0)..<bound($0 + 1) }
    self.isExact = isExact
    self.rank = rank
    self.memory = memory
    self.team = team
    self.communicator = communicator
  }

  func begin() { sources = .floats(gradientsOfRanks.flatMap { $0 }) }

  func didComputeGradient(scale: FixedPointScale?) {
    if let scale { sources = .fixedPoint(fixedSumsOfRanks.flatMap { $0 }, scale) }
    memory.publish()
  }

  func sumOfSquares(_ times: inout StepTimes) throws -> Double {
    memory.publish()
    // The sums are needed again: they replace this rank's own gradient within its part.
    times.measure(\.optimizer) {
      team.forEachPart(of: shards[rank], alignment: FloatBuffer.alignmentInElements) {
        sources.write($0, into: gradients[0])
      }
    }
    sources = .floats([gradients[0]])
    if isExact { return try exactSumOfSquares(gradients[0], shards[rank], communicator) }
    var total = TensorKernels.sumOfSquares(gradients[0], shards[rank])
    try times.measure(\.allReduceExposed) {
      try withUnsafeMutablePointer(to: &total) {
        try communicator.allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), .sum)
      }
    }
    return total
  }

  func abandon() {}

  func update(
    _ times: inout StepTimes, _ update: (Range<Int>, GradientSum) -> Void
  ) throws {
    memory.publish()
    times.measure(\.optimizer) {
      team.forEachPart(of: shards[rank], alignment: FloatBuffer.alignmentInElements) {
        update($0, sources)
      }
    }
    try times.measure(\.allReduceExposed) { try copyShards(of: replicas) }
  }

  func allReduceGradients() throws {
    begin()
    try communicator.barrier()
    memory.publish()
    team.forEachPart(of: shards[rank], alignment: FloatBuffer.alignmentInElements) {
      sources.write($0, into: gradients[0])
    }
    try copyShards(of: gradientsOfRanks.map { $0[0] })
  }

  // Once every rank has written its own part of its own buffer, takes the other parts from theirs.
  private func copyShards(of buffers: [FloatBuffer]) throws {
    if shards.count == 1 { return }
    memory.publish()
    try communicator.barrier()
    memory.publish()
    for other in shards.indices where other != rank {
      team.forEachPart(of: shards[other], alignment: FloatBuffer.alignmentInElements) { part in
        (buffers[rank].base + part.lowerBound).update(
          from: buffers[other].base + part.lowerBound, count: part.count)
      }
    }
  }
}
