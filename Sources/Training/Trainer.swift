internal import Checkpointing
internal import Collectives
internal import DataLoading
internal import Digests
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// The loop: every rank a replica and a slice of each global batch, gradients all-reduced every
/// step, the same update everywhere.
///
/// Contract: every rank makes a trainer with the same configuration, data and replica layout, and
/// calls ``run()``. Replicas start alike (from the seed, or from one checkpoint) and get the same
/// gradient, so they stay alike without parameters ever being sent; a digest is compared at every
/// checkpoint. Gradients are sums over examples, divided once by the examples of the global batch:
/// short batches and uneven slices weigh each example alike. The root alone writes and speaks.
public final class Trainer {
  let configuration: TrainingConfiguration
  let agreement: Agreement
  let data: PreparedData
  let replica: any Replica
  let folder: RunFolder
  let observer: (any TrainingObserver)?
  private let optimizer: Optimizer
  private let sampler: EpochSampler
  private let reader: BatchReader
  private let evaluator: Evaluator
  private let schedule: LearningRateSchedule
  private let totalSteps: Int
  var communicator: any Communicator { agreement.communicator }

  /// Where the run is.
  public internal(set) var progress = TrainingProgress()
  private var claim: RunClaim?
  var metrics: MetricsLog?
  var clock = RunClock()
  private var elboIsImproved = false

  /// Checks that this rank's memory can hold what a trainer would allocate.
  ///
  /// - Throws: ``TrainingError/tooLarge(gigabytes:available:)``.
  public static func requireMemory(
    _ configuration: TrainingConfiguration, data: PreparedData, worldSize: Int, threadCount: Int
  ) throws(TrainingError) {
    let batch = (min(configuration.globalBatchSize, data.train.count) + worldSize - 1) / worldSize
    try MemoryEstimate.require(
      MemoryEstimate.byteCount(
        configuration, inputs: data.train.width,
        examplesPerThread: (batch + threadCount - 1) / threadCount, threadCount: threadCount))
  }

