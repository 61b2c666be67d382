internal import Collectives
internal import TensorKernels
internal import VAEObjective

/// Ranks on any number of nodes: gradients travel as messages, every rank updates all parameters.
///
/// Overlapped, the gradient leaves in buckets as soon as backward has completed them, from the last
/// layer to the first, and MPI is asked to move them on between products. Each bucket's parameters
/// are updated as soon as its sum has arrived, while later ones are still on their way. Blocking,
/// the whole gradient leaves after the backward, with the faster blocking call. In bfloat16 each rank
/// rounds what it sends, and each sum is rounded once; parameters and optimizer stay in single
/// precision.
final class MessageReduction: GradientReduction, GradientReceiver {
  let method: AllReduceMethod
  let parameters: FloatBuffer
  let gradients: [FloatBuffer]
  let fixedSums: [FixedPointBuffer]
  let optimizerState: [FloatBuffer]
  var loadsOptimizerState: Bool { true }
  var receiver: (any GradientReceiver)? { self }
  var partElementCount: Int { bucketBytes / MemoryLayout<Float>.stride }
  /// Bytes of gradient that leave together.
  let bucketBytes: Int

  /// The same for reports; nil if everything leaves at once.
  var reportedBucketBytes: Int? { method == .overlapped ? bucketBytes : nil }

  private let communicator: any Communicator
  private let team: WorkerTeam
  private let rounded: BFloat16Buffer?  // the gradient as it travels

  private struct Bucket {
    let range: Range<Int>
    let sum: any RepeatedSum
    var hasArrived = false
  }
  private var buckets: [Bucket] = []  // prepared in the first step, which all others repeat
  private var sentCount = 0  // how many of them this step has begun
  private var isCollected = false  // all sums lie in the gradient
  private var scale: FixedPointScale?  // of this step's sums
  private var waiting: Range<Int>?  // complete, but too small to leave
  private var failure: CollectiveError?
  private var busySince: ContinuousClock.Instant?  // when messages last began to be under way
  private var busySeconds = 0.0  // how long some were, while the gradient was computed

  /// - Parameters:
  ///   - method: `overlapped` or `blocking`.
  ///   - configuration: The number format, and the size of a bucket if it is given.
  ///   - bufferCount: Elements of a flat buffer.
  ///   - stateCount: How many buffers the optimizer keeps.
  ///   - team: This rank's threads.
  ///   - communicator: The ranks. Collective, since the size of a bucket may be measured.
  /// - Throws: A `CollectiveError`.
  init(
    _ method: AllReduceMethod, _ configuration: TrainingConfiguration, bufferCount: Int,
    stateCount: Int, team: WorkerTeam, communicator: any Communicator
  ) throws {
    self.method = method
    self.team = team
    self.communicator = communicator
    parameters = FloatBuffer(count: bufferCount)
    gradients = (0..<team.count).map { _ in FloatBuffer(count: bufferCount) }
    fixedSums = (0..<(configuration.deterministic ? team.count : 0)).map { _ in
      FixedPointBuffer(count: bufferCount)
    }
    optimizerState = (0..<stateCount).map { _ in FloatBuffer(count: bufferCount) }
    rounded =
      configuration.allReducePrecision == .bf16 ? BFloat16Buffer(count: bufferCount) : nil
    bucketBytes =
      method == .blocking
      ? .max : try configuration.bucketBytes ?? Self.measuredBucketBytes(communicator)
  }

