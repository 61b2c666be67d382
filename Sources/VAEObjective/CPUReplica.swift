public import Layers
public import TensorKernels

/// A replica on this rank's processor cores: one model a thread, all on the same parameters.
///
/// Each thread computes the gradient sum of its part of the batch into a buffer of its own. Where
/// nobody waits for parts of the gradient, the buffers are left to be added when they are used.
public final class CPUReplica: Replica {
  /// Where each parameter lies in the flat buffers.
  public let layout: ParameterLayout
  /// The flat parameters.
  public let parameters: FloatBuffer
  /// The flat gradient sums, one a thread.
  public let gradients: [FloatBuffer]

  private let workers: [Worker]
  private let team: WorkerTeam
  private let barrier: TeamBarrier
  private let capacity: Int
  private var klWeights: [Float] = []  // of the step that is under way

  /// One thread's model and noise.
  private final class Worker {
    let model: VariationalAutoencoder
    let noise: FloatBuffer
    var outcome = GradientOutcome()
    let divergences: UnsafeMutableBufferPointer<Double>  // [latent], nats
    var failure: KernelError?

    init(_ configuration: ModelConfiguration, capacity: Int) {
      model = VariationalAutoencoder(configuration, capacity: capacity)
      noise = FloatBuffer(count: capacity * configuration.draws * configuration.latent)
      divergences = .allocate(capacity: configuration.latent)
      divergences.initialize(repeating: 0)
    }

    deinit {
      divergences.deallocate()
    }

    func noiseRows(_ examples: Int) -> MatrixView {
      noise.matrix(
        rows: examples * model.configuration.draws, columns: model.configuration.latent)
    }
  }

  /// The layout of a model's flat buffers, for whoever allocates them.
  public static func layout(of configuration: ModelConfiguration) -> ParameterLayout {
    VariationalAutoencoder(configuration, capacity: 0).layout
  }

  /// Allocates everything that a step needs.
  ///
  /// - Parameters:
  ///   - configuration: What the model is.
  ///   - capacity: The most examples of one gradient, or of one scored group.
  ///   - groupCapacity: The most examples of one scored group.
  ///   - team: The threads to compute with.
  ///   - parameters: A flat buffer for the parameters; nil for one of its own.
  ///   - gradients: A flat buffer for each thread; nil for some of its own.
  public init(
    _ configuration: ModelConfiguration, capacity: Int, groupCapacity: Int, team: WorkerTeam,
    parameters: FloatBuffer? = nil, gradients: [FloatBuffer]? = nil
  ) {
    let share = max((capacity + team.count - 1) / team.count, groupCapacity, 1)
    workers = (0..<team.count).map { _ in Worker(configuration, capacity: share) }
    layout = workers[0].model.layout
    let bufferCount = layout.bufferCount
    self.parameters = parameters ?? FloatBuffer(count: bufferCount)
    self.gradients =
      gradients ?? (0..<team.count).map { _ in FloatBuffer(count: bufferCount) }
    precondition(
      self.gradients.count == team.count
        && (self.gradients + [self.parameters]).allSatisfy { $0.count == bufferCount },
      "\(team.count) threads need as many buffers of \(bufferCount) elements")
    self.team = team
    barrier = TeamBarrier(count: team.count)
    self.capacity = max(capacity, groupCapacity)
  }

  /// Overwrites ``gradients`` by the gradient of −ELBO, summed over these examples.
  public func computeGradient(
    of batch: ExampleBatch, noise: RandomStream, klWeighting: KLWeighting = .same(1),
    receiver: (any GradientReceiver)? = nil
  ) throws(KernelError) -> GradientOutcome {
    precondition(
      batch.count <= capacity, "A replica for \(capacity) examples was given \(batch.count)")
    let share = (batch.count + workers.count - 1) / workers.count
    let clock = ContinuousClock()
    barrier.reset()
    try run { worker, index throws(KernelError) in
      let first = min(index * share, batch.count)
      let part = batch.slice(first..<min(first + share, batch.count))
      let noiseRows = worker.noiseRows(part.count)
      let start = clock.now
      noise.fillNormal(
        noiseRows, examples: part.indices, draws: worker.model.configuration.draws)
      let noiseSeconds = start.duration(to: clock.now) / .seconds(1)
      worker.outcome = try worker.model.computeGradient(
        of: part.values, labels: part.labels, noise: noiseRows, parameters: self.parameters,
        into: self.gradients[index], klWeighting: self.shared(klWeighting, index),
        dropout: DropoutNoise(noise, examples: part.indices),
        progress: receiver.map { receiver in
          BackwardProgress(partElementCount: receiver.partElementCount) {
            self.complete($0, as: index, for: receiver)
          }
        })
      worker.outcome.forwardSeconds += noiseSeconds
    }
    var outcome = workers[0].outcome
    for worker in workers.dropFirst() {
      outcome.elbo += worker.outcome.elbo
      outcome.importanceWeightedBoundSum += worker.outcome.importanceWeightedBoundSum
    }
    return outcome
  }

