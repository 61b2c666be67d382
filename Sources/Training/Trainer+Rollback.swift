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
  /// Collective; every rank has the same failure at the same step.
  func rollBack(_ failure: SharedFailure) throws {
    let count = progress.rollbackCount + 1
    var path = ""
    try agreement.onRoot {
      if folder.checkpoints.steps.isEmpty { return }
      path = try SavedModel(path: folder.path) { observer?.didSkip($0) }.file.path
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
    elboIsImproved = false
    try agreement.onRoot {
      // What was said after the checkpoint is said again.
      metrics = try MetricsLog.open(folder.metricsPath, keepingUpTo: progress.step).log
      try metrics?.append(MetricsEvent(rollback: progress, wallSeconds: clock.wallSeconds))
    }
    observer?.didRollBack(failure.message, to: progress)
  }
}
