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

    /// The noise of some examples.
    func draw(_ noise: RandomStream, for batch: ExampleBatch) -> MatrixView {
      let rows = noiseRows(batch.count)
      noise.fillNormal(rows, examples: batch.indices, draws: model.configuration.draws)
      return rows
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
      let start = clock.now
      let noiseRows = worker.draw(noise, for: part)
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
    try forEach(pieces, of: batch, GradientOutcome()) { worker, part, piece throws(KernelError) in
      let thread = piece % self.workers.count
      let outcome = try worker.model.computeGradient(
        of: part.values, labels: part.labels, noise: worker.draw(noise, for: part),
        parameters: self.parameters, into: self.gradients[thread], klWeighting: klWeighting,
        dropout: DropoutNoise(noise, examples: part.indices))
      didCompute(self.gradients[thread], thread, piece)
      return outcome
    }
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
    try forEach(groups, of: batch, ELBO()) { worker, part, _ throws(KernelError) in
      try worker.model.elbo(
        of: part.values, labels: part.labels, noise: worker.draw(noise, for: part),
        parameters: self.parameters)
    }
  }

  /// The two parts of each example's ELBO.
  public func scoreExamples(
    _ batch: ExampleBatch, groups: [Range<Int>], noise: RandomStream
  ) throws(KernelError) -> [ExampleScore] {
    try forEach(groups, of: batch, []) { worker, part, _ throws(KernelError) in
      try worker.model.scores(
        of: part.values, labels: part.labels, noise: worker.draw(noise, for: part),
        parameters: self.parameters)
    }.flatMap { $0 }
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
    return try forEach(groups, of: batch, nothing) { worker, part, _ throws(KernelError) in
      try worker.model.summarizePosteriors(
        of: part.values, labels: part.labels, parameters: self.parameters)
    }
  }

  /// The parameters of q(z|x) of each example.
  public func encode(
    _ batch: ExampleBatch, groups: [Range<Int>], into posteriors: MatrixView
  ) throws(KernelError) {
    _ = try forEach(groups, of: batch, 0) { worker, part, group throws(KernelError) in
      posteriors.rows(groups[group]).copy(
        try worker.model.encode(part.values, labels: part.labels, parameters: self.parameters))
      return 0
    }
  }

  /// Draws latents from p(z).
  public func drawLatents(
    _ rows: UnsafeBufferPointer<UInt32>, seed: UInt64, temperature: Float,
    into latents: MatrixView
  ) throws(KernelError) {
    try workers[0].model.drawLatents(
      rows, seed: seed, temperature: temperature, parameters: parameters, into: latents)
  }

  /// What p(x|z) says of each of some latents.
  public func observe(
    _ latents: MatrixView, groups: [Range<Int>], query: ObservationQuery, into values: MatrixView
  ) throws(KernelError) {
    try run { worker, index throws(KernelError) in
      for number in stride(from: index, to: groups.count, by: self.workers.count) {
        let rows = groups[number]
        try worker.model.observe(
          latents.rows(rows), query: query.slice(rows), parameters: self.parameters,
          into: values.rows(rows))
      }
    }
  }

  /// The importance-weighted bound of each example, nats.
  public func importanceWeightedBounds(
    _ batch: ExampleBatch, sampling: ImportanceSampling, noise: RandomStream
  ) throws(KernelError) -> [ImportanceEstimate] {
    try run { worker, _ throws(KernelError) in
      try worker.model.preparePrior(parameters: self.parameters)
    }
    let nothing = ImportanceEstimate(bound: 0, effectiveSampleSize: 0)
    let examples = (0..<batch.count).map { $0..<$0 + 1 }
    return try forEach(examples, of: batch, nothing) { worker, one, _ throws(KernelError) in
      if sampling.annealingSteps > 0 {
        return try worker.model.annealedBound(
          of: one.values, labels: one.labels, example: one.indices[0], sampling: sampling,
          noise: noise, parameters: self.parameters)
      }
      return try worker.model.importanceWeightedBound(
        of: one.values, labels: one.labels, example: one.indices[0],
        drawCount: sampling.drawCount, noise: noise, parameters: self.parameters,
        scratch: worker.noiseRows(worker.model.capacity))
    }
  }

  // A figure for each part of the batch, each by one thread: part i by thread i modulo their number.
  private func forEach<Figure>(
    _ parts: [Range<Int>], of batch: ExampleBatch, _ nothing: Figure,
    _ job: (Worker, ExampleBatch, _ number: Int) throws(KernelError) -> Figure
  ) throws(KernelError) -> [Figure] {
    var figures = [Figure](repeating: nothing, count: parts.count)
    try figures.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let figures = buffer
      try run { worker, index throws(KernelError) in
        for number in stride(from: index, to: parts.count, by: self.workers.count) {
          figures[number] = try job(worker, batch.slice(parts[number]), number)
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
