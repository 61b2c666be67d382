public import DataLoading
public import Layers
public import TensorKernels
public import VAEObjective

/// What happens when a bound or a parameter is no longer a number.
public enum NotFiniteAction: String, CaseIterable, Sendable, Codable {
  /// The run ends.
  case stop
  /// The run goes on from its newest checkpoint with half the learning rate, ten times at most.
  case rollback
}

/// The update rule.
public enum OptimizerKind: String, CaseIterable, Sendable, Codable {
  /// Kingma & Ba 2015.
  case adam
  /// Loshchilov & Hutter 2019.
  case adamw
  /// Duchi, Hazan & Singer 2011.
  case adagrad
  /// Stochastic gradient descent, with momentum if it is not 0.
  case sgd

  /// α where none is given.
  public var usualLearningRate: Double { self == .adam || self == .adamw ? 0.001 : 0.01 }
}

/// What encoder and decoder are told of an example besides.
public enum Condition: String, CaseIterable, Sendable, Codable {
  /// Nothing.
  case none
  /// Its class, one-hot: a conditional VAE, q(z|x, y) and p(x|z, y).
  case labels
}

/// How the learning rate goes over the steps of a run.
public enum ScheduleKind: String, CaseIterable, Sendable, Codable {
  /// The same at every step after the warm-up.
  case constant
  /// Half a cosine from the learning rate to zero at the last step.
  case cosine
  /// Eight stages, each three times as long as the one before, from the learning rate to a tenth of
  /// it (Burda et al. 2016, section 5, whose 3280 epochs are the run).
  case stages
}

/// How the gradients of all ranks are added.
public enum AllReduceMethod: String, CaseIterable, Sendable, Codable {
  /// Shared memory where all ranks are on one node, overlapped where they are on several; blocking on
  /// a node whose ranks cannot share memory.
  case automatic
  /// Each rank adds and updates its part of the parameters in memory that all ranks of the node
  /// see, and copies the others' parts.
  case sharedMemory = "shared-memory"
  /// In buckets that leave while the gradients of earlier layers are still being computed.
  case overlapped
  /// All at once, after the gradient.
  case blocking
}

/// Everything that decides a run, by the names of the command line.
///
/// Written to `config.yaml` and into every checkpoint; the same file given to `--config` repeats
/// the run.
public struct TrainingConfiguration: Sendable, Equatable, Codable {
  // MARK: Data
  /// A file, a folder or a known name.
  public var data = "digits"
  /// A file of test examples, where the data have none of their own.
  public var testData: String?
  /// The part held out where there are no test examples.
  public var testFraction = 0.1
  /// Columns of a table of text that are no data: names, or numbers from 1 on, between commas.
  public var skipColumns: String?
  /// What the file's values are divided by; nil means by what fits the number format.
  public var scale: Double?
  /// Whether grey values become black and white.
  public var binarize = Binarization.none
  /// What encoder and decoder are told of an example besides.
  public var condition = Condition.none
  /// A file of the training examples' labels, where none lie beside the data.
  public var labels: String?
  /// A file of the test examples' labels.
  public var testLabels: String?
  /// How many classes there are; nil for as many as the labels name.
  public var classes: Int?

  // MARK: Model
  /// What encoder and decoder are made of.
  public var network = NetworkKind.mlp
  /// The extents of an example, `HxWxC`, for networks that see images; nil for those of the data.
  public var image: String?
  /// The encoder's layers, for a network of one's own.
  public var encoder: String?
  /// The decoder's layers, for a network of one's own.
  public var decoder: String?
  /// Outputs of the encoder's hidden layers; the decoder has them in reverse.
  public var hidden = [500]
  /// Dimensions of z.
  public var latent = 20
  /// The hidden layers' activation.
  public var activation = Activation.tanh
  /// p(x|z).
  public var likelihood = LikelihoodKind.bernoulli
  /// What the location of a Gaussian, Laplace or discretized logistic likelihood passes through.
  public var observationMean = ObservationMean.linear
  /// Where the scale of such a likelihood comes from.
  public var observationScale = ObservationScale.decoder
  /// The scale where it is fixed, or where learning it starts.
  public var observationScaleValue = 1.0
  /// What is added to a scale that is learned; its square, to a variance.
  public var observationScaleFloor = 0.001
  /// What the means of counts are relative to.
  public var librarySize = LibrarySize.none
  /// Classes of the categorical likelihood.
  public var categories: Int?
  /// What each column of a table is.
  public var columns: String?
  /// p(z).
  public var prior = PriorKind.standard
  /// Gaussians of a learned prior; nil for ``usualPriorComponents``.
  public var priorComponents: Int?
  /// L: draws of z per example in training.
  public var draws = 1
  /// How parameters start.
  public var initializer = Initializer.glorotUniform
  /// A safetensors file that holds what parameters start as instead.
  public var initializeFrom: String?

  // MARK: Objective
  /// The lower bound that training raises.
  public var bound = Bound.elbo
  /// How its gradient is estimated.
  public var gradientEstimator = GradientEstimator.standard
  /// What the KL divergence is multiplied by, as in the β-VAE.
  public var beta = 1.0
  /// Steps over which β rises linearly from 0.
  public var klWarmupSteps = 0
  /// How often β rises from 0 in the run; 0 for never.
  public var klCycles = 0
  /// λ: nats of each group of latents that cost nothing.
  public var freeBits = 0.0
  /// Groups of neighbouring latents for ``freeBits``; nil for each latent its own.
  public var freeBitsGroups: Int?
  /// C: nats that the KL divergence is held at; nil for none.
  public var klCapacity: Double?
  /// Steps over which C rises linearly from 0.
  public var klCapacitySteps = 0

