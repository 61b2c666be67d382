internal import Checkpointing
internal import VAEObjective

extension MetricsEvent {
  private init(
    _ event: String, _ progress: TrainingProgress, epoch: Int, wallSeconds: Double
  ) {
    self.event = event
    step = progress.step
    self.epoch = epoch
    examplesSeen = progress.examplesSeen
    self.wallSeconds = wallSeconds
  }

  private mutating func set(_ elbo: ELBO, split: String) {
    self.split = split
    self.elbo = elbo.elbo
    reconstructionLogLikelihood = elbo.reconstructionLogLikelihood
    klDivergence = elbo.klDivergence
  }

  /// The epoch that is under way, or has just been finished, over the examples seen in it.
  init(
    train progress: TrainingProgress, hasOwnObjective: Bool, examplesPerSecond: Double?,
    allReduceShare: Double, wallSeconds: Double
  ) {
    self.init("train", progress, epoch: progress.epoch + 1, wallSeconds: wallSeconds)
    set(progress.epochELBO, split: "train")
    if hasOwnObjective {
      objective = progress.epochObjectiveSum / Double(progress.epochELBO.exampleCount)
    }
    self.examplesPerSecond = examplesPerSecond
    self.allReduceShare = allReduceShare
  }

  /// An evaluation within the same epoch.
  init(
    test elbo: ELBO, _ progress: TrainingProgress, examplesPerSecond: Double, wallSeconds: Double
  ) {
    self.init("evaluate", progress, epoch: progress.epoch + 1, wallSeconds: wallSeconds)
    set(elbo, split: "test")
    self.examplesPerSecond = examplesPerSecond
  }

  /// A checkpoint, in the epoch it interrupts or after the epoch that has just been finished.
  init(checkpoint progress: TrainingProgress, wallSeconds: Double) {
    self.init("checkpoint", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    checkpoint = CheckpointFolder.fileName(step: progress.step)
  }

  /// A return to a checkpoint, because of what the message says; α is that of the next step.
  init(
    rollback progress: TrainingProgress, message: String, learningRate: Double, wallSeconds: Double
  ) {
    self.init("rollback", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    self.message = message
    self.learningRate = learningRate
  }

  /// Replicas that had differed are the same again.
  init(recomputation progress: TrainingProgress, message: String, wallSeconds: Double) {
    self.init("recomputation", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    self.message = message
  }

  /// The end of a run that could not go on.
  init(failure progress: TrainingProgress, message: String, wallSeconds: Double) {
    self.init("failure", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    self.message = message
  }

  /// The beginning of a run, or of a part of it.
  init(start progress: TrainingProgress, machine: TrainingMachine, wallSeconds: Double) {
    self.init("start", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    self.machine = machine
  }

  /// The end of the run; the message says why where it is not its last step.
  init(end progress: TrainingProgress, message: String?, times: StepTimes, wallSeconds: Double) {
    self.init("end", progress, epoch: progress.epochInText, wallSeconds: wallSeconds)
    self.message = message
    stepSeconds = [
      "data": times.data, "forward": times.forward, "backward": times.backward,
      "all_reduce": times.allReduceExposed, "optimizer": times.optimizer,
      "other": max(times.other, 0),
    ]
  }
}

extension TrainingProgress {
  /// The epoch that the latest step belongs to, counted from 1.
  public var epochInText: Int { stepInEpoch == 0 ? max(epoch, 1) : epoch + 1 }
}
