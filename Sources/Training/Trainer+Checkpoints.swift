internal import Checkpointing
internal import Collectives
internal import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// What a run keeps, and what it makes sure of before.
extension Trainer {
  /// Has a checkpoint written, of what every rank agrees on.
  ///
  /// Collective.
  func checkpoint() throws {
    let start = ContinuousClock.now
    RankActivity.note(.writing, step: progress.step)
    // What cannot be gone on with must not take the place of what can. With a sharded optimizer each rank
    // knows of its own part.
    var lost = [stepper.optimizer.hasLostNumbers ? 1.0 : 0.0]
    try lost.withUnsafeMutableBufferPointer { try communicator.allReduce($0, .sum) }
    if lost[0] > 0 { try stepper.failLostUpdate() }
    if !sumOfSquares(replica.parameters).isFinite {
      try agreement.fail(
        TrainingError.notFinite(step: progress.step, rank: nil, what: "size of the parameters"))
    }
    try compareReplicas()
    record(MetricsEvent(checkpoint: progress, wallSeconds: clock.wallSeconds))
    // Where ranks share memory nobody may go on before the root has its copy.
    try agreement.onRoot {
      let snapshot = self.snapshot ?? ModelSnapshot(replica, stepper.optimizer)
      self.snapshot = snapshot
      keeper?.checkpoint(
        snapshot, step: progress.step,
        metadata: SavedModel.metadata(
          configuration, progress, inputs: data.train.width, dataDigest: data.digest),
        isBest: elboIsImproved, keep: configuration.keep)
    }
    elboIsImproved = false
    checkpointSeconds += start.secondsUntilNow
  }

  /// Returns when all that was to be written is.
  ///
  /// Collective.
  ///
  /// - Throws: ``SharedFailure`` if it cannot be.
  func finishWriting() throws {
    try agreement.onRoot { try keeper?.finish(within: Self.patienceWithDisks) }
    tellNews()
  }

  // A disk that is full when the run ends is given as long to become free again, seconds.
  private static let patienceWithDisks = 20.0

  func tellNews() {
    for news in keeper?.takeNews() ?? [] { observer?.didWrite(news) }
  }

  // Replicas are bit-identical by construction; this notices where construction, or a machine, fails.
  func compareReplicas() throws {
    if communicator.worldSize == 1 { return }
    let (digest, difference) = try ReplicaDifference.find(
      replica, step: progress.step, communicator)
    if let difference { throw difference }
    noteRecomputation(digest)
  }

  func record(_ event: MetricsEvent) {
    keeper?.append(event)
    observer?.didRecord(event)
    tellNews()
  }
}
