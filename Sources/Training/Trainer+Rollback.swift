internal import Checkpointing
internal import Collectives

/// Going back to a checkpoint when a figure is no longer a number.
extension Trainer {
  private static let mostRollbacks = 10

  func mayRollBack(_ failure: SharedFailure) -> Bool {
    failure.isNotFinite && configuration.onNaN == .rollback
      && progress.rollbackCount < Self.mostRollbacks
  }

  /// Goes back to the newest checkpoint, or to the beginning, with half the learning rate.
  ///
  /// Where the run fails again before it has come further than the last time, the checkpoint before the
  /// last one is taken.
  ///
  /// Collective; every rank has the same failure at the same step.
  func rollBack(_ reason: SharedFailure) throws {
    let count = progress.rollbackCount + 1
    let limit = trouble.flatMap { progress.step <= $0.failure + 1 ? $0.target : nil }
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
    try agreement.onRoot {
      // What was said after the checkpoint is said again.
      metrics = try MetricsLog.open(folder.metricsPath, keepingUpTo: progress.step).log
      try metrics?.append(MetricsEvent(rollback: progress, wallSeconds: clock.wallSeconds))
    }
    observer?.didRollBack(reason.message, to: progress)
  }
}
