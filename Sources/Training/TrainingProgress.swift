public import Checkpointing
public import VAEObjective

/// Where a run is: everything besides parameters and optimizer state that decides what comes next.
public struct TrainingProgress: Sendable, Equatable {
  /// Updates done.
  public var step = 0
  /// Epochs finished.
  public var epoch = 0
  /// Updates done in the epoch that is under way.
  public var stepInEpoch = 0
  /// Training examples seen, repetitions counted.
  public var examplesSeen = 0
  /// The ELBO over the epoch so far, each batch under the parameters of its step.
  public var epochELBO = ELBO()
  /// What training raised over the epoch so far, summed over its examples, nats.
  public var epochObjectiveSum = 0.0
  /// The highest test ELBO so far, nats per example.
  public var bestTestELBO = -Double.infinity
  /// The step of ``bestTestELBO``; nil before the first evaluation.
  public var bestStep: Int?
  /// Evaluations since then.
  public var evaluationsSinceBest = 0
  /// How often the run has gone back to a checkpoint, each time with half the learning rate.
  public var rollbackCount = 0
  /// Whether the last step is done, and the evaluation after it is not.
  public var awaitsEvaluation = false

  /// The start of a run.
  public init() {}

  /// As text for a checkpoint's metadata; numbers read back to the same bits.
  var metadata: [String: String] {
    let own = [
      "step": String(step),
      "epoch": String(epoch),
      "step_in_epoch": String(stepInEpoch),
      "examples_seen": String(examplesSeen),
      "epoch_reconstruction_log_likelihood_sum": String(epochELBO.reconstructionLogLikelihoodSum),
      "epoch_kl_divergence_sum": String(epochELBO.klDivergenceSum),
      "epoch_objective_sum": String(epochObjectiveSum),
      "epoch_examples": String(epochELBO.exampleCount),
      "best_test_elbo": String(bestTestELBO),
      "best_step": String(bestStep ?? -1),
      "rollbacks": String(rollbackCount),
      "evaluations_since_best": String(evaluationsSinceBest),
    ]
    return awaitsEvaluation ? own.merging(["awaits_evaluation": "1"]) { $1 } : own
  }

  /// Reads what ``metadata`` wrote.
  ///
  /// - Throws: `CheckpointError.wrongMetadata` if an entry is missing or not a number.
  public init(_ file: SafetensorsFile) throws(CheckpointError) {
    step = try file.value("step")
    epoch = try file.value("epoch")
    stepInEpoch = try file.value("step_in_epoch")
    examplesSeen = try file.value("examples_seen")
    epochELBO = ELBO(
      reconstructionLogLikelihoodSum: try file.value("epoch_reconstruction_log_likelihood_sum"),
      klDivergenceSum: try file.value("epoch_kl_divergence_sum"),
      exampleCount: try file.value("epoch_examples"))
    // Earlier versions raised nothing but the ELBO.
    epochObjectiveSum =
      file.metadata["epoch_objective_sum"] == nil
      ? epochELBO.reconstructionLogLikelihoodSum - epochELBO.klDivergenceSum
      : try file.value("epoch_objective_sum")
    bestTestELBO = try file.value("best_test_elbo")
    let best: Int = try file.value("best_step")
    bestStep = best < 0 ? nil : best
    evaluationsSinceBest =
      file.metadata["evaluations_since_best"] == nil ? 0 : try file.value("evaluations_since_best")
    awaitsEvaluation = file.metadata["awaits_evaluation"] != nil
    rollbackCount = file.metadata["rollbacks"] == nil ? 0 : try file.value("rollbacks")
    let counts = [
      ("rollbacks", rollbackCount),
      ("evaluations_since_best", evaluationsSinceBest),
      ("step", step), ("epoch", epoch), ("step_in_epoch", stepInEpoch),
      ("examples_seen", examplesSeen), ("epoch_examples", epochELBO.exampleCount),
    ]
    if !epochELBO.isFinite {
      throw .wrongMetadata(
        path: file.path, key: "epoch_kl_divergence_sum", value: "\(epochELBO.klDivergenceSum)")
    }
    for (key, value) in counts where value < 0 || value > 1 << 48 {
      throw .wrongMetadata(path: file.path, key: key, value: String(value))
    }
  }

  /// Checks that the counts are those of one run.
  func check(stepsPerEpoch: Int, path: String) throws(CheckpointError) {
    if stepInEpoch > stepsPerEpoch || step != epoch * stepsPerEpoch + stepInEpoch {
      throw .wrongMetadata(path: path, key: "step_in_epoch", value: String(stepInEpoch))
    }
  }
}
