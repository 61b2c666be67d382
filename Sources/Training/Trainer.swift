internal import Checkpointing
internal import Collectives
internal import DataLoading
internal import Digests
internal import Layers
internal import TensorKernels
internal import VAEObjective

#if canImport(Glibc)
internal import Glibc
#endif

/// The loop: epochs of steps, evaluations, checkpoints, and the record of them.
///
/// Contract: every rank makes a trainer with the same configuration and data, and calls
/// ``run(isResuming:from:configurationText:)``. The root alone writes and speaks; a digest of the
/// parameters is compared at every checkpoint.
public final class Trainer {
  let configuration: TrainingConfiguration
  let agreement: Agreement
  let data: PreparedData
  let stepper: DataParallelStep
  let folder: RunFolder
  let observer: (any TrainingObserver)?
  private let sampler: EpochSampler
  private let evaluator: Evaluator
  private let schedule: LearningRateSchedule
  private let penalties: KLSchedule
  private let totalSteps: Int
  var communicator: any Communicator { agreement.communicator }
  var replica: any Replica { stepper.replica }

  /// Where the run is.
  public internal(set) var progress = TrainingProgress()
  /// The root's.
  var keeper: RunRecord?
  var checkpointSeconds = 0.0  // that training was held up
  var snapshot: ModelSnapshot?  // the root's, from the first checkpoint on
  var clock = RunClock()
  var elboIsImproved = false
  /// Replicas that had differed, until they have been computed again.
  var recomputation: ReplicaDifference?
  /// Where each rank runs.
  let hosts: [String]
  /// Where the run failed last, and the step that it then went back to.
  var trouble: (failure: Int, target: Int, message: String)?
  var timesAlike = 0  // that the run failed in the same words
  private var timesBefore = StepTimes()  // at the beginning of the epoch

  /// Checks that there are data and memory for what the configuration asks for, before anything is
  /// written.
  ///
  /// - Throws: ``TrainingError/tooLarge(gigabytes:available:)``, or
  ///   ``TrainingError/invalidSetting(name:value:expected:)`` where pseudo-inputs have no examples to
  ///   start as.
  public static func requireDataAndMemory(
    _ configuration: TrainingConfiguration, data: PreparedData, worldSize: Int, nodeSize: Int = 1,
    threadCount: Int
  ) throws(TrainingError) {
    let model = try configuration.model(inputs: data.train.width)
    let pseudoInputCount = model.prior.pseudoInputCount
    if pseudoInputCount > data.train.count {
      throw TrainingError.invalidSetting(
        name: TrainingConfiguration.CodingKeys.priorComponents.rawValue,
        value: "\(pseudoInputCount)",
        expected: "at most the \(data.train.count) training examples, as which pseudo-inputs start")
    }
    let batch = (min(configuration.globalBatchSize, data.train.count) + worldSize - 1) / worldSize
    try MemoryEstimate.require(
      MemoryEstimate.byteCount(
        model,
        examplesPerThread: (batch + threadCount - 1) / threadCount, threadCount: threadCount),
      nodeSize: nodeSize)
  }

