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
    // Where ranks share memory nobody may go on before the root has its copy.
    try agreement.onRoot {
      let snapshot = self.snapshot ?? ModelSnapshot(replica, stepper.optimizer)
      self.snapshot = snapshot
      keeper?.checkpoint(
        snapshot, MetricsEvent(checkpoint: progress, wallSeconds: clock.wallSeconds),
        metadata: SavedModel.metadata(configuration, progress, data: data),
        isBest: elboIsImproved, keep: configuration.keep)
    }
    observer?.willCheckpoint(progress)
    elboIsImproved = false
    checkpointSeconds += start.secondsUntilNow
  }

  /// Returns when all that was to be written is.
  ///
  /// Collective.
  ///
  /// - Parameter last: The run's last line.
  /// - Throws: ``SharedFailure`` if it cannot be.
  func finishWriting(with last: MetricsEvent? = nil) throws {
    let start = ContinuousClock.now
    RankActivity.note(.writing, step: progress.step)
    // A disk that is full when the run ends is given some time to become free again; who was asked to stop has
    // little.
    let seconds = hasBeenStopped ? 1.0 : 20.0
    try agreement.onRoot {
      do throws(CheckpointError) {
        try keeper?.finish(with: last, within: seconds)
      } catch .unwritable(let path, let reason) {
        throw CheckpointError.unwritable(
          path: path,
          reason: reason
            + "; what came after the newest checkpoint is lost, and with --resume the run goes on from there"
        )
      }
    }
    if let last { observer?.didRecord(last) }
    tellNews()
    checkpointSeconds += start.secondsUntilNow
  }

  func tellNews() {
    for news in keeper?.takeNews() ?? [] { observer?.didWrite(news) }
    if keeper?.takeMending() ?? false {
      observer?.didMeet(
        "'\(folder.path)' was gone or without its settings, and has been made again; older checkpoints are"
          + " where it went")
    }
  }

  // Replicas are bit-identical by construction; this notices where construction, or a machine, fails.
  func compareReplicas() throws {
    if communicator.worldSize == 1 { return }
    if let difference = try ReplicaDifference.find(replica, step: progress.step, communicator) {
      throw difference
    }
    noteRecomputation()
  }

  func record(_ event: MetricsEvent) {
    RankActivity.note(.writing, step: progress.step)
    keeper?.append(event)
    observer?.didRecord(event)
    tellNews()
  }
}
