import Checkpointing
import TensorKernels
import Testing
import Training
import VAEObjective

@Suite struct ConfigurationTests {
  @Test func defaultsAreValid() throws {
    try TrainingConfiguration().validate(worldSize: 1)
    try TrainingConfiguration().validate(worldSize: 100)
  }

  static let wrong: [(String, @Sendable (inout TrainingConfiguration) -> Void)] = [
    ("--latent is 0; it must be at least 1", { $0.latent = 0 }),
    ("--hidden is 500,0; it must be widths from 1 to 16777215", { $0.hidden = [500, 0] }),
    ("--latent is 9223372036854775807; it must be at most 16777215", { $0.latent = .max }),
    ("--epochs is 9223372036854775807; it must be at most 1000000000", { $0.epochs = .max }),
    ("--learning-rate is nan; it must be above 0", { $0.learningRate = .nan }),
    ("--weight-decay is inf; it must be 0 or more", { $0.weightDecay = .infinity }),
    ("--scale is inf; it must be above 0", { $0.scale = .infinity }),
    ("--test-fraction is nan; it must be between 0 and 1", { $0.testFraction = .nan }),
    ("--draws is 0; it must be at least 1", { $0.draws = 0 }),
    ("--epochs is 0; it must be at least 1", { $0.epochs = 0 }),
    ("--steps is -3; it must be at least 1", { $0.steps = -3 }),
    ("--global-batch-size is 0; it must be at least 1", { $0.globalBatchSize = 0 }),
    ("--threads is 0; it must be at least 1", { $0.threads = 0 }),
    ("--keep is 0; it must be at least 1", { $0.keep = 0 }),
    ("--warmup-steps is -1; it must be from 0 to 1000000000", { $0.warmupSteps = -1 }),
    ("--test-fraction is 1; it must be between 0 and 1", { $0.testFraction = 1 }),
    ("--learning-rate is -0.1; it must be above 0", { $0.learningRate = -0.1 }),
    ("--momentum is 1; it must be at least 0 and below 1", { $0.momentum = 1 }),
    ("--weight-decay is -1; it must be 0 or more", { $0.weightDecay = -1 }),
    ("--clip-gradient-norm is 0; it must be above 0", { $0.clipGradientNorm = 0 }),
    ("--scale is -255; it must be above 0", { $0.scale = -255 }),
    ("--beta is -1; it must be from 0 to 1e9", { $0.beta = -1 }),
    ("--free-bits is 1e+308; it must be from 0 to 1e9", { $0.freeBits = 1e308 }),
    ("--kl-capacity is 1e+308; it must be from 0 to 1e9", { $0.klCapacity = 1e308 }),
    (
      "--observation-scale-value is 0.01; it must be left out where the decoder gives the scale, or there is none",
      { ($0.likelihood, $0.observationScaleValue) = (.gaussian, 0.01) }
    ),
    (
      "--observation-scale-floor is 5; it must be left out where no scale is learned",
      {
        ($0.likelihood, $0.observationScale, $0.observationScaleFloor) = (.gaussian, .fixed, 5)
      }
    ),
    (
      "--binarize is dynamic; it must be none with --likelihood discretized-logistic",
      { ($0.likelihood, $0.binarize) = (.discretizedLogistic, .dynamic) }
    ),
    (
      "--encoder is dense 3; it must be given with --decoder", { $0.encoder = "dense 3" }
    ),
    (
      "--image is 3xx; it must be the extents of an example: 28x28x1",
      { ($0.network, $0.image) = (.conv, "3xx") }
    ),
    (
      "--image is 8x8x1; it must be left out with --network mlp, which sees values alone",
      { $0.image = "8x8x1" }
    ),
    (
      "--hidden is 400; it must be left out with --network conv",
      { ($0.network, $0.hidden) = (.conv, [400]) }
    ),
    (
      "layer 'conv 32' needs the pixels along its window: kernel 4",
      { ($0.encoder, $0.decoder) = ("conv 32", "dense 3") }
    ),
    (
      "--kl-cycles is 2; it must be 0 with --kl-warmup-steps 5, since both say how the penalty rises",
      { ($0.klCycles, $0.klWarmupSteps) = (2, 5) }
    ),
    (
      "--free-bits-groups is 21; it must be from 1 to --latent 20",
      { ($0.freeBits, $0.freeBitsGroups) = (1, 21) }
    ),
    (
      "--kl-capacity is 3; it must be left out with --free-bits, since both say how much divergence is free",
      { ($0.freeBits, $0.klCapacity) = (1, 3) }
    ),
    (
      "--bound is iwae; it must be elbo with --beta, --kl-warmup-steps, --kl-cycles, --free-bits or --kl-capacity, since the importance-weighted bound has no KL divergence to weigh",
      { ($0.bound, $0.beta) = (.iwae, 2) }
    ),
    (
      "--gradient-estimator is dreg; it must be standard or stl without --bound iwae, whose weights it differentiates",
      { $0.gradientEstimator = .doublyReparameterized }
    ),
    (
      "--gradient-estimator is stl; it must be standard with --free-bits or --kl-capacity, which need the closed form of the divergence",
      { ($0.gradientEstimator, $0.freeBits) = (.stickingTheLanding, 1) }
    ),
    ("--momentum is 0.5; it must be 0 without --optimizer sgd", { $0.momentum = 0.5 }),
    (
      "--observation-mean is sigmoid; it must be linear with --likelihood bernoulli, which has no location",
      { $0.observationMean = .sigmoid }
    ),
    (
      "--observation-scale is shared; it must be decoder with --likelihood poisson, which has no scale",
      { ($0.likelihood, $0.observationScale) = (.poisson, .shared) }
    ),
    ("--observation-scale-value is 0; it must be above 0", { $0.observationScaleValue = 0 }),
    (
      "--observation-scale-floor is -1; it must be 0 or more",
      { $0.observationScaleFloor = -1 }
    ),
    (
      "--library-size is observed; it must be none with --likelihood gaussian, which is not of counts",
      { ($0.likelihood, $0.librarySize) = (.gaussian, .observed) }
    ),
    (
      "--likelihood is categorical; it must be given with --categories, the number of classes",
      { $0.likelihood = .categorical }
    ),
    (
      "--categories is 1; it must be from 2 to 65536",
      { ($0.likelihood, $0.categories) = (.categorical, 1) }
    ),
    (
      "--binarize is dynamic; it must be none with --likelihood poisson",
      { ($0.likelihood, $0.binarize) = (.poisson, .dynamic) }
    ),
    (
      "--global-batch-size is 2, which 3 ranks cannot share; use at least 3",
      { $0.globalBatchSize = 2 }
    ),
  ]

  @Test(arguments: wrong) func wrongSettingsAreNamed(
    sentence: String, change: @Sendable (inout TrainingConfiguration) -> Void
  ) {
    var configuration = TrainingConfiguration()
    change(&configuration)
    do throws(TrainingError) {
      try configuration.validate(worldSize: 3)
      Issue.record("accepted")
    } catch {
      #expect(error.description == sentence)
    }
  }

  @Test func everySettingHasAName() {
    let settings = TrainingConfiguration().settings
    #expect(settings.count == TrainingConfiguration.CodingKeys.allCases.count)
    let values = Dictionary(uniqueKeysWithValues: settings.map { ($0.name, $0.value) })
    #expect(values["hidden"] == "500")
    #expect(values["steps"] == "default")
    #expect(values["learning-rate"] == "0.001")
    #expect(settings.allSatisfy { $0.name == $0.name.lowercased() && !$0.name.contains("_") })
  }
}
