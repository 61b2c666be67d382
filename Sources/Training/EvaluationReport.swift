internal import Checkpointing
internal import Collectives
public import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// What `vae-dist evaluate` finds.
///
/// Names are a contract: other programs read them.
public struct EvaluationReport: Codable, Sendable {
  /// The checkpoint's path.
  public let checkpoint: String
  /// Updates done when it was written.
  public let step: Int
  /// Training examples seen when it was written, repetitions counted.
  public let examplesSeen: Int
  /// What `--data` named.
  public let data: String
  /// `train` or `test`; `all` where other data were scored whole.
  public let split: String
  /// Examples scored.
  public let examples: Int
  /// Nats per example, by as many draws of each as in training.
  public let elbo: Double
  /// Its standard error over examples and draws, nats.
  public let elboStandardError: Double
  /// Nats per example.
  public let reconstructionLogLikelihood: Double
  /// Nats per example; ≥ 0 where the prior is N(0, I), an estimate where it is learned.
  public let klDivergence: Double
  /// Bits per dimension, −ELBO / (dimensions · log 2), where data are 8-bit numbers.
  public let bitsPerDimension: Double?
  /// Mean KL divergence of each latent, nats; nil where a learned prior ties them together.
  public let klDivergencePerLatent: [Double]?
  /// Dimensions of z.
  public let latents: Int
  /// Latents whose posterior mean has a variance above 0.01 over the examples.
  public let activeUnits: Int
  /// Whether the decoder does without z.
  public let isCollapsed: Bool
  /// Draws per example of the importance-weighted bound.
  public let importanceSamples: Int?
  /// Distributions that each draw was led through from q(z|x) to p(z|x); nil for none.
  public let annealingSteps: Int?
  /// log (1/K) Σ p(x, z) / q(z|x), nats per example.
  public let importanceWeightedBound: Double?
  /// Its standard error over examples, nats.
  public let importanceWeightedBoundStandardError: Double?
  /// What of it is due to the number of draws: the standard error if the examples were fixed, nats.
  public let importanceWeightedBoundSamplingError: Double?
  /// How many equally weighted draws the K are worth, mean over the examples, and the least.
  public let effectiveSampleSize: Double?
  /// The smallest effective sample size of an example.
  public let smallestEffectiveSampleSize: Double?

  enum CodingKeys: String, CodingKey {
    case checkpoint
    case step
    case examplesSeen = "examples_seen"
    case data
    case split
    case examples
    case elbo
    case elboStandardError = "elbo_standard_error"
    case reconstructionLogLikelihood = "reconstruction_log_likelihood"
    case klDivergence = "kl_divergence"
    case bitsPerDimension = "bits_per_dimension"
    case klDivergencePerLatent = "kl_divergence_per_latent"
    case latents
    case activeUnits = "active_units"
    case isCollapsed = "posterior_collapsed"
    case importanceSamples = "importance_samples"
    case annealingSteps = "annealing_steps"
    case importanceWeightedBound = "importance_weighted_bound"
    case importanceWeightedBoundStandardError = "importance_weighted_bound_standard_error"
    case importanceWeightedBoundSamplingError = "importance_weighted_bound_sampling_error"
    case effectiveSampleSize = "effective_sample_size"
    case smallestEffectiveSampleSize = "smallest_effective_sample_size"
  }

