import ArgumentParser
import Foundation
import Training

/// All flags of `train`.
struct TrainOptions: ParsableArguments {
  @OptionGroup(title: "Data") var data: DataOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Objective") var objective: ObjectiveOptions
  @OptionGroup(title: "Optimization") var optimization: OptimizationOptions
  @OptionGroup(title: "Machine") var machine: MachineOptions
  @OptionGroup(title: "Run") var run: RunOptions

  /// The settings, with defaults for what is not given.
  var configuration: TrainingConfiguration {
    var settings = configure(data, model, objective, optimization, machine)
    func set<Value>(_ path: WritableKeyPath<TrainingConfiguration, Value>, _ value: Value?) {
      if let value { settings[keyPath: path] = value }
    }
    set(\.evaluateEvery, run.evaluateEvery)
    set(\.onNaN, run.onNan)
    settings.patience = run.patience
    set(\.checkpointEvery, run.checkpointEvery)
    settings.checkpointEverySteps = run.checkpointEverySteps
    set(\.keep, run.keep)
    set(\.compareReplicasEvery, run.compareReplicasEvery)
    set(\.hangTimeout, run.hangTimeout)
    return settings
  }
}

// A list over several lines, or with spaces of somebody's own, is the same list.
private func singleSpaced(_ list: String) -> String {
  list.split(separator: ",", omittingEmptySubsequences: false).map { item in
    item.split { $0.isWhitespace }.joined(separator: " ")
  }.joined(separator: ", ")
}

/// Names between commas; they may hold spaces, but do not begin or end with one.
func nameList(_ list: String?) -> [String] {
  (list ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
}

/// The settings of these groups, with defaults for what is not given.
func configure(
  _ data: DataOptions, _ model: ModelOptions, _ objective: ObjectiveOptions,
  _ optimization: OptimizationOptions, _ machine: MachineOptions
) -> TrainingConfiguration {
  var settings = TrainingConfiguration()
  func set<Value>(_ path: WritableKeyPath<TrainingConfiguration, Value>, _ value: Value?) {
    if let value { settings[keyPath: path] = value }
  }
  set(\.data, data.data)
  settings.testData = data.testData
  set(\.testFraction, data.testFraction)
  settings.skipColumns = data.skipColumns.map { nameList($0).joined(separator: ",") }
  settings.scale = data.scale
  set(\.binarize, data.binarize)
  set(\.condition, data.condition)
  settings.labels = data.labels
  settings.testLabels = data.testLabels
  settings.classes = data.classes
  set(\.network, model.network)
  settings.image = model.image
  settings.encoder = model.encoder.map(singleSpaced)
  settings.decoder = model.decoder.map(singleSpaced)
  set(\.hidden, model.hidden?.values)
  set(\.latent, model.latent)
  set(\.activation, model.activation)
  set(\.likelihood, model.likelihood)
  set(\.observationMean, model.observationMean)
  set(\.observationScale, model.observationScale)
  set(\.observationScaleValue, model.observationScaleValue)
  set(\.observationScaleFloor, model.observationScaleFloor)
  set(\.librarySize, model.librarySize)
  settings.categories = model.categories
  settings.columns = model.columns.map(singleSpaced)
  set(\.prior, model.prior)
  settings.priorComponents = model.priorComponents
  set(\.draws, model.draws)
  set(\.initializer, model.initializer)
  settings.initializeFrom = model.initializeFrom
  set(\.bound, objective.bound)
  set(\.gradientEstimator, objective.gradientEstimator)
  set(\.beta, objective.beta)
  set(\.klWarmupSteps, objective.klWarmupSteps)
  set(\.klCycles, objective.klCycles)
  set(\.freeBits, objective.freeBits)
  settings.freeBitsGroups = objective.freeBitsGroups
  settings.klCapacity = objective.klCapacity
  set(\.klCapacitySteps, objective.klCapacitySteps)
  if optimization.steps != nil {
    settings.epochs = nil
    settings.steps = optimization.steps
  } else if let epochs = optimization.epochs {
    settings.epochs = epochs
  }
  set(\.globalBatchSize, optimization.globalBatchSize)
  set(\.optimizer, optimization.optimizer)
  settings.learningRate = optimization.learningRate ?? settings.optimizer.usualLearningRate
  set(\.learningRateSchedule, optimization.learningRateSchedule)
  set(\.warmupSteps, optimization.warmupSteps)
  set(\.momentum, optimization.momentum)
  set(\.weightDecay, optimization.weightDecay)
  settings.clipGradientNorm = optimization.clipGradientNorm
  set(\.seed, optimization.seed)
  settings.threads = machine.threads
  set(\.precision, machine.precision)
  set(\.allReduce, machine.allReduce)
  set(\.allReducePrecision, machine.allReducePrecision)
  settings.deterministic = machine.deterministic
  settings.microBatchSize = machine.microBatchSize
  settings.bucketBytes = machine.bucketBytes
  return settings
}
