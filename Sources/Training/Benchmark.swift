internal import Collectives
internal import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

#if canImport(Glibc)
internal import Glibc
#endif

/// Measures steps, their matrix products alone, and the all-reduce alone, in turn.
///
/// A round is some steps, then as many passes of products, then a few all-reduces of each kind, so
/// that what slows the machine down slows all of them; figures are medians over rounds.
public struct Benchmark {
  private let configuration: TrainingConfiguration
  private let data: PreparedData
  private let threadCount: Int
  private let agreement: Agreement
  private static let stepsPerRound = 10
  private static let warmupSteps = 10

  /// - Parameters:
  ///   - configuration: The settings, validated.
  ///   - data: The examples to train on.
  ///   - threadCount: Threads of this rank.
  ///   - agreement: The ranks.
  public init(
    _ configuration: TrainingConfiguration, data: PreparedData, threadCount: Int,
    agreement: Agreement
  ) {
    self.configuration = configuration
    self.data = data
    self.threadCount = threadCount
    self.agreement = agreement
  }

  /// Measures.
  ///
  /// Collective.
  ///
  /// - Parameter rounds: How often everything is repeated.
  /// - Returns: Rank 0's view, the same on every rank.
  /// - Throws: What a training step throws.
  public func run(rounds: Int) throws -> BenchmarkReport {
    let communicator = agreement.communicator
    let stepper = try DataParallelStep(
      configuration, data: data.train, threadCount: threadCount, agreement: agreement)
    var steps = Steps(configuration, data: data.train, stepper: stepper, agreement: agreement)
    try steps.take(Self.warmupSteps, with: stepper)
    _ = try steps.productSeconds(Self.warmupSteps, with: stepper)
    // Before anything is allocated that training does not need.
    let memory = try largest(Double(Self.peakResidentBytes))

    var times: [StepTimes] = []
    var products: [Double] = []
    var allReduces: [Double] = []
    var plainAllReduces: [Double] = []
    let plain = FloatBuffer(count: stepper.replica.layout.bufferCount)
    for _ in 0..<rounds {
      let before = stepper.times
      try steps.take(Self.stepsPerRound, with: stepper)
      times.append(stepper.times - before)
      products.append(try steps.productSeconds(Self.stepsPerRound, with: stepper))
      if communicator.worldSize == 1 { continue }
      for _ in 0..<3 {
        allReduces.append(try seconds { try stepper.reduction.allReduceGradients() })
        plainAllReduces.append(
          try seconds { try communicator.allReduce(plain.mutableElements, .sum) })
      }
    }
    let alone = try communicator.worldSize == 1 ? nil : rateOfRootAlone(rounds: rounds)
    let milliseconds = Self.milliseconds(times, products: products)
    let batch = min(configuration.globalBatchSize, data.train.count)
    let rate = Double(batch) / milliseconds.step * 1000
    let layout = stepper.replica.layout
    let isRounded = configuration.allReducePrecision == .bf16 && communicator.worldSize > 1
    let byteCount = layout.bufferCount * (isRounded ? 2 : 4)
    let size = Double(communicator.worldSize)
    let allReduceSeconds = Self.median(allReduces)
    return BenchmarkReport(
      processor: Processors.name, ranks: communicator.worldSize, threads: threadCount,
      network: stepper.model.networkText,
      parameters: layout.parameterCount, precision: configuration.precision.rawValue,
      globalBatchSize: batch, steps: rounds * Self.stepsPerRound, milliseconds: milliseconds,
      examplesPerSecond: rate,
      productLimitExamplesPerSecond: Double(batch) / milliseconds.products * 1000,
      productGigaflops: steps.productOperations / milliseconds.products * 1e-6,
      shareOfProductLimit: milliseconds.products / milliseconds.step,
      allReduce: allReduces.isEmpty
        ? nil
        : BenchmarkReport.AllReduce(
          method: stepper.reduction.method.rawValue,
          precision: configuration.allReducePrecision.rawValue, bytes: byteCount,
          bucketBytes: (stepper.reduction as? MessageReduction)?.reportedBucketBytes,
          milliseconds: 1000 * allReduceSeconds,
          mpiMilliseconds: 1000 * Self.median(plainAllReduces),
          busGigabytesPerSecond: 2 * (size - 1) / size * Double(byteCount) / allReduceSeconds
            * 1e-9),
      efficiency: alone.map { rate / (size * $0) }, peakResidentBytes: Int(memory),
      relativeProductTime: try Processors.relativeProductTime(configuration.precision))
  }

