import ArgumentParser
import Training

struct RunOptions: ParsableArguments {
  @Option(help: "The folder for results. (default: runs/<data>-<number>)")
  var run: String?

  @Flag(help: "Go on with the run in the folder; start one if there is none.")
  var resume = false

  @Option(
    help:
      "Time after which training ends with a checkpoint: 3h50m, 90m. SIGTERM, SIGINT and SIGUSR1 do the same. (default: none)"
  )
  var walltime: String?

  @Flag(help: "Print nothing but warnings and errors.")
  var quiet = false

  @Flag(help: "Print checkpoints and what computes, besides.")
  var verbose = false

  @Flag(help: "Write no report.html at the end.")
  var noReport = false

  @Flag(help: "Write TensorBoard's events to the run's folder, as the run goes and at its end.")
  var tensorboard = false

  @Option(help: "A YAML file of the same names; flags win.")
  var config: String?

  @Option(parsing: .unconditional, help: help("Epochs between evaluations", defaults.evaluateEvery))
  var evaluateEvery: Int?

  @Option(
    help: help(
      "When a bound or a parameter is no longer a number: stop, or rollback to the newest checkpoint with half the learning rate",
      defaults.onNaN))
  var onNan: NotFiniteAction?

  @Option(
    parsing: .unconditional,
    help: "Evaluations without a higher test ELBO after which the run ends. (default: never)")
  var patience: Int?

  @Option(
    parsing: .unconditional,
    help: help("Epochs between checkpoints", defaults.checkpointEvery))
  var checkpointEvery: Int?

  @Option(parsing: .unconditional, help: "Steps between checkpoints, besides.")
  var checkpointEverySteps: Int?

  @Option(
    parsing: .unconditional,
    help: help("How many of the newest checkpoints stay", defaults.keep))
  var keep: Int?

  @Option(
    parsing: .unconditional,
    help: help(
      "Steps between comparisons of all ranks' parameters, besides those at checkpoints",
      defaults.compareReplicasEvery))
  var compareReplicasEvery: Int?

  @Option(
    parsing: .unconditional,
    help: help(
      "Seconds without progress after which ranks are given up, with what each was doing; 0 for never",
      defaults.hangTimeout))
  var hangTimeout: Int?
}
