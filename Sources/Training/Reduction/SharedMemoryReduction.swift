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
  let optimizerState: [FloatBuffer]
  var loadsOptimizerState: Bool { rank == 0 }
  var receiver: (any GradientReceiver)? { nil }

  private let communicator: any Communicator
  private let team: WorkerTeam
  private let memory: SharedMemory
  private let rank: Int
  private let replicas: [FloatBuffer]  // one a rank
  private let gradientsOfRanks: [[FloatBuffer]]  // one a thread of each rank
  private let shards: [Range<Int>]  // one a rank
  private var sources: [FloatBuffer]  // what adds up to the gradient, in the order of ranks

  /// Asks the node for the memory.
  ///
  /// Collective.
  ///
  /// - Returns: Nil if the ranks are on several nodes or there is too little shared memory.
  init?(
    bufferCount: Int, stateCount: Int, team: WorkerTeam, communicator: any Communicator
  ) throws {
    guard communicator.isOneNode else { return nil }
    let threadCounts = try communicator.allGather(
      withUnsafeBytes(of: UInt32(team.count)) { Array($0) }
    ).map { $0.withUnsafeBytes { Int($0.loadUnaligned(as: UInt32.self)) } }
    let byteCount = FloatBuffer.roundedUp(bufferCount) * MemoryLayout<Float>.stride
    // The root's segment holds the optimizer's state too.
    let rank = communicator.rank
    let bufferCounts = threadCounts.enumerated().map { 1 + $1 + ($0 == 0 ? stateCount : 0) }
    guard
      let memory = try communicator.shareMemory(byteCount: bufferCounts[rank] * byteCount)
    else { return nil }
    func buffer(_ rank: Int, _ index: Int) -> FloatBuffer {
      FloatBuffer(
        in: UnsafeMutableRawBufferPointer(
          rebasing: memory.segments[rank][(index * byteCount)..<((index + 1) * byteCount)]),
        count: bufferCount, owner: memory)
    }
    replicas = threadCounts.indices.map { buffer($0, 0) }
    gradientsOfRanks = threadCounts.enumerated().map { rank, threads in
      (1...threads).map { buffer(rank, $0) }
    }
    optimizerState = (0..<stateCount).map { buffer(0, 1 + threadCounts[0] + $0) }
    let unit = FloatBuffer.alignmentInElements
    let units = bufferCount / unit
    let size = communicator.worldSize
    shards = (0..<size).map { $0 * units / size * unit..<($0 + 1) * units / size * unit }
    precondition(bufferCount % unit == 0, "Flat buffers are whole cache lines")
    sources = []
    self.rank = rank
    self.memory = memory
    self.team = team
    self.communicator = communicator
  }

  func begin() { sources = gradientsOfRanks.flatMap { $0 } }

  func didComputeGradient() { memory.publish() }

  func sumOfSquares(_ times: inout StepTimes) throws -> Double {
    memory.publish()
    // The sums are needed again: they replace this rank's own gradient within its part.
    var total = times.measure(\.optimizer) {
      team.forEachPart(of: shards[rank], alignment: FloatBuffer.alignmentInElements) {
        sum(sources, $0, into: gradients[0])
      }
      return TensorKernels.sumOfSquares(gradients[0], shards[rank])
    }
    sources = [gradients[0]]
    try times.measure(\.allReduceExposed) {
      try withUnsafeMutablePointer(to: &total) {
        try communicator.allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), .sum)
      }
    }
    return total
  }

  func abandon() {}

  func update(
    _ times: inout StepTimes, _ update: (Range<Int>, [FloatBuffer]) -> Void
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
      sum(sources, $0, into: gradients[0])
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
