public import ArgumentParser
public import DataLoading
public import Layers
public import TensorKernels
public import Training
public import VAEObjective

// Every setting is optional here: what is not given comes from the configuration file, the run that
// goes on, or the defaults of TrainingConfiguration, which the help texts quote.

let defaults = TrainingConfiguration()

func help(_ text: String, _ value: Any?) -> ArgumentHelp {
  ArgumentHelp(stringLiteral: value.map { "\(text) (default: \($0))" } ?? text)
}

func help<Choice: RawRepresentable>(
  _ text: String, _ value: Choice
) -> ArgumentHelp where Choice.RawValue == String {
  help(text, value.rawValue)
}

extension Activation: ExpressibleByArgument {}
extension AllReduceMethod: ExpressibleByArgument {}
extension Bound: ExpressibleByArgument {}
extension Binarization: ExpressibleByArgument {}
extension Condition: ExpressibleByArgument {}
extension GradientEstimator: ExpressibleByArgument {}
extension Initializer: ExpressibleByArgument {}
extension LibrarySize: ExpressibleByArgument {}
extension LikelihoodKind: ExpressibleByArgument {}
extension NetworkKind: ExpressibleByArgument {}
extension NotFiniteAction: ExpressibleByArgument {}
extension ObservationMean: ExpressibleByArgument {}
extension ObservationScale: ExpressibleByArgument {}
extension OptimizerKind: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
extension PriorKind: ExpressibleByArgument {}
extension ScheduleKind: ExpressibleByArgument {}
extension Split: ExpressibleByArgument {}

/// Widths as `500,250`; `none` for no hidden layer.
struct Widths: ExpressibleByArgument, Equatable {
  let values: [Int]

  init?(argument: String) {
    if argument == "none" || argument.isEmpty {
      values = []
      return
    }
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.allSatisfy({ $0 != nil }) else { return nil }
    values = parts.compactMap { $0 }
  }
}

struct DataOptions: ParsableArguments {
  @Option(
    help: help(
      "A file (NPY or IDX, gzipped or not; NPZ or HDF5, or an array of one: x.npz:name; AnnData; CSV or TSV), a folder (MNIST's four files, train.npy and test.npy, PNG or JPEG images, or CIFAR-10's binary files), or a name: digits, fashion-mnist",
      defaults.data))
  var data: String?

  @Option(help: "A file of test examples.")
  var testData: String?

  @Option(
    parsing: .unconditional,
    help: help("The part held out where the data have no test examples", defaults.testFraction))
  var testFraction: Double?

  @Option(
    help: ArgumentHelp(
      "Columns of a CSV or TSV that are no data, as names of rows are: names, or numbers from 1 on",
      valueName: "names"))
  var skipColumns: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "What values are divided by (default: 255 for 8-bit data beyond 1, 16 for digits, else 1)"))
  var scale: Double?

  @Option(
    help: help("Black and white from grey values", defaults.binarize))
  var binarize: Binarization?

  @Option(
    help: help(
      "What encoder and decoder are told besides: labels, one-hot, for a conditional VAE",
      defaults.condition))
  var condition: Condition?

  @Option(
    help:
      "The training examples' labels, for --condition labels and as colours in reports: a file of whole numbers from 0, or a column (x.csv:name, x.h5ad:obs/name), also of texts. (default: beside the data)"
  )
  var labels: String?

  @Option(help: "A file of the test examples' labels. (default: beside the data)")
  var testLabels: String?

  @Option(
    parsing: .unconditional, help: "How many classes there are. (default: as the labels have)")
  var classes: Int?
}

struct ModelOptions: ParsableArguments {
  @Option(
    help: help(
      "Fully connected layers, or two convolutions with stride 2 and a layer of 256 each way",
      defaults.network))
  var network: NetworkKind?

  @Option(
    help: ArgumentHelp(
      "Layers of a network of your own: 'conv 32 kernel 4 stride 2, dense 256'; see the README",
      valueName: "layers"))
  var encoder: String?

  @Option(
    help: ArgumentHelp(
      "Its decoder: 'dense 14x14x8, transposed-conv kernel 4 stride 2'", valueName: "layers"))
  var decoder: String?

  @Option(
    help: ArgumentHelp(
      "The extents of an example to convolutions (default: those of the data)",
      valueName: "HxWxC"))
  var image: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Outputs of the encoder's hidden layers, or none; the decoder has them in reverse (default: 500)",
      valueName: "widths"))
  var hidden: Widths?

  @Option(parsing: .unconditional, help: help("Dimensions of z", defaults.latent))
  var latent: Int?

  @Option(help: help("Hidden layers' activation", defaults.activation))
  var activation: Activation?

  @Option(help: help("p(x|z)", defaults.likelihood))
  var likelihood: LikelihoodKind?

  @Option(
    help: help(
      "What the location of gaussian, laplace and discretized-logistic passes through",
      defaults.observationMean))
  var observationMean: ObservationMean?

  @Option(help: help("Where their scale comes from", defaults.observationScale))
  var observationScale: ObservationScale?

  @Option(
    parsing: .unconditional,
    help: help(
      "Their scale where it is fixed, or where per-dimension and shared start",
      defaults.observationScaleValue))
  var observationScaleValue: Double?

  @Option(
    parsing: .unconditional,
    help: help(
      "What is added to a scale that is learned; its square, to a Gaussian variance",
      defaults.observationScaleFloor))
  var observationScaleFloor: Double?

  @Option(
    help: help(
      "What means of counts are relative to: nothing, or the example's total as in scVI",
      defaults.librarySize))
  var librarySize: LibrarySize?

  @Option(
    parsing: .unconditional, help: "Classes of categorical, whose data are numbers from 0.")
  var categories: Int?

  @Option(
    help: ArgumentHelp(
      "What each column of a table is: '4 gaussian, bernoulli, poisson, categorical 5, log-normal'; see inspect",
      valueName: "kinds"))
  var columns: String?

  @Option(
    help: help(
      "p(z): standard normal, mixture of learned Gaussians, or vamp (learned pseudo-inputs)",
      defaults.prior))
  var prior: PriorKind?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      stringLiteral:
        "Gaussians of a learned prior. (default: \(TrainingConfiguration.usualPriorComponents))"))
  var priorComponents: Int?

  @Option(parsing: .unconditional, help: help("Draws of z per example (L)", defaults.draws))
  var draws: Int?

  @Option(help: help("How parameters start", defaults.initializer))
  var initializer: Initializer?

  @Option(
    help:
      "What they start as instead: a run, a checkpoint, or a safetensors file with the same tensors."
  )
  var initializeFrom: String?
}