  // The slowest rank's time for something that begins on all of them together.
  private func seconds(_ work: () throws -> Void) throws -> Double {
    try agreement.communicator.barrier()
    let start = ContinuousClock.now
    try work()
    return try largest(start.secondsUntilNow)
  }

  private func largest(_ value: Double) throws -> Double {
    var value = value
    try withUnsafeMutablePointer(to: &value) {
      try agreement.communicator.allReduce(UnsafeMutableBufferPointer(start: $0, count: 1), .max)
    }
    return value
  }

  // Examples a second of rank 0 while the others sleep.
  private func rateOfRootAlone(rounds: Int) throws -> Double {
    let communicator = agreement.communicator
    let outcome = Result { try communicator.isRoot ? rateAlone(rounds: rounds) : 0 }
    try communicator.barrierAsleep()
    var rate = 0.0
    try agreement.onRoot { rate = try outcome.get() }
    return try largest(rate)
  }

  private func rateAlone(rounds: Int) throws -> Double {
    let solo = Agreement(SoloCommunicator(), statusOf: agreement.statusOf)
    let stepper = try DataParallelStep(
      configuration, data: data.train, threadCount: threadCount, agreement: solo)
    var steps = Steps(configuration, data: data.train, stepper: stepper, agreement: solo)
    try steps.take(Self.warmupSteps, with: stepper)
    let times = try (0..<rounds).map { _ in
      let before = stepper.times
      try steps.take(Self.stepsPerRound, with: stepper)
      return stepper.times - before
    }
    return Double(min(configuration.globalBatchSize, data.train.count))
      / Self.median(times.map { $0.total / Double($0.stepCount) })
  }

  private static func milliseconds(
    _ times: [StepTimes], products: [Double]
  ) -> BenchmarkReport.Milliseconds {
    func part(_ value: (StepTimes) -> Double) -> Double {
      1000 * median(times.map { value($0) / Double(max($0.stepCount, 1)) })
    }
    return BenchmarkReport.Milliseconds(
      data: part(\.data), forward: part(\.forward), backward: part(\.backward),
      allReduceExposed: part(\.allReduceExposed), allReduceHidden: part(\.allReduceHidden),
      optimizer: part(\.optimizer), other: part(\.other), step: part(\.total),
      products: 1000 * median(products))
  }

  static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    if sorted.isEmpty { return 0 }
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  static var peakResidentBytes: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}

/// Full batches of the first epoch, again and again.
private struct Steps {
  private let configuration: TrainingConfiguration
  private let communicator: any Communicator
  private let sampler: EpochSampler
  private let order: [UInt32]
  private let penalties: KLSchedule
  private var number = 0

  init(
    _ configuration: TrainingConfiguration, data: Examples, stepper: DataParallelStep,
    agreement: Agreement
  ) {
    self.configuration = configuration
    communicator = agreement.communicator
    sampler = EpochSampler(
      exampleCount: data.count, globalBatchSize: configuration.globalBatchSize,
      microBatchSize: configuration.unitSize, seed: configuration.seed)
    order = sampler.order(ofEpoch: 0)
    penalties = KLSchedule(configuration, totalSteps: 1_000_000)
    let rows = Double(sampler.batch(step: 0, rank: 0, worldSize: communicator.worldSize).count)
    productOperations = rows * stepper.model.productOperations
  }

  /// Multiplications and additions of a rank's products in one step.
  let productOperations: Double

  mutating func take(_ count: Int, with stepper: DataParallelStep) throws {
    let noise = RandomStream(seed: configuration.seed, purpose: .trainingNoise, time: 0)
    for _ in 0..<count {
      try order.withUnsafeBufferPointer { order in
        _ = try stepper.run(
          UnsafeBufferPointer(rebasing: order[positions]), epoch: 0, noise: noise,
          number: number + 1, learningRate: configuration.learningRate, penalties: penalties)
      }
      number += 1
    }
  }

  /// Seconds of a step's products.
  mutating func productSeconds(
    _ count: Int, with stepper: DataParallelStep
  ) throws -> Double {
    var total = 0.0
    for _ in 0..<count {
      total += try order.withUnsafeBufferPointer {
        try stepper.productSeconds(UnsafeBufferPointer(rebasing: $0[positions]))
      }
      number += 1
    }
    return total / Double(count)
  }

  private var positions: Range<Int> {
    let fullBatches = max(1, order.count / configuration.globalBatchSize)
    return sampler.batch(
      step: number % fullBatches, rank: communicator.rank, worldSize: communicator.worldSize)
  }
}
