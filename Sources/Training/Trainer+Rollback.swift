internal import Checkpointing
internal import Collectives

/// Going back to a checkpoint when a figure is no longer a number.
extension Trainer {
  private static let mostRollbacks = 10

  /// Goes back, if the configuration wants it and the run has not done so too often; otherwise the failure
  /// is noted and thrown.
  ///
  /// Collective; every rank has the same failure at the same step.
  func recover(from failure: SharedFailure) throws {
    let isHopeless = progress.rollbackCount >= Self.mostRollbacks
    if configuration.onNaN == .rollback && !isHopeless {
      try finishWriting()
      return try rollBack(failure)
    }
    record(
      MetricsEvent(failure: progress, message: failure.message, wallSeconds: clock.wallSeconds))
    try finishWriting()
    if configuration.onNaN != .rollback { throw failure }
    throw SharedFailure(
      message: failure.message
        + "; the run has gone back \(progress.rollbackCount) times, the most that it may",
      status: failure.status, rank: failure.rank)
  }

  /// Goes back to the newest checkpoint, or to the beginning, with half the learning rate.
  ///
  /// Where the run has not come twice as far from there as before, the checkpoint is taken for lost too, and
  /// the one before it is taken.
  private func rollBack(_ reason: SharedFailure) throws {
    let count = progress.rollbackCount + 1
    let limit = trouble.flatMap { before in
      progress.step - before.target <= max(2 * (before.failure - before.target), 1)
        ? before.target : nil
    }
    let failure = progress.step
    var path = ""
    try agreement.onRoot {
      let older = folder.checkpoints.steps.filter { step in limit.map { step < $0 } ?? true }
      if older.isEmpty { return }
      path = try SavedModel(path: folder.path, before: limit) { observer?.didSkip($0) }.file.path
    }
    path = try communicator.broadcast(path)
    if path.isEmpty {
      stepper.startAnew()
      progress = TrainingProgress()
    } else {
      try restore(try agreement.onEveryRank { try SavedModel(path: path) })
    }
    stepper.optimizer.restart()
    progress.rollbackCount = count
    trouble = (failure: failure, target: progress.step)
    elboIsImproved = false
    // What was said after the checkpoint is said again.
    try agreement.onRoot { try keeper?.rewind(to: progress.step) }
    record(
      MetricsEvent(
        rollback: progress, message: reason.message, learningRate: learningRate,
        wallSeconds: clock.wallSeconds))
    observer?.didRollBack(reason.message, to: progress)
  }
}
