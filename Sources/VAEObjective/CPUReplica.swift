public import Layers
public import TensorKernels

/// A replica on this rank's processor cores: one model a thread, all on the same parameters.
///
/// Each thread computes the gradient sum of its part of the batch into a buffer of its own; then
/// each adds up its part of the buffers. With one thread there is neither a second buffer nor a
/// second pass.
public final class CPUReplica: Replica {
  /// Where each parameter lies in the flat buffers.
  public let layout: ParameterLayout
  /// The flat parameters.
  public let parameters: FloatBuffer
  /// The flat gradient.
  public var gradient: FloatBuffer { workers[0].gradient }
  /// Threads that compute, the caller's among them.
  public var threadCount: Int { workers.count }

  private let workers: [Worker]
  private let team: WorkerTeam
  private let capacity: Int

  /// One thread's model, gradient and noise.
  private final class Worker {
    let model: VariationalAutoencoder
    let gradient: FloatBuffer
    let noise: FloatBuffer
    var elbo = ELBO()
    var failure: KernelError?

    init(_ configuration: ModelConfiguration, capacity: Int) {
      model = VariationalAutoencoder(configuration, capacity: capacity)
      gradient = FloatBuffer(count: model.layout.bufferCount)
      noise = FloatBuffer(count: capacity * configuration.draws * configuration.latent)
    }

    func noiseRows(_ examples: Int) -> MatrixView {
      noise.matrix(
        rows: examples * model.configuration.draws, columns: model.configuration.latent)
    }
  }

  /// Allocates everything that a step needs.
  ///
  /// - Parameters:
  ///   - configuration: What the model is.
  ///   - capacity: The most examples of one gradient, or of one scored group.
  ///   - groupCapacity: The most examples of one scored group.
  ///   - threadCount: Threads to compute with, the caller's among them.
  public init(
    _ configuration: ModelConfiguration, capacity: Int, groupCapacity: Int, threadCount: Int
  ) {
    precondition(threadCount > 0, "At least one thread computes")
    let share = max((capacity + threadCount - 1) / threadCount, groupCapacity, 1)
    workers = (0..<threadCount).map { _ in Worker(configuration, capacity: share) }
    layout = workers[0].model.layout
    parameters = FloatBuffer(count: layout.bufferCount)
    team = WorkerTeam(count: threadCount) {
      flushDenormalsOnThisThread()
      MatrixProduct.useCallingThreadOnly()
    }
    self.capacity = max(capacity, groupCapacity)
  }

  /// Overwrites ``gradient`` by the gradient of −ELBO, summed over these examples.
  public func computeGradient(
    of batch: ExampleBatch, noise: RandomStream
  ) throws(KernelError) -> ELBO {
    precondition(
      batch.count <= capacity, "A replica for \(capacity) examples was given \(batch.count)")
    if batch.count == 0 {
      gradient.mutableElements.update(repeating: 0)
      return ELBO()
    }
    let share = (batch.count + workers.count - 1) / workers.count
    try run { worker, index throws(KernelError) in
      let start = min(index * share, batch.count)
      let part = batch.slice(start..<min(start + share, batch.count))
      let noiseRows = worker.noiseRows(part.count)
      noise.fillNormal(
        noiseRows, examples: part.indices, draws: worker.model.configuration.draws)
      worker.elbo = try worker.model.addGradient(
        of: part.values, noise: noiseRows, parameters: self.parameters, to: worker.gradient,
        accumulates: false)
    }
    if workers.count > 1 { addUpGradients() }
    var elbo = ELBO()
    for worker in workers { elbo += worker.elbo }
    return elbo
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
            of: part.values, noise: noiseRows, parameters: self.parameters)
        }
      }
    }
    return figures
  }

  /// The importance-weighted bound of each example, nats.
  public func importanceWeightedBounds(
    _ batch: ExampleBatch, drawCount: Int, noise: RandomStream
  ) throws(KernelError) -> [Double] {
    var figures = [Double](repeating: 0, count: batch.count)
    try figures.withUnsafeMutableBufferPointer { buffer throws(KernelError) in
      let figures = buffer
      try run { worker, index throws(KernelError) in
        for row in stride(from: index, to: batch.count, by: self.workers.count) {
          figures[row] = try worker.model.importanceWeightedBound(
            of: batch.values.rows(row..<row + 1), example: batch.indices[row],
            drawCount: drawCount, noise: noise, parameters: self.parameters,
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
      do throws(KernelError) { try job(worker, index) } catch { worker.failure = error }
    }
    if let failure = workers.lazy.compactMap(\.failure).first { throw failure }
  }

  private func addUpGradients() {
    let share = FloatBuffer.roundedUp((gradient.count + workers.count - 1) / workers.count)
    team.run { index in
      let start = min(index * share, self.gradient.count)
      let range = start..<min(start + share, self.gradient.count)
      for worker in self.workers.dropFirst() {
        add(worker.gradient, to: self.gradient, range: range)
      }
    }
  }
}