struct ObjectiveOptions: ParsableArguments {
  @Option(
    help: help(
      "The bound that is raised: iwae is the importance-weighted one with K = --draws",
      defaults.bound))
  var bound: Bound?

  @Option(
    help: help(
      "Its gradient: standard, stl (sticking the landing) or dreg (doubly reparameterized, with iwae)",
      defaults.gradientEstimator))
  var gradientEstimator: GradientEstimator?

  @Option(
    parsing: .unconditional, help: help("What the KL divergence is multiplied by", defaults.beta))
  var beta: Double?

  @Option(
    parsing: .unconditional,
    help: help("Steps over which beta rises from 0", defaults.klWarmupSteps))
  var klWarmupSteps: Int?

  @Option(
    parsing: .unconditional,
    help: help(
      "How often beta rises from 0 in the run, each time over half a cycle", defaults.klCycles))
  var klCycles: Int?

  @Option(
    parsing: .unconditional,
    help: help("Nats of each group of latents that cost nothing", defaults.freeBits))
  var freeBits: Double?

  @Option(
    parsing: .unconditional,
    help: "Groups of neighbouring latents for --free-bits. (default: each latent its own)")
  var freeBitsGroups: Int?

  @Option(
    parsing: .unconditional,
    help: "Nats that the KL divergence is held at, with --beta as the force. (default: none)")
  var klCapacity: Double?

  @Option(
    parsing: .unconditional,
    help: help("Steps over which --kl-capacity rises from 0", defaults.klCapacitySteps))
  var klCapacitySteps: Int?
}

struct OptimizationOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Passes over the training examples. (default: 20)")
  var epochs: Int?

  @Option(parsing: .unconditional, help: "Updates, instead of --epochs.")
  var steps: Int?

  @Option(
    parsing: .unconditional,
    help: help("Examples of an update, all ranks together", defaults.globalBatchSize))
  var globalBatchSize: Int?

  @Option(help: help("Update rule", defaults.optimizer))
  var optimizer: OptimizerKind?

  @Option(
    parsing: .unconditional,
    help: "Learning rate. (default: 0.001 for adam and adamw, 0.01 for adagrad and sgd)")
  var learningRate: Double?

  @Option(
    help: help("How the learning rate goes on", defaults.learningRateSchedule))
  var learningRateSchedule: ScheduleKind?

  @Option(
    parsing: .unconditional,
    help: help("Steps over which the learning rate rises", defaults.warmupSteps))
  var warmupSteps: Int?

  @Option(parsing: .unconditional, help: help("Momentum of sgd", defaults.momentum))
  var momentum: Double?

  @Option(
    parsing: .unconditional,
    help: help("L2 weight decay, decoupled with adamw; 1/N is AEVB's prior", defaults.weightDecay))
  var weightDecay: Double?

  @Option(parsing: .unconditional, help: "The largest norm of the mean gradient. (default: any)")
  var clipGradientNorm: Double?

  @Option(parsing: .unconditional, help: help("Keys every random number", defaults.seed))
  var seed: UInt64?

  func validate() throws {
    if let epochs, let steps {
      throw ValidationError(
        "--epochs \(epochs) and --steps \(steps) are both given; the length of a run is one of them"
      )
    }
  }
}

struct MachineOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  @Option(
    help: help(
      "Number format of the matrix products in training; bf16 adds up in f32 and keeps f32 parameters",
      defaults.precision))
  var precision: Precision?

  @Option(help: help("How the ranks' gradients are added", defaults.allReduce))
  var allReduce: AllReduceMethod?

  @Option(
    help: help(
      "Number format of gradients between ranks; bf16 halves what a slow network carries",
      defaults.allReducePrecision))
  var allReducePrecision: Precision?

  @Flag(
    help:
      "The same bits for any number of ranks and threads: gradients of fixed pieces of the batch, added in fixed point."
  )
  var deterministic = false

  @Option(
    parsing: .unconditional,
    help: "Examples of such a piece. (default: half a batch, or a quarter …, 128 at most)")
  var microBatchSize: Int?

  @Option(
    parsing: .unconditional,
    help: "Bytes of gradient that leave together when overlapped. (default: measured at the start)")
  var bucketBytes: Int?
}
