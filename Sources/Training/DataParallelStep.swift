internal import Checkpointing
internal import Collectives
internal import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// One update of every replica: read, differentiate, reduce, update.
///
/// Contract: every rank makes one with the same configuration and data, and takes the same steps.
/// Replicas start alike and get the same gradient, so they stay alike without parameters ever being
/// averaged. Gradients are sums over examples, divided once by the examples of the global batch:
/// short batches and uneven slices weigh each example alike.
final class DataParallelStep {
  let model: ModelConfiguration
  let replica: CPUReplica
  let optimizer: Optimizer
  let reduction: any GradientReduction
  let team: WorkerTeam
  /// Where the time of all steps so far went.
  var times = StepTimes()
  /// Who may ask for the end.
  var stopRequest: StopRequest?

  let configuration: TrainingConfiguration
  let agreement: Agreement
  let reader: BatchReader
  /// What the latest update was made of.
  var latest = LatestUpdate()

  /// Allocates everything that a step needs, and starts the threads.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - configuration: The settings, validated.
  ///   - data: The examples to learn from.
  ///   - threadCount: Threads of this rank.
  ///   - agreement: The ranks.
  /// - Throws: ``SharedFailure`` if ranks cannot reduce gradients as the configuration asks.
  init(
    _ configuration: TrainingConfiguration, data: Examples, threadCount: Int, agreement: Agreement
  ) throws {
    self.configuration = configuration
    self.agreement = agreement
    let worldSize = agreement.communicator.worldSize
    let largestBatch = min(configuration.globalBatchSize, data.count)
    let unit = configuration.unitSize
    let unitCount = (largestBatch + unit - 1) / unit
    let capacity = min((unitCount + worldSize - 1) / worldSize * unit, largestBatch)
    model = try agreement.onEveryRank {
      if configuration.precision == .bf16 && !processorHasBFloat16 {
        throw TrainingError.noBFloat16(processor: Processors.name)
      }
      return try configuration.model(inputs: data.width)
    }
    let layout = CPUReplica.layout(of: model)
    team = try agreement.onEveryRank { try WorkerTeam(count: threadCount) }
    reduction = try makeReduction(
      configuration, bufferCount: layout.bufferCount,
      stateCount: Optimizer.stateNames(of: configuration.optimizer).count, team: team,
      agreement: agreement)
    replica = CPUReplica(
      model, capacity: capacity,
      groupCapacity: max(Evaluator.groupSize, configuration.deterministic ? unit : 0), team: team,
      parameters: reduction.parameters, gradients: reduction.gradients)
    optimizer = Optimizer(configuration, buffers: reduction.optimizerState)
    reader = BatchReader(
      data, binarization: configuration.binarize, seed: configuration.seed, capacity: capacity,
      team: team)
    fillParameters()
  }

  private var initialParameters: SafetensorsFile?

  private func fillParameters() {
    if let initialParameters {
      for tensor in replica.layout.tensors {
        guard let values = try? initialParameters.floats(named: tensor.name, shape: tensor.shape)
        else { preconditionFailure("\(tensor.name) was there when the file was opened") }
        tensor.write(values, into: replica.parameters)
      }
      return
    }
    configuration.initializer.fill(
      replica.parameters, layout: replica.layout, seed: configuration.seed)
    let pseudoInputCount = model.prior.pseudoInputCount
    if pseudoInputCount == 0 { return }
    // Pseudo-inputs start as examples, the same on every rank.
    let chosen = RandomStream(seed: configuration.seed, purpose: .pseudoInputs)
      .permutation(of: reader.examples.count)
    for first in stride(from: 0, to: pseudoInputCount, by: reader.capacity) {
      chosen[first..<min(first + reader.capacity, pseudoInputCount)].withUnsafeBufferPointer {
        indices in
        replica.setPseudoInputs(from: reader.batch(indices, epoch: nil), first: first)
      }
    }
  }

  /// Has parameters start as those of a file, now and whenever the run starts anew.
  ///
  /// - Throws: `CheckpointError` if a tensor is missing or of another shape; what they were then stays.
  func start(from file: SafetensorsFile) throws(CheckpointError) {
    let states = OptimizerKind.allCases.flatMap { Optimizer.stateNames(of: $0) }
    let names = Set(replica.layout.tensors.map(\.name))
    let other = file.entries.first { entry in
      !names.contains(entry.name) && !states.contains { entry.name.hasPrefix("\($0).") }
    }
    if let other { throw .otherTensor(path: file.path, name: other.name) }
    for tensor in replica.layout.tensors {
      _ = try file.floats(named: tensor.name, shape: tensor.shape)
    }
    initialParameters = file
    fillParameters()
  }

