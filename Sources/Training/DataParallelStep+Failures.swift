internal import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

// What is looked into when a gradient is no longer a number: the examples are differentiated again, in
// halves, until it is known which they are.

/// What the latest update was made of; whether it was lost is known one step later.
struct LatestUpdate {
  private(set) var indices: [UInt32] = []
  private(set) var epoch = 0
  private(set) var noise: RandomStream?
  private(set) var number = 0

  mutating func note(
    _ indices: UnsafeBufferPointer<UInt32>, epoch: Int, noise: RandomStream, number: Int
  ) {
    self.indices.removeAll(keepingCapacity: true)
    self.indices.append(contentsOf: indices)
    self.epoch = epoch
    self.noise = noise
    self.number = number
  }
}

extension DataParallelStep {
  /// Fails on every rank, since some rank's optimizer has lost numbers in the latest update.
  ///
  /// Collective. The optimizer has left parameters as they were whose gradient was lost.
  func failLostUpdate() throws -> Never {
    guard let noise = latest.noise else { preconditionFailure("No update was made") }
    return try latest.indices.withUnsafeBufferPointer {
      try failGradient(reader.batch($0, epoch: latest.epoch), noise, step: latest.number)
    }
  }

  /// Fails on every rank, since the gradient of these examples is not finite on some rank, or its sum
  /// over the ranks is not.
  ///
  /// Collective.
  func failGradient(_ batch: ExampleBatch, _ noise: RandomStream, step: Int) throws -> Never {
    reduction.abandon()
    // Optimizers keep the square of the mean gradient.
    let squares = configuration.optimizer != .sgd
    let count = Double(configuration.globalBatchSize)
    let largest =
      squares
      ? Double(Float.greatestFiniteMagnitude) * count * count : Double.greatestFiniteMagnitude
    try agreement.failNotFinite(squares ? "gradient or its square" : "gradient", step: step) {
      // The weights of a penalty belong to the batch of all ranks; β is near enough.
      try replica.locateNonFiniteGradient(
        batch, noise: noise, klWeighting: .same(Float(configuration.beta)), largest: largest
      ).map { $0.text(row: reader.examples.row) }
    } orElse: {
      // Each rank's part is finite: the sum is not, or the step was too far.
      ([replica.parameters] + optimizer.state.map(\.buffer)).lazy
        .compactMap { self.replica.layout.firstNonFinite(in: $0) }.first
        .map { "in the update of \($0)" }
    }
  }
}