  /// Allocates everything that a step needs.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - configuration: The settings, validated.
  ///   - data: The examples.
  ///   - threadCount: Threads of this rank.
  ///   - folder: Where results go.
  ///   - agreement: The ranks.
  ///   - observer: Who tells people; nil on all ranks but the root.
  ///   - stopRequest: Who may ask the run to stop with a checkpoint; nil for nobody.
  /// - Throws: ``SharedFailure`` if ranks cannot reduce gradients as the configuration asks.
  public init(
    _ configuration: TrainingConfiguration, data: PreparedData, threadCount: Int,
    folder: RunFolder, agreement: Agreement, observer: (any TrainingObserver)?,
    stopRequest: StopRequest? = nil
  ) throws {
    self.configuration = configuration
    self.data = data
    self.folder = folder
    self.agreement = agreement
    self.observer = observer
    sampler = EpochSampler(
      exampleCount: data.train.count, globalBatchSize: configuration.globalBatchSize,
      microBatchSize: configuration.unitSize, seed: configuration.seed)
    let totalSteps = configuration.totalSteps(stepsPerEpoch: sampler.stepsPerEpoch)
    self.totalSteps = totalSteps
    if configuration.klCycles > totalSteps / 2 {
      try agreement.onEveryRank {
        throw TrainingError.invalidSetting(
          name: "kl-cycles", value: "\(configuration.klCycles)",
          expected: "at most half of the run's \(totalSteps) steps")
      }
    }
    schedule = LearningRateSchedule(configuration, totalSteps: totalSteps)
    penalties = KLSchedule(configuration, totalSteps: totalSteps)
    stepper = try DataParallelStep(
      configuration, data: data.train, threadCount: threadCount, agreement: agreement)
    evaluator = Evaluator(
      data.test, configuration: configuration, communicator: agreement.communicator,
      team: stepper.team)
    threads = threadCount
    stepper.stopRequest = stopRequest
    hosts = try agreement.communicator.allGather(Processors.hostName()).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  private let threads: Int
  private var stop: StopReason?
  var hasBeenStopped: Bool { stop != nil }
  /// Whether steps were made to the run's end, and nobody asked for an earlier one.
  public var hasCompleted: Bool { stop == nil && stepper.times.stepCount > 0 && isOver }

  /// Trains to the end of the run.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - isResuming: Whether the folder may hold a run already.
  ///   - saved: The checkpoint to go on from, the same on every rank; nil where there is none.
  ///   - configurationText: What `config.yaml` is to say.
  /// - Returns: Why the run ended before its last step, with a checkpoint; nil where it did not.
  /// - Throws: ``SharedFailure`` for what all ranks know of, other errors for what one rank met.
  @discardableResult
  public func run(
    isResuming: Bool, from saved: SavedModel?, configurationText: String
  ) throws -> StopReason? {
    try agreement.requireEqual([
      ("version", SavedModel.version),
      ("model", SHA256.hexadecimal(of: replica.layout.summary)),
      ("data", data.digest),
      ("checkpoint", saved.map { $0.file.metadata[SafetensorsFile.digestKey] ?? "" } ?? "none"),
    ])
    if saved == nil { try takeInitialParameters() }
    if let saved {
      try restore(saved)
      // Whoever gives another rate means it.
      if saved.configuration.learningRate != configuration.learningRate {
        progress.rollbackCount = 0
      }
    }
    if let saved, isOver && !progress.awaitsEvaluation {
      try agreement.onRoot {
        try folder.checkpoints.pointLinks(latest: progress.step, best: progress.bestStep)
      }
      observer?.didFinish(
        saved.progress, runPath: folder.path, lostPatience: lostPatience, end: nil)
      return nil
    }
    try agreement.onRoot {
      let opened = try RunRecord(
        folder, configurationText: configurationText, isNew: !isResuming, step: progress.step)
      keeper = opened
      clock = RunClock(secondsBefore: opened.wallSeconds)
      if saved != nil {
        try folder.checkpoints.pointLinks(latest: progress.step, best: progress.bestStep)
        // A run may have been stopped between a checkpoint and its line.
        if opened.checkpointStep != progress.step {
          opened.append(MetricsEvent(checkpoint: progress, wallSeconds: clock.wallSeconds))
        }
      }
    }
    keeper?.append(
      MetricsEvent(
        start: progress,
        machine: TrainingMachine(
          ranks: communicator.worldSize, threads: threads, hosts: hosts,
          usesMPI: communicator is MPICommunicator),
        wallSeconds: clock.wallSeconds))
    observer?.willTrain(
      RunSummary(
        configuration: configuration, runPath: folder.path, data: data,
        network: stepper.model.networkText, parameterCount: replica.layout.parameterCount,
        worldSize: communicator.worldSize,
        threadCount: threads, totalSteps: totalSteps, stepsPerEpoch: sampler.stepsPerEpoch,
        resumed: saved?.progress, secondsBefore: clock.wallSeconds,
        relativeProductTime: try Processors.relativeProductTime(configuration.precision)))
    RankActivity.note(.starting, step: progress.step)
    // Ends all ranks where one of them comes no further.
    agreement.watch?.expectProgress(
      timeout: configuration.hangTimeout,
      advice: "; with --resume the run goes on from its newest checkpoint")
    defer { agreement.watch?.expectLife() }
    while (!isOver || progress.awaitsEvaluation) && stop == nil {
      do {
        try trainEpoch()
      } catch let failure as SharedFailure where failure.isNotFinite {
        try recover(from: failure)
      } catch let difference as ReplicaDifference {
        try recover(from: difference)
      }
    }
    RankActivity.note(.ending, step: progress.step)
    try finishWriting(
      with: stop != nil && isUnfinished
        ? nil
        : MetricsEvent(
          end: progress,
          message: progress.step < totalSteps ? "the test ELBO rose no more" : nil,
          times: stepper.times, wallSeconds: clock.wallSeconds))
    if let stop, isUnfinished {
      observer?.didStop(stop, progress, runPath: folder.path)
      return stop
    }
    let end = RunEnd(
      posterior: try evaluator.posterior(replica, latent: configuration.latent),
      times: stepper.times, checkpointSeconds: checkpointSeconds,
      productSeconds: try productSecondsPerExample() * Double(stepper.times.exampleCount))
    observer?.didFinish(
      progress, runPath: folder.path, lostPatience: lostPatience, end: end)
    return nil
  }

  // What a new run starts from, the same on every rank.
  private func takeInitialParameters() throws {
    guard let path = configuration.initializeFrom else { return }
    try agreement.onEveryRank {
      let file = try SafetensorsFile(path: path)
      // Other programs write none.
      if file.metadata[SafetensorsFile.digestKey] != nil { try file.verify() }
      do throws(CheckpointError) { try stepper.start(from: file) } catch {
        throw TrainingError.otherNetwork(
          "\(error)", settings: RunFolder(ofCheckpoint: file.path)?.configurationPath)
      }
    }
    let digest = SHA256.digest(UnsafeRawBufferPointer(replica.parameters.elements))
    try agreement.requireEqual([
      ("the parameters of --initialize-from", SHA256.hexadecimal(digest))
    ])
  }

  func restore(_ saved: SavedModel) throws {
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
      if stepper.reduction.loadsOptimizerState {
        try saved.read(into: stepper.optimizer, layout: replica.layout)
      }
    }
    progress = saved.progress
  }