  /// Parameters and state of a new run.
  func startAnew() {
    fillParameters()
    if !reduction.loadsOptimizerState { return }
    for (_, buffer) in optimizer.state { buffer.mutableElements.update(repeating: 0) }
  }

  /// Takes one step.
  ///
  /// Collective. Nothing is allocated here, a few closures aside, once every batch size has been met.
  ///
  /// - Parameters:
  ///   - indices: This rank's slice of the global batch.
  ///   - epoch: Keys dynamic binarization.
  ///   - noise: Where ε comes from.
  ///   - number: The number of this update, from 1.
  ///   - learningRate: α of this step.
  ///   - penalties: How the KL divergence counts.
  /// - Returns: Sums over the global batch, under the parameters before the update.
  /// - Throws: ``SharedFailure`` if the ELBO or the gradient is not finite; `KernelError` or
  ///   `CollectiveError`.
  func run(
    _ indices: UnsafeBufferPointer<UInt32>, epoch: Int, noise: RandomStream, number: Int,
    learningRate: Double, penalties: KLSchedule
  ) throws -> StepOutcome {
    let start = ContinuousClock.now
    reduction.begin()
    RankActivity.note(.reading, step: number)
    let batch = times.measure(\.data) { reader.batch(indices, epoch: epoch) }
    RankActivity.note(.differentiating, step: number)
    let (sums, penalty) =
      configuration.deterministic
      ? try computeExactly(batch, noise: noise, number: number, penalties: penalties)
      : try compute(batch, noise: noise, number: number, penalties: penalties)
    let elbo = sums.elbo
    let update = Optimizer.Update(
      gradientScale: try gradientScale(sums, batch, noise, step: number),
      learningRate: Float(learningRate), number: number)
    RankActivity.note(.updating, step: number)
    try reduction.update(&times) { range, gradients in
      optimizer.update(range, of: replica.parameters, gradients: gradients, update)
    }
    latest.note(indices, epoch: epoch, noise: noise, number: number)
    times.total += start.secondsUntilNow
    times.stepCount += 1
    times.exampleCount += elbo.exampleCount
    let count = Double(elbo.exampleCount)
    let objectiveSum: Double =
      if configuration.bound == .iwae {
        sums.boundSum
      } else if let penalty {
        elbo.reconstructionLogLikelihoodSum - penalty * count
      } else {
        elbo.reconstructionLogLikelihoodSum
          - penalties.weight(step: number - 1) * elbo.klDivergenceSum
      }
    return StepOutcome(elbo: elbo, objectiveSum: objectiveSum, stop: sums.stop)
  }

  // The whole slice at once, on all threads; the penalty for the divergences, nats, where the batch
  // decides.
  private func compute(
    _ batch: ExampleBatch, noise: RandomStream, number: Int, penalties: KLSchedule
  ) throws -> (Sums, penalty: Double?) {
    var penalty: Penalty?
    let outcome = try replica.computeGradient(
      of: batch, noise: noise,
      klWeighting: weighting(penalties, step: number - 1, exampleCount: batch.count) {
        penalty = $0
      },
      receiver: reduction.receiver)
    if let failure = penalty?.failure { throw failure }
    reduction.didComputeGradient(scale: nil)
    times.forward += outcome.forwardSeconds
    times.backward += outcome.backwardSeconds
    let sums = try total(outcome, batch, noise, step: number)
    return (sums, penalty?.nats)
  }

  /// What a step found, summed over the global batch.
  struct StepOutcome {
    let elbo: ELBO
    /// What the step raised, nats.
    let objectiveSum: Double
    /// Why the run is to end after it; the same on every rank.
    let stop: StopReason?
  }

  // What ranks have agreed on between forward and backward.
  private struct Penalty {
    let nats: Double
    let failure: (any Error)?
  }

  private func weighting(
    _ penalties: KLSchedule, step: Int, exampleCount: Int, _ note: @escaping (Penalty) -> Void
  ) -> KLWeighting {
    if !penalties.needsDivergences { return .same(Float(penalties.weight(step: step))) }
    return .bySums { sums in
      do {
        let (nats, weights) = try self.agreeOnPenalty(
          Array(sums), exampleCount: exampleCount, penalties, step: step)
        note(Penalty(nats: nats, failure: nil))
        return weights
      } catch {
        note(Penalty(nats: 0, failure: error))
        return [Float](repeating: 1, count: sums.count)
      }
    }
  }