  /// The gradients of −ELBO, each summed over a piece of the batch and each by one thread, so that it
  /// depends on the piece alone.
  ///
  /// - Parameters:
  ///   - batch: The examples of all pieces.
  ///   - pieces: Which rows of the batch are a piece.
  ///   - noise: Where ε comes from.
  ///   - klWeighting: How much each latent's KL divergence counts; not ``KLWeighting/bySums(_:)``.
  ///   - didCompute: Gets each gradient, the number of the thread, on which it is called, and the number
  ///     of the piece; the gradient is overwritten by the next one of the same thread.
  /// - Returns: Sums over the examples of each piece.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func computeGradients(
    of batch: ExampleBatch, pieces: [Range<Int>], noise: RandomStream, klWeighting: KLWeighting,
    didCompute: (_ gradient: FloatBuffer, _ thread: Int, _ piece: Int) -> Void
  ) throws(KernelError) -> [GradientOutcome] {
    var outcomes = [GradientOutcome](repeating: GradientOutcome(), count: pieces.count)
    try outcomes.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let outcomes = buffer
      try run { worker, index throws(KernelError) in
        for piece in stride(from: index, to: pieces.count, by: self.workers.count) {
          let part = batch.slice(pieces[piece])
          let noiseRows = worker.noiseRows(part.count)
          noise.fillNormal(
            noiseRows, examples: part.indices, draws: worker.model.configuration.draws)
          outcomes[piece] = try worker.model.computeGradient(
            of: part.values, labels: part.labels, noise: noiseRows, parameters: self.parameters,
            into: self.gradients[index], klWeighting: klWeighting,
            dropout: DropoutNoise(noise, examples: part.indices))
          didCompute(self.gradients[index], index, piece)
        }
      }
    }
    return outcomes
  }

  // The weighting as one thread sees it: the first asks once for all, with the sums of all.
  private func shared(_ weighting: KLWeighting, _ index: Int) -> KLWeighting {
    guard case .bySums(let weights) = weighting else { return weighting }
    if workers.count == 1 { return weighting }
    return .bySums { sums in
      let own = self.workers[index].divergences
      _ = own.update(fromContentsOf: sums)
      guard self.barrier.wait() else { return [Float](repeating: 1, count: sums.count) }
      if index == 0 {
        for worker in self.workers.dropFirst() {
          for latent in own.indices { own[latent] += worker.divergences[latent] }
        }
        self.klWeights = weights(own)
      }
      // Where a thread has failed nobody uses what comes of this.
      return self.barrier.wait() ? self.klWeights : [Float](repeating: 1, count: sums.count)
    }
  }

  // One thread has finished a product. When all have finished a range, each adds up a part of it.
  private func complete(
    _ range: Range<Int>?, as index: Int, for receiver: any GradientReceiver
  ) {
    guard let range else {
      if index == 0 { receiver.progress() }
      return
    }
    if workers.count > 1 {
      guard barrier.wait() else { return }
      let share = FloatBuffer.roundedUp((range.count + workers.count - 1) / workers.count)
      let start = min(range.lowerBound + index * share, range.upperBound)
      sum(gradients, start..<min(start + share, range.upperBound), into: gradients[0])
      guard barrier.wait() else { return }
    }
    if index == 0 { receiver.gradientIsComplete(range) }
  }

  /// Has pseudo-inputs start as these examples, from number `first` on.
  public func setPseudoInputs(from batch: ExampleBatch, first: Int) {
    let model = workers[0].model
    for start in stride(from: 0, to: batch.count, by: model.capacity) {
      let part = batch.slice(start..<min(start + model.capacity, batch.count))
      model.setPseudoInputs(
        from: part.values, labels: part.labels, first: first + start, parameters: parameters)
    }
  }

  /// The matrix products of a gradient and nothing else, on all threads.
  public func runProducts(_ batch: ExampleBatch) throws(KernelError) {
    let share = (batch.count + workers.count - 1) / workers.count
    try run { worker, index throws(KernelError) in
      let first = min(index * share, batch.count)
      let part = batch.slice(first..<min(first + share, batch.count))
      try worker.model.runProducts(
        part.values, labels: part.labels,
        parameters: self.parameters, gradient: self.gradients[index])
    }
  }

  /// The ELBO's sums over each group of rows.
  public func score(
    _ batch: ExampleBatch, groups: [Range<Int>], noise: RandomStream
  ) throws(KernelError) -> [ELBO] {
    var figures = [ELBO](repeating: ELBO(), count: groups.count)
    try figures.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let figures = buffer
      try run { worker, index throws(KernelError) in
        for group in stride(from: index, to: groups.count, by: self.workers.count) {
          let part = batch.slice(groups[group])
          let noiseRows = worker.noiseRows(part.count)
          noise.fillNormal(
            noiseRows, examples: part.indices, draws: worker.model.configuration.draws)
          figures[group] = try worker.model.elbo(
            of: part.values, labels: part.labels, noise: noiseRows, parameters: self.parameters)
        }
      }
    }
    return figures
  }

  /// Finds where the bound of these examples stops being a number; on the calling thread alone.
  public func locateNonFinite(
    _ batch: ExampleBatch, noise: RandomStream
  ) throws(KernelError) -> NonFinite {
    try workers[0].model.locateNonFinite(
      batch, noise: noise, scratch: workers[0].noiseRows(1), parameters: parameters)
  }

  /// What the posteriors of each group of rows are like.
  public func summarizePosteriors(
    _ batch: ExampleBatch, groups: [Range<Int>]
  ) throws(KernelError) -> [PosteriorSums] {
    let nothing = PosteriorSums(latent: workers[0].model.configuration.latent)
    var figures = [PosteriorSums](repeating: nothing, count: groups.count)
    try figures.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let figures = buffer
      try run { worker, index throws(KernelError) in
        for group in stride(from: index, to: groups.count, by: self.workers.count) {
          let part = batch.slice(groups[group])
          figures[group] = try worker.model.summarizePosteriors(
            of: part.values, labels: part.labels, parameters: self.parameters)
        }
      }
    }
    return figures
  }

  /// The importance-weighted bound of each example, nats.
  public func importanceWeightedBounds(
    _ batch: ExampleBatch, sampling: ImportanceSampling, noise: RandomStream
  ) throws(KernelError) -> [ImportanceEstimate] {
    var figures = [ImportanceEstimate](
      repeating: ImportanceEstimate(bound: 0, effectiveSampleSize: 0), count: batch.count)
    try figures.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let figures = buffer
      try run { worker, index throws(KernelError) in
        try worker.model.preparePrior(parameters: self.parameters)
        for row in stride(from: index, to: batch.count, by: self.workers.count) {
          let one = batch.slice(row..<row + 1)
          figures[row] =
            sampling.annealingSteps > 0
            ? try worker.model.annealedBound(
              of: one.values, labels: one.labels, example: one.indices[0], sampling: sampling,
              noise: noise, parameters: self.parameters)
            : try worker.model.importanceWeightedBound(
              of: one.values, labels: one.labels, example: one.indices[0],
              drawCount: sampling.drawCount, noise: noise, parameters: self.parameters,
              scratch: worker.noiseRows(worker.model.capacity))
        }
      }
    }
    return figures
  }

  private func run(_ job: (Worker, Int) throws(KernelError) -> Void) throws(KernelError) {
    team.run { index in
      let worker = self.workers[index]
      worker.failure = nil
      do throws(KernelError) {
        try job(worker, index)
      } catch {
        worker.failure = error
        barrier.giveUp()
      }
    }
    if let failure = workers.lazy.compactMap(\.failure).first { throw failure }
  }
}