  /// The exit status where a rank has died or come no further: somebody may try again.
  public static let lostRankStatus: Int32 = 75

  // The rest of the epoch that is under way, or as much of it as the run still wants.
  private func trainEpoch() throws {
    let order = sampler.order(ofEpoch: progress.epoch)
    let noise = RandomStream(
      seed: configuration.seed, purpose: .trainingNoise, time: UInt32(progress.epoch))
    clock.startSpan()
    timesBefore = stepper.times
    try order.withUnsafeBufferPointer { order in
      while progress.stepInEpoch < sampler.stepsPerEpoch && progress.step < totalSteps {
        try step(order, noise)
        observer?.didStep(progress)
        tellNews()
        if stop != nil { break }
        if progress.step % configuration.compareReplicasEvery == 0 { try compareReplicas() }
        let isWithinEpoch = progress.stepInEpoch < sampler.stepsPerEpoch
        if isCheckpointStep && isWithinEpoch && progress.step < totalSteps { try checkpoint() }
      }
    }
    if stop != nil { return try stopBeforeEvaluation() }
    try finishEpoch()
  }

  // The epoch's end comes when the run goes on.
  private func stopBeforeEvaluation() throws {
    progress.awaitsEvaluation = progress.step == totalSteps
    try checkpoint()
  }

  private var isUnfinished: Bool { !isOver || progress.awaitsEvaluation }

  // Every rank has the same figures, and so comes to the same answer.
  private var isOver: Bool { progress.step >= totalSteps || lostPatience }

  private var lostPatience: Bool {
    configuration.patience.map { progress.evaluationsSinceBest >= $0 } ?? false
  }