  /// The penalty for the divergences of the global batch, nats, and how much each latent's counts.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - sums: Each latent's divergence, summed over this rank's examples.
  ///   - exampleCount: How many these are.
  ///   - penalties: How divergences count.
  ///   - step: The step, from 0.
  /// - Returns: The same on every rank.
  /// - Throws: A `CollectiveError`.
  func agreeOnPenalty(
    _ sums: [Double], exampleCount: Int, _ penalties: KLSchedule, step: Int
  ) throws -> (nats: Double, weights: [Float]) {
    var all = sums + [Double(exampleCount)]
    try all.withUnsafeMutableBufferPointer {
      try agreement.communicator.allReduce($0, .sum)
    }
    let count = all.removeLast()
    return penalties.penalty(all.map { $0 / count }, step: step)
  }

  /// The matrix products of a step and nothing else, on this rank.
  ///
  /// - Returns: How long they took, seconds.
  func productSeconds(_ indices: UnsafeBufferPointer<UInt32>) throws -> Double {
    let batch = reader.batch(indices, epoch: 0)
    let start = ContinuousClock.now
    try replica.runProducts(batch)
    return start.secondsUntilNow
  }

  /// What ranks tell each other of a step, summed over all of them.
  struct Sums {
    var elbo = ELBO()
    /// Of the importance-weighted bound.
    var boundSum = 0.0
    /// Pieces whose gradient did not fit the scale of sums in fixed point.
    var misfitCount = 0.0
    /// Why some rank wants to end; the same on every rank.
    var stop: StopReason?
  }

  /// A step's sums over all ranks; every rank has computed its gradient when it returns.
  ///
  /// Collective.
  ///
  /// - Throws: ``SharedFailure`` where numbers are lost.
  func total(
    _ outcome: GradientOutcome, misfitCount: Double = 0, _ batch: ExampleBatch,
    _ noise: RandomStream, step: Int
  ) throws -> Sums {
    let start = ContinuousClock.now
    defer { times.allReduceExposed += start.secondsUntilNow }
    let communicator = agreement.communicator
    let elbo = outcome.elbo
    let isFinite = elbo.isFinite && outcome.importanceWeightedBoundSum.isFinite
    return try withUnsafeTemporaryAllocation(of: Double.self, capacity: 8) { sums in
      sums[0] = elbo.reconstructionLogLikelihoodSum
      sums[1] = elbo.klDivergenceSum
      sums[2] = Double(elbo.exampleCount)
      sums[3] = outcome.importanceWeightedBoundSum
      sums[4] = optimizer.hasLostNumbers ? 1 : 0
      sums[5] = misfitCount
      let stop = stopRequest?.reason
      sums[6] = stop == .signal ? 1 : 0
      // Clocks differ: the root's counts.
      sums[7] = stop == .walltime && communicator.isRoot ? 1 : 0
      try communicator.allReduce(sums, .sum)
      let total = ELBO(
        reconstructionLogLikelihoodSum: sums[0], klDivergenceSum: sums[1],
        exampleCount: Int(sums[2]))
      if sums[4] > 0 {
        try failLostUpdate()
      }
      if total.isFinite && sums[3].isFinite {
        return Sums(
          elbo: total, boundSum: sums[3], misfitCount: sums[5],
          stop: sums[6] > 0 ? .signal : sums[7] > 0 ? .walltime : nil)
      }
      reduction.abandon()
      try agreement.failNotFinite("ELBO", step: step) {
        if isFinite { return nil }
        return try replica.locateNonFinite(batch, noise: noise).text(row: reader.examples.row)
      }
    }
  }

  // 1 / examples, and less where the mean gradient is longer than it may be.
  private func gradientScale(
    _ sums: Sums, _ batch: ExampleBatch, _ noise: RandomStream, step: Int
  )
    throws -> Float
  {
    let mean = 1 / Double(sums.elbo.exampleCount)
    let limit = configuration.clipGradientNorm
    // A step of sgd is as long as the gradient: once it is taken nothing can be looked into.
    if limit == nil && configuration.optimizer != .sgd { return Float(mean) }
    let norm = mean * (try reduction.sumOfSquares(&times)).squareRoot()
    if !norm.isFinite { try failGradient(batch, noise, step: step) }
    if let limit, norm > limit { return Float(mean * limit / norm) }
    return Float(mean)
  }
}
