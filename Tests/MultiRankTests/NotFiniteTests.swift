import Checkpointing
import Foundation
import TestSupport
import Testing
import Training

/// Figures that are no longer numbers: all ranks end, or go back, at the same step and say where it was.
@Suite(.serialized) struct NotFiniteTests {
  @Test func aBoundThatIsNoNumberStopsAllRanksAtTheSameStep() throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.ranks(
      3, "vae-dist",
      [
        "train", "--run", "r", "--likelihood", "gaussian", "--optimizer", "sgd", "--learning-rate",
        "1e30",
      ],
      seconds: 30, in: folder.path)
    #expect(outcome.status == 1)
    #expect(FailureTests.sentences(outcome).count == 1)
    #expect(
      FailureTests.sentences(outcome).first?.hasPrefix("Error: The ELBO is not finite at step ")
        == true)
  }

  @Test(arguments: ["shared-memory", "overlapped"])
  func runsGoBackAndOnWithASmallerRate(_ method: String) throws {
    let folder = try TemporaryFolder()
    func train(_ rate: String, _ run: String) throws -> Outcome {
      try Launch.ranks(
        2, "vae-dist",
        [
          "train", "--run", run, "--steps", "60", "--hidden", "30", "--latent", "4",
          "--likelihood", "gaussian", "--optimizer", "sgd", "--learning-rate", rate, "--on-nan",
          "rollback", "--all-reduce", method, "--threads", "1",
        ], seconds: 40, in: folder.path)
    }
    let outcome = try train("1", "r")
    #expect(outcome.status == 0, "\(outcome.errors)")
    let warnings = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("Warning: The ") }
    #expect(!warnings.isEmpty)
    for (number, warning) in warnings.enumerated() {
      #expect(warning.hasSuffix(" with 1/\(2 << number) of the learning rate"), "\(warning)")
    }
    let events = try EquivalenceTests.events(folder.path("r"), "evaluate")
    #expect(events.last?.step == 60 && events.allSatisfy { $0.elbo?.isFinite == true })
    // What comes out the same at any rate is not tried for ever.
    let hopeless = try train("1e30", "h")
    #expect(hopeless.status == 1)
    #expect(hopeless.errors.split(separator: "\n").count { $0.hasPrefix("Warning: The ") } == 4)
    #expect(FailureTests.sentences(hopeless).count == 1)
    #expect(hopeless.errors.contains("; a smaller rate has made no difference 4 times\n"))
  }

  @Test func aCheckpointThatIsNoHelpIsPassedOver() throws {
    // Steps go wrong long before numbers end, so that the newest checkpoints are finite and hopeless. At
    // which step they end is chance, and another one on another CPU: one seed of four is enough.
    let folder = try TemporaryFolder()
    var mostTargets = 0
    for seed in 1...4 {
      let outcome = try Launch.alone(
        "vae-dist",
        [
          "train", "--run", "r\(seed)", "--hidden", "16", "--latent", "4", "--threads", "1",
          "--epochs", "3", "--likelihood", "poisson", "--optimizer", "sgd", "--learning-rate",
          "0.02", "--on-nan", "rollback", "--checkpoint-every-steps", "1", "--keep", "50", "--seed",
          "\(seed)",
        ], in: folder.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let targets = outcome.errors.split(separator: "\n").compactMap { line in
        line.firstMatch(of: /going back to step (\d+) with/).flatMap { Int($0.1) }
      }
      #expect(zip(targets, targets.dropFirst()).allSatisfy { $0 > $1 }, "\(targets)")
      mostTargets = max(mostTargets, targets.count)
    }
    #expect(mostTargets > 1)
  }

  @Test func theLayerAndTheExamplesThatAreNoNumbersAreNamed() throws {
    let folder = try TemporaryFolder()
    var rows = [[Float]](repeating: [0.25, 0.5], count: 60)
    rows[17] = [2e19, 0.5]
    _ = try folder.write(npy(rows), to: "x.npy")
    _ = try folder.write(FailureTests.values, to: "test.npy")
    for (activation, place) in [
      ("relu", "in the outputs of decoder.0"), ("tanh", "in the likelihood or the KL divergence"),
    ] {
      let outcome = try Launch.ranks(
        3, "vae-dist",
        [
          "train", "--run", activation, "--data", "x.npy", "--test-data", "test.npy", "--hidden",
          "4", "--latent", "2", "--global-batch-size", "12", "--likelihood", "gaussian",
          "--activation", activation, "--seed", "3",
        ], seconds: 30, in: folder.path)
      #expect(outcome.status == 1)
      let sentence = try #require(FailureTests.sentences(outcome).first)
      #expect(FailureTests.sentences(outcome).count == 1)
      #expect(sentence.contains("\(place), for example 17; a smaller"), "\(sentence)")
      #expect(sentence.contains(", first on rank "))
    }
  }

  @Test func theTestExampleThatIsNoNumberIsNamed() throws {
    let folder = try TemporaryFolder()
    var rows = [[Float]](repeating: [0.25, 0.5], count: 250)
    rows[117] = [2e19, 0.5]
    _ = try folder.write(npy(rows), to: "test.npy")
    _ = try folder.write(FailureTests.values, to: "x.npy")
    let outcome = try Launch.ranks(
      3, "vae-dist",
      [
        "train", "--run", "r", "--data", "x.npy", "--test-data", "test.npy", "--hidden", "4",
        "--latent", "2", "--likelihood", "gaussian", "--activation", "relu", "--seed", "3",
      ], seconds: 30, in: folder.path)
    #expect(outcome.status == 1)
    let sentence = try #require(FailureTests.sentences(outcome).first)
    #expect(
      sentence.hasPrefix("Error: The test ELBO is not finite at step ")
        && sentence.contains(", first on rank 1, in the ")
        && sentence.contains(", for example 117;"),
      "\(sentence)")
    let last = try #require(try EquivalenceTests.events(folder.path("r"), "failure").last)
    #expect("Error: \(last.message ?? "")" == sentence)
    let inspected = try Launch.alone("vae-dist", ["inspect", "r"], in: folder.path)
    #expect(inspected.output.contains("could not go on after step "), "\(inspected.output)")
  }

  /// A model whose parameters are 0 except these, after one step of training on `x.npy`.
  static func poissonRun(
    in folder: TemporaryFolder, _ values: [String: Float], flags: [String]
  ) throws {
    let outcome = try Launch.alone(
      "vae-dist",
      [
        "train", "--run", "r", "--data", "x.npy", "--test-data", "test.npy", "--hidden", "1",
        "--latent", "1", "--activation", "relu", "--global-batch-size", "12", "--likelihood",
        "poisson", "--steps", "1", "--seed", "3",
      ] + flags, in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let path = RunFolder(path: folder.path("r")).checkpoints.path(step: 1)
    let file = try SafetensorsFile(path: path)
    var metadata = file.metadata
    metadata[SafetensorsFile.digestKey] = nil
    try SafetensorsFile.write(
      file.entries.map { entry in
        TensorSource(name: entry.name, shape: entry.shape) {
          [Float](repeating: values[entry.name] ?? 0, count: entry.shape.reduce(1, *))
        }
      }, metadata: metadata, to: path)
  }

  @Test(arguments: [
    ["--optimizer", "sgd"], ["--optimizer", "adam"], ["--optimizer", "adagrad"],
    ["--optimizer", "sgd", "--clip-gradient-norm", "1"],
    ["--optimizer", "sgd", "--deterministic", "--micro-batch-size", "4"],
  ]) func theExampleWhoseGradientIsLostIsNamed(_ flags: [String]) throws {
    // log rate = 54.7 log(1 + x₁) = 88 for one example: its rate, 1.8e38, and so its bound are numbers still, but not
    // the rate times the 88 that the last layer reads.
    let folder = try TemporaryFolder()
    var rows = [[Float]](repeating: [1], count: 60)
    rows[41] = [4]
    _ = try folder.write(npy(rows), to: "x.npy")
    _ = try folder.write(npy([[1], [0]]), to: "test.npy")
    try Self.poissonRun(
      in: folder,
      [
        "encoder.0.weight": 1, "encoder.mean.weight": 54.7, "encoder.log_variance.bias": -60,
        "decoder.0.weight": 1, "decoder.log_rate.weight": 1,
      ], flags: flags)
    let outcome = try Launch.ranks(
      3, "vae-dist",
      ["train", "--run", "r", "--resume", "--epochs", "1", "--learning-rate", "1e-30"],
      seconds: 30, in: folder.path)
    #expect(outcome.status == 1, "\(outcome.output) \(outcome.errors)")
    let sentence = try #require(FailureTests.sentences(outcome).first)
    #expect(
      sentence.contains("The gradient ") && sentence.contains(" is not finite at step ")
        && sentence.contains(", first on rank ")
        && sentence.contains(", in that of decoder.log_rate.weight, for example 41;"),
      "\(sentence)")
  }
}
