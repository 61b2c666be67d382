internal import Collectives
internal import TensorKernels
internal import VAEObjective

/// How the gradients of all ranks become the same update of every replica.
///
/// It owns the flat buffers, because where they lie decides how they can be added. In a step, in
/// this order and on every rank: ``begin()``, the gradient with ``receiver`` or the gradients of pieces
/// into ``fixedSums``, ``didComputeGradient(scale:)``, then, if its norm is
/// asked for, ``sumOfSquares(_:)``, and ``update(_:_:)``. Between ``didComputeGradient(scale:)`` and these
/// all ranks meet (in the sum of the ELBO).
protocol GradientReduction: AnyObject {
  /// What is said of it in reports.
  var method: AllReduceMethod { get }
  /// This rank's parameters.
  var parameters: FloatBuffer { get }
  /// This rank's gradient sums, one a thread.
  var gradients: [FloatBuffer] { get }
  /// This rank's gradient sums in fixed point, one a thread; none unless results must not depend on
  /// ranks and threads.
  var fixedSums: [FixedPointBuffer] { get }
  /// The optimizer's state, zeros at first.
  var optimizerState: [FloatBuffer] { get }
  /// Whether this rank is the one that reads the state from a checkpoint.
  var loadsOptimizerState: Bool { get }
  /// Who is told of parts of the gradient; nil if nobody wants them before the end.
  var receiver: (any GradientReceiver)? { get }

  /// A step begins.
  func begin()
  /// This rank's gradient is whole, in ``gradients``, or in ``fixedSums`` if there is a scale.
  func didComputeGradient(scale: FixedPointScale?)
  /// The sum of the squares of the gradient sum over all ranks. Collective.
  func sumOfSquares(_ times: inout StepTimes) throws -> Double
  /// Updates every replica alike. Collective.
  ///
  /// - Parameters:
  ///   - times: Where the time is noted.
  ///   - update: Updates a range of ``parameters`` by the sum of some gradients; called on several
  ///     threads at once.
  /// - Throws: A `CollectiveError`.
  func update(
    _ times: inout StepTimes, _ update: (Range<Int>, GradientSum) -> Void) throws
  /// Adds up this rank's gradients over all ranks and leaves the sum in the first of them: the
  /// all-reduce alone, for measuring it. Collective.
  func allReduceGradients() throws
  /// Ends a step that will not be finished; nothing is under way afterwards. Collective.
  func abandon()
}

/// Σ v² of a buffer of which each rank knows a part, or all if there is no communicator.
///
/// Added in blocks whose order does not depend on the ranks. Collective.
///
/// - Throws: A `CollectiveError`.
func exactSumOfSquares(
  _ values: FloatBuffer, _ range: Range<Int>, _ communicator: (any Communicator)?
) throws -> Double {
  let blockCount = (values.count + sumOfSquaresBlock - 1) / sumOfSquaresBlock
  return try withUnsafeTemporaryAllocation(of: Double.self, capacity: blockCount) { sums in
    sums.initialize(repeating: 0)
    sumsOfSquares(values, range, into: sums)
    // Others' blocks are 0 here, and adding 0 changes nothing.
    try communicator?.allReduce(sums, .sum)
    return sums.reduce(0, +)
  }
}

/// The reduction that the configuration asks for, or that fits the ranks.
///
/// Collective.
///
/// - Throws: ``TrainingError/sharedMemoryUnavailable(nodeSize:worldSize:)`` on every rank if it was
///   asked for and cannot be had, or a `CollectiveError`.
func makeReduction(
  _ configuration: TrainingConfiguration, bufferCount: Int, stateCount: Int, team: WorkerTeam,
  agreement: Agreement
) throws -> any GradientReduction {
  let communicator = agreement.communicator
  let method = configuration.allReduce
  let wantsShared =
    method == .sharedMemory
    || method == .automatic && (configuration.allReducePrecision == .f32)
    || communicator.worldSize == 1
  let isExact = configuration.deterministic
  if wantsShared {
    if let reduction = try SharedMemoryReduction(
      bufferCount: bufferCount, stateCount: stateCount, isExact: isExact, team: team,
      communicator: communicator)
    {
      return reduction
    }
    if method == .sharedMemory {
      try agreement.fail(
        TrainingError.sharedMemoryUnavailable(
          nodeSize: communicator.nodeSize, worldSize: communicator.worldSize))
    }
  }
  // Within a node MPI's blocking call is twice as fast as the other one, and hides nothing less.
  let blocks =
    method == .blocking || isExact || method == .automatic && communicator.isOneNode
  return try MessageReduction(
    blocks ? .blocking : .overlapped, configuration, bufferCount: bufferCount,
    stateCount: stateCount, team: team, communicator: communicator)
}