  // MARK: Optimization
  /// Passes over the training examples; nil where ``steps`` is set.
  public var epochs: Int? = 20
  /// Updates, instead of ``epochs``.
  public var steps: Int?
  /// Examples of an update, all ranks together.
  public var globalBatchSize = 100
  /// The update rule.
  public var optimizer = OptimizerKind.adam
  /// α.
  public var learningRate = 0.001
  /// How α goes over the steps.
  public var learningRateSchedule = ScheduleKind.constant
  /// Steps over which α rises linearly from 0.
  public var warmupSteps = 0
  /// Momentum of `sgd`.
  public var momentum = 0.0
  /// λ: added to the gradient as λ·p, or for `adamw` taken off the parameters.
  public var weightDecay = 0.0
  /// The largest norm of the mean gradient; nil means any.
  public var clipGradientNorm: Double?
  /// Keys every random number.
  public var seed: UInt64 = 0

  // MARK: Run
  /// Threads of each rank; nil means its share of the node's cores.
  public var threads: Int?
  /// The number format of the matrix products' operands in training.
  public var precision = Precision.f32
  /// How the gradients of all ranks are added.
  public var allReduce = AllReduceMethod.automatic
  /// The number format in which gradients travel between ranks.
  public var allReducePrecision = Precision.f32
  /// Whether results do not depend on the number of ranks and threads, to the bit.
  public var deterministic = false
  /// Examples of the pieces that a global batch is then cut into; nil for ``usualMicroBatchSize``.
  public var microBatchSize: Int?
  /// Bytes of gradient that leave together when overlapped; nil means by measurement.
  public var bucketBytes: Int?
  /// Epochs between evaluations.
  public var evaluateEvery = 1
  /// What happens when a bound or a parameter is no longer a number.
  public var onNaN = NotFiniteAction.stop
  /// Evaluations without a higher test ELBO after which the run ends; nil for never.
  public var patience: Int?
  /// Epochs between checkpoints.
  public var checkpointEvery = 1
  /// Steps between checkpoints, besides.
  public var checkpointEverySteps: Int?
  /// How many of the newest checkpoints stay.
  public var keep = 3
  /// Steps between comparisons of all ranks' parameters, besides those at checkpoints.
  public var compareReplicasEvery = 100
  /// Seconds without progress after which ranks are given up; 0 for never.
  public var hangTimeout = 60

  /// The defaults.
  public init() {}

  /// The names on the command line and in files.
  public enum CodingKeys: String, CodingKey, CaseIterable {
    case data
    case testData = "test-data"
    case testFraction = "test-fraction"
    case skipColumns = "skip-columns"
    case scale
    case binarize
    case condition
    case labels
    case testLabels = "test-labels"
    case classes
    case network
    case image
    case encoder
    case decoder
    case hidden
    case latent
    case activation
    case likelihood
    case observationMean = "observation-mean"
    case observationScale = "observation-scale"
    case observationScaleValue = "observation-scale-value"
    case observationScaleFloor = "observation-scale-floor"
    case librarySize = "library-size"
    case categories
    case columns
    case prior
    case priorComponents = "prior-components"
    case draws
    case initializer
    case initializeFrom = "initialize-from"
    case bound
    case gradientEstimator = "gradient-estimator"
    case beta
    case klWarmupSteps = "kl-warmup-steps"
    case klCycles = "kl-cycles"
    case freeBits = "free-bits"
    case freeBitsGroups = "free-bits-groups"
    case klCapacity = "kl-capacity"
    case klCapacitySteps = "kl-capacity-steps"
    case epochs
    case steps
    case globalBatchSize = "global-batch-size"
    case optimizer
    case learningRate = "learning-rate"
    case learningRateSchedule = "learning-rate-schedule"
    case warmupSteps = "warmup-steps"
    case momentum
    case weightDecay = "weight-decay"
    case clipGradientNorm = "clip-gradient-norm"
    case seed
    case threads
    case precision
    case allReduce = "all-reduce"
    case allReducePrecision = "all-reduce-precision"
    case deterministic
    case microBatchSize = "micro-batch-size"
    case bucketBytes = "bucket-bytes"
    case evaluateEvery = "evaluate-every"
    case onNaN = "on-nan"
    case patience
    case checkpointEvery = "checkpoint-every"
    case checkpointEverySteps = "checkpoint-every-steps"
    case keep
    case compareReplicasEvery = "compare-replicas-every"
    case hangTimeout = "hang-timeout"
  }

  /// The pieces of a global batch of which each is computed by one thread, where results must not
  /// depend on how many there are; a power of two of them, of 128 examples at most.
  public var usualMicroBatchSize: Int {
    var count = 2
    while globalBatchSize / count > 128 { count *= 2 }
    return max(1, (globalBatchSize + count - 1) / count)
  }

  /// Examples that stay together on one rank.
  var unitSize: Int {
    deterministic ? min(microBatchSize ?? usualMicroBatchSize, globalBatchSize) : 1
  }

  /// Whether training raises something else than the ELBO.
  var hasOwnObjective: Bool {
    bound != .elbo || beta != 1 || klWarmupSteps > 0 || klCycles > 0 || freeBits > 0
      || klCapacity != nil
  }

  /// The number of updates in all.
  public func totalSteps(stepsPerEpoch: Int) -> Int { steps ?? (epochs ?? 0) * stepsPerEpoch }
}