  /// Scores a split of the data under a checkpoint.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - saved: The checkpoint, the same on every rank.
  ///   - dataName: What to score on; nil for the data of the run. Other data that have no test
  ///     examples of their own are scored whole.
  ///   - labels: A file of the labels of what is scored; nil for those beside them. For a conditional model.
  ///   - scale: What their values are divided by; nil for what the run's were.
  ///   - split: Which part of the data.
  ///   - importanceSamples: K, or nil for the ELBO alone.
  ///   - annealingSteps: Steps of annealed importance sampling; nil for none.
  ///   - threadCount: Threads of this rank.
  ///   - agreement: The ranks.
  ///   - progress: Told how many of this rank's examples are done.
  /// - Throws: ``SharedFailure`` for what all ranks know of, other errors for what one rank met.
  public init(
    _ saved: SavedModel, dataName: String?, labels: String? = nil, scale: Double?, split: Split,
    importanceSamples: Int?, annealingSteps: Int? = nil, threadCount: Int, agreement: Agreement,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws {
    if let labels, saved.configuration.condition != .labels {
      throw TrainingError.invalidSetting(
        name: "labels", value: labels, expected: "left out for a model without --condition labels")
    }
    let requested = try ExampleRequest(data: dataName, labels: labels, scale: scale, split: split)
      .open(for: saved, agreement)
    let (set, configuration) = (requested.examples, requested.configuration)
    // Products of more draws of an example at a time are faster.
    let model = try LoadedModel(
      saved, threadCount: threadCount,
      examplesPerThread: importanceSamples == nil ? 0 : 256 / configuration.draws,
      agreement: agreement)
    let replica = model.replica
    let evaluator = Evaluator(
      set, configuration: configuration, communicator: agreement.communicator, team: model.team)
    let figures = try evaluator.elbo(replica)
    if !figures.isFinite {
      let place = try agreement.firstPlace { try evaluator.locateNonFinite(replica) }
      try agreement.fail(
        TrainingError.scoreNotFinite(what: "ELBO", rank: place.rank, place: place.text))
    }
    checkpoint = saved.file.path
    step = saved.progress.step
    examplesSeen = saved.progress.examplesSeen
    data = configuration.data
    self.split = requested.splitName
    examples = figures.exampleCount
    elbo = figures.elbo
    elboStandardError = figures.standardError
    reconstructionLogLikelihood = figures.reconstructionLogLikelihood
    klDivergence = figures.klDivergence
    bitsPerDimension = configuration.bitsPerDimension(figures.elbo, inputs: saved.inputs)
    let posterior = try evaluator.posterior(replica, latent: configuration.latent)
    let hasStandardPrior = configuration.prior == .standard
    klDivergencePerLatent = hasStandardPrior ? posterior.meanDivergences : nil
    latents = configuration.latent
    activeUnits = posterior.activeUnitCount
    isCollapsed = posterior.isCollapsed(hasStandardPrior: hasStandardPrior)
    self.importanceSamples = importanceSamples
    self.annealingSteps = annealingSteps
    let estimates = try importanceSamples.map {
      try evaluator.importanceWeightedBounds(
        replica,
        sampling: ImportanceSampling(drawCount: $0, annealingSteps: annealingSteps ?? 0),
        progress: progress)
    }
    let bounds = estimates?.map(\.bound)
    let sizes = estimates?.map(\.effectiveSampleSize)
    importanceWeightedBound = bounds.map { Self.mean($0) }
    importanceWeightedBoundStandardError = bounds.map { Self.standardError($0) }
    effectiveSampleSize = sizes.map { Self.mean($0) }
    smallestEffectiveSampleSize = sizes?.min()
    // Var(log of a mean of K weights) ≈ Var(w) / (K E[w]²), where Var(w) / E[w]² of K draws is
    // K (K / ESS − 1) / (K − 1); one draw tells nothing of it.
    importanceWeightedBoundSamplingError = sizes.flatMap { sizes in
      guard let importanceSamples, importanceSamples > 1 else { return nil }
      let count = Double(importanceSamples)
      return sizes.reduce(0) { $0 + max(count / $1 - 1, 0) / (count - 1) }.squareRoot()
        / Double(sizes.count)
    }
    if let lost = bounds?.firstIndex(where: { !$0.isFinite }) {
      try agreement.fail(
        TrainingError.scoreNotFinite(
          what: "importance-weighted bound", rank: nil,
          place: "for example \(set.row(of: UInt32(lost)))"))
    }
  }

  private static func mean(_ values: [Double]) -> Double {
    values.reduce(0, +) / Double(values.count)
  }

  private static func standardError(_ values: [Double]) -> Double {
    let mean = mean(values)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(max(values.count - 1, 1)) / Double(values.count)).squareRoot()
  }
}