  /// The size at which the latency of an all-reduce is a tenth of its time.
  ///
  /// `time = latency + bytes / bandwidth`, from a small and a large message. Collective; the slowest
  /// rank's view counts.
  private static func measuredBucketBytes(_ communicator: any Communicator) throws -> Int {
    func seconds(_ count: Int, repeats: Int) throws -> Double {
      let values = FloatBuffer(count: count)
      var best = Double.infinity
      for _ in 0..<repeats {
        try communicator.barrier()
        let start = ContinuousClock.now
        try communicator.allReduce(values.mutableElements, .sum)
        best = min(best, start.secondsUntilNow)
      }
      return best
    }
    let (small, large) = (256, 1 << 17)
    let latency = try seconds(small, repeats: 6)
    let perElement = (try seconds(large, repeats: 3) - latency) / Double(large - small)
    var bytes = min(36 * latency / max(perElement, 1e-12), 1e12)
    try withUnsafeMutablePointer(to: &bytes) {
      try communicator.allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), .max)
    }
    return min(max(Int(bytes), 1 << 18), 1 << 26)
  }

  // MARK: While the gradient is computed

  func begin() {
    sentCount = 0
    isCollected = false
    waiting = nil
    busySince = nil
    busySeconds = 0
  }

  func didComputeGradient(scale: FixedPointScale?) { self.scale = scale }

  func gradientIsComplete(_ range: Range<Int>) {
    let open = range.lowerBound..<(waiting?.upperBound ?? range.upperBound)
    waiting = open
    let isLast = range.lowerBound == 0
    if method == .blocking { return }
    if isLast || open.count >= partElementCount {
      busySince = busySince ?? .now
      send(open)
      waiting = nil
    }
    progress()
    if isLast { stopBeingBusy() }
  }

  func progress() {
    guard failure == nil else { return }
    do throws(CollectiveError) {
      for index in 0..<sentCount where !buckets[index].hasArrived {
        buckets[index].hasArrived = try buckets[index].sum.isDone()
      }
    } catch {
      failure = error
    }
    if buckets[..<sentCount].allSatisfy(\.hasArrived) { stopBeingBusy() }
  }

  private func stopBeingBusy() {
    if let busySince { busySeconds += busySince.secondsUntilNow }
    busySince = nil
  }

  private func send(_ range: Range<Int>) {
    guard failure == nil else { return }
    if sentCount == buckets.count { buckets.append(Bucket(range: range, sum: prepareSum(range))) }
    precondition(buckets[sentCount].range == range, "Every step has the same buckets")
    rounded?.round(gradients[0], range)
    do throws(CollectiveError) {
      try buckets[sentCount].sum.start()
    } catch {
      failure = error
    }
    buckets[sentCount].hasArrived = false
    sentCount += 1
  }

  private func prepareSum(_ range: Range<Int>) -> any RepeatedSum {
    if let rounded {
      return communicator.prepareSum(
        ofBFloat16: UnsafeMutableBufferPointer(rebasing: rounded.elements[range]))
    }
    return communicator.prepareSum(
      of: UnsafeMutableBufferPointer(rebasing: gradients[0].mutableElements[range]))
  }

  // MARK: When it is there

  func sumOfSquares(_ times: inout StepTimes) throws -> Double {
    try collect(&times) { _, _ in }
    isCollected = true
    if scale != nil { return try exactSumOfSquares(gradients[0], 0..<gradients[0].count, nil) }
    var total = TensorKernels.sumOfSquares(gradients[0])
    // Processors of different kinds add in different orders.
    try times.measure(\.allReduceExposed) {
      try withUnsafeMutablePointer(to: &total) {
        try communicator.allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), .max)
      }
    }
    return total
  }

  func update(
    _ times: inout StepTimes, _ update: (Range<Int>, GradientSum) -> Void
  ) throws {
    times.allReduceHidden += busySeconds
    func updateParameters(_ range: Range<Int>, _ times: inout StepTimes) {
      times.measure(\.optimizer) {
        team.forEachPart(of: range, alignment: FloatBuffer.alignmentInElements) {
          update($0, .floats([gradients[0]]))
        }
      }
    }
    if isCollected {
      updateParameters(0..<gradients[0].count, &times)
    } else {
      try collect(&times, updateParameters)
    }
  }

  func allReduceGradients() throws {
    begin()
    for bucket in buckets { send(bucket.range) }
    var times = StepTimes()
    try collect(&times) { _, _ in }
  }

  func abandon() {
    for bucket in buckets[..<sentCount] { try? bucket.sum.wait() }
  }

  // Whole numbers of all threads and ranks, converted once.
  private func collectFixedSums(
    _ all: Range<Int>, _ scale: FixedPointScale, _ times: inout StepTimes
  ) throws {
    times.measure(\.optimizer) {
      team.forEachPart(of: all, alignment: FloatBuffer.alignmentInElements) { part in
        for other in fixedSums.dropFirst() { fixedSums[0].add(other, part) }
      }
    }
    try times.measure(\.allReduceExposed) {
      try communicator.allReduce(fixedSums[0].elements, .sum)
    }
    times.measure(\.optimizer) {
      team.forEachPart(of: all, alignment: FloatBuffer.alignmentInElements) {
        GradientSum.fixedPoint([fixedSums[0]], scale).write($0, into: gradients[0])
      }
    }
  }

  // Calls `body` for each range whose sum has arrived, in the order in which they left.
  private func collect(
    _ times: inout StepTimes, _ body: (Range<Int>, inout StepTimes) -> Void
  ) throws {
    let all = 0..<gradients[0].count
    if let scale {
      try collectFixedSums(all, scale, &times)
      return body(all, &times)
    }
    if method == .blocking && rounded == nil {
      try times.measure(\.allReduceExposed) {
        try communicator.allReduce(gradients[0].mutableElements, .sum)
      }
      return body(all, &times)
    }
    if sentCount == 0 {
      // One sum is at most 2³⁰ elements.
      times.measure(\.allReduceExposed) {
        for start in stride(from: 0, to: all.upperBound, by: 1 << 28) {
          send(start..<min(start + (1 << 28), all.upperBound))
        }
      }
    }
    for index in 0..<sentCount {
      if let failure { throw failure }
      let bucket = buckets[index]
      try times.measure(\.allReduceExposed) {
        try bucket.sum.wait()
        buckets[index].hasArrived = true
        if let rounded {
          widenBFloat16(
            UnsafeBufferPointer(rebasing: rounded.elements[bucket.range]),
            into: UnsafeMutableBufferPointer(rebasing: gradients[0].mutableElements[bucket.range]))
        }
      }
      body(bucket.range, &times)
      progress()
    }
  }
}