  /// Allocates everything that a step needs.
  ///
  /// - Parameters:
  ///   - configuration: The settings, validated.
  ///   - data: The examples.
  ///   - threadCount: Threads of this rank.
  ///   - folder: Where results go.
  ///   - agreement: The ranks.
  ///   - observer: Who tells people; nil on all ranks but the root.
  public init(
    _ configuration: TrainingConfiguration, data: PreparedData, threadCount: Int,
    folder: RunFolder, agreement: Agreement, observer: (any TrainingObserver)?
  ) {
    self.configuration = configuration
    self.data = data
    self.folder = folder
    self.agreement = agreement
    self.observer = observer
    let communicator = agreement.communicator
    sampler = EpochSampler(
      exampleCount: data.train.count, globalBatchSize: configuration.globalBatchSize,
      seed: configuration.seed)
    totalSteps = configuration.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)
    schedule = LearningRateSchedule(configuration, totalSteps: totalSteps)
    let largestBatch = min(configuration.globalBatchSize, data.train.count)
    let capacity = (largestBatch + communicator.worldSize - 1) / communicator.worldSize
    replica = CPUReplica(
      configuration.model(inputs: data.train.width), capacity: capacity,
      groupCapacity: Evaluator.groupSize, threadCount: threadCount)
    optimizer = Optimizer(configuration, bufferCount: replica.layout.bufferCount)
    reader = BatchReader(
      data.train, binarization: configuration.binarize, seed: configuration.seed,
      capacity: capacity)
    evaluator = Evaluator(
      data.test, configuration: configuration, communicator: communicator,
      threadCount: threadCount)
    configuration.initializer.fill(
      replica.parameters, layout: replica.layout, seed: configuration.seed)
    threads = threadCount
  }

  private let threads: Int

  /// Trains to the end of the run.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - isResuming: Whether the folder may hold a run already.
  ///   - saved: The checkpoint to go on from, the same on every rank; nil where there is none.
  ///   - configurationText: What `config.yaml` is to say.
  /// - Throws: ``SharedFailure`` for what all ranks know of, other errors for what one rank met.
  public func run(
    isResuming: Bool, from saved: SavedModel?, configurationText: String
  ) throws {
    try agreement.requireEqual([
      ("version", SavedModel.version),
      ("model", SHA256.hexadecimal(of: replica.layout.summary)),
      ("data", data.digest),
      ("checkpoint", saved.map { $0.file.metadata[SafetensorsFile.digestKey] ?? "" } ?? "none"),
    ])
    if let saved { try restore(saved) }
    if let saved, progress.step >= totalSteps {
      try agreement.onRoot {
        try folder.checkpoints.pointLinks(latest: progress.step, best: progress.bestStep)
      }
      observer?.didFinish(saved.progress, runPath: folder.path, alreadyComplete: true)
      return
    }
    try agreement.onRoot {
      claim = try folder.create(configuration: configurationText, isNew: !isResuming)
      let opened = try MetricsLog.open(folder.metricsPath, keepingUpTo: progress.step)
      metrics = opened.log
      clock = RunClock(secondsBefore: opened.wallSeconds)
      if saved != nil {
        try folder.checkpoints.pointLinks(latest: progress.step, best: progress.bestStep)
        // A run may have been stopped between a checkpoint and its line.
        if opened.checkpointStep != progress.step {
          try metrics?.append(
            MetricsEvent(checkpoint: progress, wallSeconds: clock.wallSeconds))
        }
      }
    }
    observer?.willTrain(
      RunSummary(
        configuration: configuration, runPath: folder.path, data: data,
        parameterCount: replica.layout.parameterCount, worldSize: communicator.worldSize,
        threadCount: threads, totalSteps: totalSteps, stepsPerEpoch: sampler.stepsPerEpoch,
        resumed: saved?.progress))
    while progress.step < totalSteps { try trainEpoch() }
    try record(MetricsEvent(end: progress, wallSeconds: clock.wallSeconds))
    observer?.didFinish(progress, runPath: folder.path, alreadyComplete: false)
  }

  private func restore(_ saved: SavedModel) throws {
    try agreement.onEveryRank {
      if let conflict = saved.configuration.firstConflict(with: configuration) {
        throw TrainingError.resumeConflict(
          path: folder.path, name: conflict.name, run: conflict.own, given: conflict.other)
      }
      if saved.dataDigest != data.digest {
        throw TrainingError.otherData(
          path: folder.path, run: saved.dataDigest, given: data.digest)
      }
      try saved.progress.check(
        stepsPerEpoch: sampler.stepsPerEpoch, path: saved.file.path)
      try saved.read(into: replica)
      try saved.read(into: optimizer, layout: replica.layout)
    }
    progress = saved.progress
  }

  // The rest of the epoch that is under way, or as much of it as the run still wants.
  private func trainEpoch() throws {
    let order = sampler.order(ofEpoch: progress.epoch)
    let noise = RandomStream(
      seed: configuration.seed, purpose: .trainingNoise, time: UInt32(progress.epoch))
    clock.startSpan()
    try order.withUnsafeBufferPointer { order in
      while progress.stepInEpoch < sampler.stepsPerEpoch && progress.step < totalSteps {
        try step(order, noise)
        observer?.didStep(progress)
        let isWithinEpoch = progress.stepInEpoch < sampler.stepsPerEpoch
        if isCheckpointStep && isWithinEpoch && progress.step < totalSteps { try checkpoint() }
      }
    }
    try finishEpoch()
  }

  private var isCheckpointStep: Bool {
    configuration.checkpointEverySteps.map { progress.step % $0 == 0 } ?? false
  }

  // One update. Nothing is allocated here once every batch size has been met.
  private func step(_ order: UnsafeBufferPointer<UInt32>, _ noise: RandomStream) throws {
    let positions = sampler.batch(
      step: progress.stepInEpoch, rank: communicator.rank, worldSize: communicator.worldSize)
    let indices = UnsafeBufferPointer(rebasing: order[positions])
    let batch = ExampleBatch(
      indices: indices, values: reader.read(indices, epoch: progress.epoch))
    let elbo = try replica.computeGradient(of: batch, noise: noise)

    let sums = try reduce(elbo)
    if !sums.elbo.isFinite {
      try agreement.fail(
        TrainingError.notFinite(step: progress.step + 1, rank: sums.firstBadRank, what: "ELBO"))
    }
    let scale = try gradientScale(exampleCount: sums.elbo.exampleCount)
    optimizer.update(
      replica.parameters, gradient: replica.gradient, gradientScale: scale,
      learningRate: Float(schedule.learningRate(step: progress.step)), step: progress.step + 1)

    progress.step += 1
    progress.stepInEpoch += 1
    progress.examplesSeen += sums.elbo.exampleCount
    progress.epochELBO += sums.elbo
    clock.exampleCount += sums.elbo.exampleCount
  }

  // Gradient and ELBO summed over all ranks.
  private func reduce(_ elbo: ELBO) throws -> (elbo: ELBO, firstBadRank: Int?) {
    var firstBadRank: Int?
    let total = try clock.timeAllReduce {
      try communicator.allReduce(replica.gradient.mutableElements, .sum)
      return try withUnsafeTemporaryAllocation(of: Double.self, capacity: 4) { sums in
        let badRank = elbo.isFinite ? Double.infinity : Double(communicator.rank)
        sums[0] = elbo.reconstructionLogLikelihoodSum
        sums[1] = elbo.klDivergenceSum
        sums[2] = Double(elbo.exampleCount)
        try communicator.allReduce(UnsafeMutableBufferPointer(rebasing: sums[..<3]), .sum)
        if !(sums[0] + sums[1]).isFinite {
          sums[3] = badRank
          try communicator.allReduce(UnsafeMutableBufferPointer(rebasing: sums[3...]), .min)
          firstBadRank = sums[3].isFinite ? Int(sums[3]) : nil
        }
        return ELBO(
          reconstructionLogLikelihoodSum: sums[0], klDivergenceSum: sums[1],
          exampleCount: Int(sums[2]))
      }
    }
    return (total, firstBadRank)
  }

  // 1 / examples, and less where the mean gradient is longer than it may be.
  private func gradientScale(exampleCount: Int) throws -> Float {
    let mean = 1 / Double(exampleCount)
    guard let limit = configuration.clipGradientNorm else { return Float(mean) }
    let norm = mean * sumOfSquares(replica.gradient).squareRoot()
    if !norm.isFinite {
      try agreement.fail(
        TrainingError.notFinite(step: progress.step + 1, rank: nil, what: "gradient norm"))
    }
    return Float(norm > limit ? mean * limit / norm : mean)
  }

  private func finishEpoch() throws {
    let isWhole = progress.stepInEpoch == sampler.stepsPerEpoch
    let isLast = progress.step == totalSteps
    try record(
      MetricsEvent(
        train: progress, examplesPerSecond: clock.examplesPerSecond,
        allReduceShare: clock.allReduceShare, wallSeconds: clock.wallSeconds))
    let epochs = progress.epoch + 1
    if isLast || epochs % configuration.evaluateEvery == 0 { try evaluate() }
    if isWhole {
      progress.epoch += 1
      progress.stepInEpoch = 0
      progress.epochELBO = ELBO()
    }
    if isLast || elboIsImproved || isCheckpointStep || epochs % configuration.checkpointEvery == 0 {
      try checkpoint()
    }
  }

  private func evaluate() throws {
    clock.startSpan()
    let elbo = try evaluator.elbo(replica)
    if !elbo.isFinite {
      try agreement.fail(
        TrainingError.notFinite(step: progress.step, rank: nil, what: "test ELBO"))
    }
    clock.exampleCount = elbo.exampleCount
    elboIsImproved = elbo.elbo > progress.bestTestELBO
    if elboIsImproved {
      progress.bestTestELBO = elbo.elbo
      progress.bestStep = progress.step
    }
    try record(
      MetricsEvent(
        test: elbo, progress, examplesPerSecond: clock.examplesPerSecond,
        wallSeconds: clock.wallSeconds))
  }

  private func checkpoint() throws {
    // What cannot be gone on with must not take the place of what can.
    if !sumOfSquares(replica.parameters).isFinite {
      try agreement.fail(
        TrainingError.notFinite(step: progress.step, rank: nil, what: "size of the parameters"))
    }
    try compareReplicas()
    try agreement.onRoot {
      try metrics?.sync()
      try folder.checkpoints.save(
        step: progress.step, tensors: SavedModel.tensors(replica, optimizer),
        metadata: SavedModel.metadata(
          configuration, progress, inputs: data.train.width, dataDigest: data.digest),
        isBest: elboIsImproved, keep: configuration.keep)
    }
    elboIsImproved = false
    try record(MetricsEvent(checkpoint: progress, wallSeconds: clock.wallSeconds))
  }

  // Replicas are bit-identical by construction; this notices where construction fails.
  private func compareReplicas() throws {
    if communicator.worldSize == 1 { return }
    let digest = SHA256.digest(UnsafeRawBufferPointer(replica.parameters.elements))
    let digests = try communicator.allGather(digest)
    if let other = digests.firstIndex(where: { $0 != digests[0] }) {
      try agreement.fail(
        TrainingError.replicasDiffer(step: progress.step, rank: 0, otherRank: other))
    }
  }

  private func record(_ event: MetricsEvent) throws {
    try agreement.onRoot { try metrics?.append(event) }
    observer?.didRecord(event)
  }
}