  private var isCheckpointStep: Bool {
    configuration.checkpointEverySteps.map { progress.step % $0 == 0 } ?? false
  }

  private func step(_ order: UnsafeBufferPointer<UInt32>, _ noise: RandomStream) throws {
    let positions = sampler.batch(
      step: progress.stepInEpoch, rank: communicator.rank, worldSize: communicator.worldSize)
    let outcome = try stepper.run(
      UnsafeBufferPointer(rebasing: order[positions]), epoch: progress.epoch, noise: noise,
      number: progress.step + 1,
      learningRate: learningRate,
      penalties: penalties)
    let elbo = outcome.elbo
    stop = stop ?? outcome.stop
    progress.step += 1
    progress.stepInEpoch += 1
    progress.examplesSeen += elbo.exampleCount
    progress.epochELBO += elbo
    progress.epochObjectiveSum += outcome.objectiveSum
    clock.exampleCount += elbo.exampleCount
  }

  /// α of the next step.
  var learningRate: Double {
    schedule.learningRate(step: progress.step) * pow(0.5, Double(progress.rollbackCount))
  }

  // What products alone take, all ranks at it together, for each example of a full global batch; a
  // measurement of a few tenths of a second.
  private func productSecondsPerExample() throws -> Double {
    let indices = sampler.batch(
      step: 0, rank: communicator.rank, worldSize: communicator.worldSize
    ).map { UInt32($0) }
    try communicator.barrier()
    let start = ContinuousClock.now
    var seconds: [Double] = []
    while seconds.count < 20 && start.secondsUntilNow < 0.2 {
      seconds.append(try indices.withUnsafeBufferPointer { try stepper.productSeconds($0) })
    }
    return Benchmark.median(seconds)
      / Double(min(configuration.globalBatchSize, data.train.count))
  }

  private func finishEpoch() throws {
    let isWhole = progress.stepInEpoch == sampler.stepsPerEpoch
    let isLast = progress.step == totalSteps
    let event = MetricsEvent(
      train: progress, hasOwnObjective: configuration.hasOwnObjective,
      examplesPerSecond: clock.exampleCount > 0 ? clock.examplesPerSecond : nil,
      allReduceShare: (stepper.times - timesBefore).allReduceShare,
      wallSeconds: clock.wallSeconds)
    let epochs = progress.epoch + 1
    if isLast || epochs % configuration.evaluateEvery == 0 {
      if try !evaluate(after: event) { return try stopBeforeEvaluation() }
    } else {
      record(event)
    }
    progress.awaitsEvaluation = false
    if isWhole {
      progress.epoch += 1
      progress.stepInEpoch = 0
      progress.epochELBO = ELBO()
      progress.epochObjectiveSum = 0
    }
    if isOver || elboIsImproved || isCheckpointStep || epochs % configuration.checkpointEvery == 0 {
      try checkpoint()
    }
  }

  // Whether it came to its end: it may take long, and who is asked to end has little time.
  private func evaluate(after epoch: MetricsEvent) throws -> Bool {
    RankActivity.note(.evaluating, step: progress.step)
    clock.startSpan()
    let elbo: ELBO
    switch try evaluator.elbo(replica, unless: { stepper.stopRequest?.reason }) {
    case .success(let figures): elbo = figures
    case .failure(let interruption):
      stop = interruption.reason
      return false
    }
    record(epoch)
    if !elbo.isFinite {
      try agreement.failNotFinite("test ELBO", step: progress.step) {
        try evaluator.locateNonFinite(replica)
      }
    }
    clock.exampleCount = elbo.exampleCount
    elboIsImproved = elbo.elbo > progress.bestTestELBO
    progress.evaluationsSinceBest += 1
    if elboIsImproved {
      progress.evaluationsSinceBest = 0
      progress.bestTestELBO = elbo.elbo
      progress.bestStep = progress.step
    }
    record(
      MetricsEvent(
        test: elbo, progress, examplesPerSecond: clock.examplesPerSecond,
        wallSeconds: clock.wallSeconds))
    return true
  }
}
