internal import Checkpointing
internal import Collectives

/// Going back to a checkpoint when a figure is no longer a number.
extension Trainer {
  private static let mostRollbacks = 10
  // What comes out the same whatever the rate is the fault of the data.
  private static let mostTimesAlike = 5

  /// Goes back, if the configuration wants it and the run has not done so too often; otherwise the failure
  /// is noted and thrown.
  ///
  /// Collective; every rank has the same failure at the same step.
  func recover(from failure: SharedFailure) throws {
    timesAlike = failure.message == trouble?.message ? timesAlike + 1 : 1
    let isAlike = timesAlike >= Self.mostTimesAlike
    let isHopeless = isAlike || progress.rollbackCount >= Self.mostRollbacks
    if configuration.onNaN == .rollback && !isHopeless { return try rollBack(failure) }
    record(
      MetricsEvent(failure: progress, message: failure.message, wallSeconds: clock.wallSeconds))
    try finishWriting()
    if configuration.onNaN != .rollback { throw failure }
    throw SharedFailure(
      message: failure.message + "; "
        + (isAlike
          ? "a smaller rate has made no difference \(timesAlike - 1) times"
          : "the run has gone back \(progress.rollbackCount) times, the most that it may"),
      status: failure.status, rank: failure.rank)
  }

  /// Goes back to the newest checkpoint, or to the beginning, with half the learning rate.
  ///
  /// Where the run has not come twice as far from there as before, that checkpoint is taken for lost too, and
  /// the newest one that lies twice as far back is taken: steps go wrong long before numbers end.
  private func rollBack(_ reason: SharedFailure) throws {
    let count = progress.rollbackCount + 1
    let failure = progress.step
    let limit = trouble.flatMap { before in
      let distance = 2 * max(before.failure - before.target, 1)
      return failure - before.target <= distance
        ? min(before.target, failure - distance + 1) : nil
    }
    try goBack(before: limit)
    progress.rollbackCount = count
    trouble = (failure: failure, target: progress.step, message: reason.message)
    record(
      MetricsEvent(
        rollback: progress, message: reason.message, learningRate: learningRate,
        wallSeconds: clock.wallSeconds))
    observer?.didRollBack(reason.message, to: progress)
  }

  /// Computes again what replicas had come to differ in, if that gives the same bits; otherwise the
  /// difference is noted and ends the run.
  ///
  /// Collective; every rank has the same difference.
  func recover(from difference: ReplicaDifference) throws {
    let summary = difference.summary(hosts: hosts)
    if !configuration.deterministic || recomputation != nil {
      record(
        MetricsEvent(failure: progress, message: summary, wallSeconds: clock.wallSeconds))
      try finishWriting()
      try agreement.fail(TrainingError.replicasDiffer(summary))
    }
    let count = progress.rollbackCount
    try goBack(before: nil)
    progress.rollbackCount = count
    recomputation = difference
    observer?.didMeet(
      "\(summary); computing again from step \(progress.step), to see who was wrong")
  }

  /// Says who had been wrong, when the step at which replicas differed has come again.
  func noteRecomputation() {
    guard let difference = recomputation, progress.step >= difference.step else { return }
    recomputation = nil
    let wrong = difference.wrongRanks(replica, hosts: hosts)
    let message =
      "Computed again up to step \(difference.step): "
      + (wrong.map { "\($0) had been wrong in \(difference.tensor)" }
        ?? "who had been wrong cannot be told")
    record(
      MetricsEvent(
        recomputation: progress, message: message, wallSeconds: clock.wallSeconds))
    observer?.didMeet(message)
  }

  // To the newest checkpoint, or to the beginning; what was said after it is said again.
  private func goBack(before limit: Int?) throws {
    try finishWriting()
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
    elboIsImproved = false
    try agreement.onRoot { try keeper?.rewind(to: progress.step) }
  }
}
