import Checkpointing
import Collectives
import DataLoading
import Foundation
import TestSupport
import Testing
import Training

/// Whole runs in this process, on the group of one.
@Suite struct TrainerTests {
  static let ranks = Agreement(SoloCommunicator()) { _ in 99 }

  /// Small and mid-epoch-able: 12 steps an epoch on 120 examples, the last batch short.
  static func configuration(_ data: String) -> TrainingConfiguration {
    var configuration = TrainingConfiguration()
    configuration.data = data
    configuration.hidden = [9]
    configuration.latent = 3
    configuration.globalBatchSize = 9
    configuration.epochs = 3
    configuration.threads = 1
    configuration.keep = 100
    return configuration
  }

  static func data(_ folder: TemporaryFolder) throws -> String {
    var random = TestRandom(seed: 6)
    let rows = (0..<120).map { _ in random.uniform(12, in: 0...1).map { Float($0) } }
    return try folder.write(npy(rows), to: "data.npy")
  }

  @discardableResult
  static func train(
    _ configuration: TrainingConfiguration, _ path: String, resume: Bool = false
  ) throws -> Trainer {
    let folder = RunFolder(path: path)
    let saved = resume ? try SavedModel(path: path) : nil
    let trainer = try Trainer(
      configuration, data: try PreparedData(configuration, agreement: ranks),
      threadCount: configuration.threads ?? 1, folder: folder, agreement: ranks, observer: nil)
    try trainer.run(isResuming: resume, from: saved, configurationText: "# test\n")
    return trainer
  }

  static func events(_ run: String) throws -> [MetricsEvent] {
    try contents("\(run)/metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode(MetricsEvent.self, from: Data($0))
    }
  }

  static func final(_ run: String) throws -> [UInt8] { try contents("\(run)/checkpoints/latest") }

  @Test(arguments: OptimizerKind.allCases) func trainingRaisesTheELBO(
    _ optimizer: OptimizerKind
  ) throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.optimizer = optimizer
    configuration.learningRate = optimizer.usualLearningRate
    configuration.learningRateSchedule = .cosine
    configuration.warmupSteps = 3
    configuration.momentum = configuration.optimizer == .sgd ? 0.5 : 0
    configuration.weightDecay = 1e-4
    configuration.clipGradientNorm = 1
    configuration.epochs = 5
    try Self.train(configuration, folder.path("run"))
    let tests = try Self.events(folder.path("run")).filter { $0.event == "evaluate" }
      .compactMap(\.elbo)
    #expect(tests.count == 5)
    #expect(try #require(tests.last) > #require(tests.first))
  }

  @Test func runsThatLosePatienceEndWithTheBestKept() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    // A rate at which the test ELBO soon goes up and down.
    configuration.learningRate = 0.05
    configuration.epochs = 200
    configuration.keep = 1
    configuration.patience = 3
    let run = folder.path("run")
    try Self.train(configuration, run)
    let events = try Self.events(run)
    let tests = events.filter { $0.event == "evaluate" }
    let best = try #require(tests.indices.max { (tests[$0].elbo ?? 0) < (tests[$1].elbo ?? 0) })
    #expect(tests.count == best + 4 && tests.count < 200)
    #expect(events.last?.event == "end" && events.last?.step == tests.last?.step)
    let checkpoints = RunFolder(path: run).checkpoints
    #expect(checkpoints.steps == [tests[best].step, tests[tests.count - 1].step])
    // Asked again it has nothing to do; with more patience it goes on.
    try Self.train(configuration, run, resume: true)
    #expect(try Self.events(run).count == events.count)
    configuration.patience = 4
    try Self.train(configuration, run, resume: true)
    #expect(try Self.events(run).filter { $0.event == "evaluate" }.count > tests.count)
  }

  /// Breaks that fall within an epoch, at its end, and after a checkpoint's step.
  @Test(arguments: OptimizerKind.allCases, [5, 12, 17]) func interruptedRunsEndWithTheSameBytes(
    _ optimizer: OptimizerKind, steps: Int
  ) throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.optimizer = optimizer
    configuration.momentum = configuration.optimizer == .sgd ? 0.9 : 0
    configuration.binarize = .dynamic
    configuration.checkpointEverySteps = steps
    try Self.train(configuration, folder.path("whole"))
    // What a run that was killed after its first checkpoint leaves: that checkpoint and later lines.
    try FileManager.default.copyItem(
      atPath: folder.path("whole"), toPath: folder.path("broken"))
    let checkpoints = RunFolder(path: folder.path("broken")).checkpoints
    for step in checkpoints.steps where step > steps {
      try FileManager.default.removeItem(atPath: checkpoints.path(step: step))
    }
    #expect(checkpoints.steps.last == steps)
    try Self.train(configuration, folder.path("broken"), resume: true)
    #expect(try Self.final(folder.path("whole")) == Self.final(folder.path("broken")))
    // And the figures are the same, each once; a checkpoint's line waits for its disk. Only starts
    // tell how often it was broken.
    func figures(_ run: String) throws -> [String] {
      try Self.events(run).filter { $0.event != "start" }
        .map { "\($0.event) \($0.step) \($0.epoch) \($0.elbo ?? 0)" }.sorted()
    }
    #expect(try figures(folder.path("whole")) == figures(folder.path("broken")))
  }

  @Test func moreEpochsExtendARun() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    try Self.train(configuration, folder.path("a"))
    configuration.epochs = 5
    try Self.train(configuration, folder.path("a"), resume: true)
    try Self.train(configuration, folder.path("b"))
    func parameters(_ run: String) throws -> [Float] {
      try SavedModel(path: run).file.floats(named: "encoder.0.weight", shape: [9, 12])
    }
    #expect(try parameters(folder.path("a")) == parameters(folder.path("b")))
  }

  @Test func stepsStopWithinAnEpoch() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.steps = 17
    let trainer = try Self.train(configuration, folder.path("run"))
    #expect(trainer.progress.step == 17)
    #expect(trainer.progress.epoch == 1)
    #expect(trainer.progress.stepInEpoch == 5)
    let events = try Self.events(folder.path("run"))
    #expect(events.last?.event == "end")
    #expect(events.filter { $0.event == "evaluate" }.map(\.step) == [12, 17])
  }

  @Test func everyExampleOfAnEpochCountsOnce() throws {
    let folder = try TemporaryFolder()
    let configuration = Self.configuration(try Self.data(folder))
    try Self.train(configuration, folder.path("run"))
    let events = try Self.events(folder.path("run"))
    let train = events.filter { $0.event == "train" }
    #expect(train.map(\.examplesSeen) == [108, 216, 324])  // 120 less a tenth held out
    #expect(train.map(\.epoch) == [1, 2, 3])
    for event in train {
      let elbo = try #require(event.elbo)
      let parts = try #require(event.reconstructionLogLikelihood) - #require(event.klDivergence)
      #expect(abs(elbo - parts) < 1e-12)
      #expect(try #require(event.klDivergence) >= 0)
    }
  }

  @Test func resumeRefusesWhatWouldChangeTheRun() throws {
    let folder = try TemporaryFolder()
    let configuration = Self.configuration(try Self.data(folder))
    try Self.train(configuration, folder.path("run"))
    func message(_ change: (inout TrainingConfiguration) throws -> Void) throws -> String {
      var other = configuration
      other.epochs = 4
      try change(&other)
      do {
        try Self.train(other, folder.path("run"), resume: true)
        return "accepted"
      } catch let failure as SharedFailure {
        return failure.message
      }
    }
    #expect(
      try message { $0.latent = 4 }.contains("has --latent 3, not 4; leave the flag out"))
    #expect(try message { $0.hidden = [8] }.contains("has --hidden 9, not 8"))
    #expect(try message { $0.seed = 5 }.contains("has --seed 0, not 5"))
    #expect(try message { $0.globalBatchSize = 10 }.contains("has --global-batch-size 9, not 10"))
    #expect(try message { $0.optimizer = .sgd }.contains("has --optimizer adam, not sgd"))
    #expect(try message { $0.binarize = .static }.contains("has --binarize none, not static"))
    let other = try TemporaryFolder()
    #expect(
      try message {
        $0.data = try other.write(
          npy([[Float]](repeating: [Float](repeating: 0.5, count: 12), count: 120)), to: "o.npy")
      }
      .contains("was trained on other data"))
    #expect(try message { $0.learningRate = 0.0005 } == "accepted")
  }

  @Test func aBoundThatIsNoNumberStopsTheRun() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.likelihood = .gaussian
    configuration.optimizer = .sgd
    configuration.learningRate = 1e30
    do {
      try Self.train(configuration, folder.path("run"))
      Issue.record("accepted")
    } catch let failure as SharedFailure {
      #expect(failure.message.hasPrefix("The ELBO is not finite at step "))
    }
    // What was written before is whole.
    _ = try Self.events(folder.path("run"))
  }

  @Test func stepCheckpointsFallOnEpochEndsToo() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.checkpointEverySteps = 12
    configuration.checkpointEvery = 100
    configuration.evaluateEvery = 100
    try Self.train(configuration, folder.path("run"))
    #expect(RunFolder(path: folder.path("run")).checkpoints.steps == [12, 24, 36])
  }

  @Test func aFolderIsHeldByOneProcess() throws {
    let folder = try TemporaryFolder()
    let configuration = Self.configuration(try Self.data(folder))
    let run = RunFolder(path: folder.path("run"))
    let claim = try run.create(configuration: "", isNew: true)
    _ = withExtendedLifetime(claim) {
      #expect(throws: SharedFailure.self) { try Self.train(configuration, folder.path("run")) }
    }
    #expect(try RunFolder.makeNextFree(folder.path("a/digits")).path == folder.path("a/digits-1"))
    #expect(try RunFolder.makeNextFree(folder.path("a/digits")).path == folder.path("a/digits-2"))
  }

  @Test func sizesBeyondTheMemoryAreRefused() throws {
    let folder = try TemporaryFolder()
    var configuration = Self.configuration(try Self.data(folder))
    configuration.hidden = [16_000_000, 16_000_000]
    let data = try PreparedData(configuration, agreement: Self.ranks)
    #expect(throws: TrainingError.self) {
      try Trainer.requireDataAndMemory(configuration, data: data, worldSize: 1, threadCount: 1)
    }
    configuration.hidden = [9]
    try Trainer.requireDataAndMemory(configuration, data: data, worldSize: 1, threadCount: 1)
  }

  static let badData: [(String, [[Float]], String)] = [
    (
      "nothing but NaN", [[.nan, .nan], [.nan, .nan], [.nan, .nan]],
      "first at value 0 of example 0"
    ),
    (
      "NaN", [[0, 0.5], [.nan, 1], [0, 0]],
      "holds NaN, infinity or a number beyond 32-bit floating point, first at value 0 of example 1"
    ),
    (
      "above", [[0, 0.5], [3, 1], [0, 0]],
      "has values from 0 to 3, but --likelihood bernoulli needs values in [0, 1]; use --scale 3"
    ),
    (
      "below", [[0, -0.5], [1, 1], [0, 0]],
      "has values from -0.5 to 1, but --likelihood bernoulli needs values in [0, 1]; use --likelihood gaussian"
    ),
  ]

  static let unsuitable: [(LikelihoodKind, Double?, [[Float]], String)] = [
    (
      .bernoulli, nil, [[0, 255], [7, 1], [0, 0]],
      "has values from 0 to 255, but --likelihood bernoulli needs values in [0, 1]; use --scale 255, or --likelihood discretized-logistic with --scale 255"
    ),
    (
      .poisson, nil, [[0, 2.5], [7, 1], [0, 0]],
      "has fractional values from 0 to 7, but --likelihood poisson needs counts: whole numbers from 0 on, and --scale 1; use --likelihood gaussian"
    ),
    (
      .negativeBinomial, 2, [[0, 2], [8, 1], [0, 0]],
      "has values from 0 to 4 after division by 2, but --likelihood negative-binomial needs counts: whole numbers from 0 on, and --scale 1; use --scale 1"
    ),
    (
      .discretizedLogistic, 1, [[0, 2], [8, 1], [0, 0]],
      "has values from 0 to 8, but --likelihood discretized-logistic needs whole numbers from 0 to 255 and --scale 255; use --scale 255"
    ),
    (
      .categorical, nil, [[0, 2], [3, 1], [0, 0]],
      "has values from 0 to 3, but --likelihood categorical needs class numbers from 0 to 2 and --scale 1; use --categories 4"
    ),
  ]

  @Test(arguments: unsuitable) func dataMustSuitTheLikelihood(
    _ likelihood: LikelihoodKind, scale: Double?, rows: [[Float]], sentence: String
  ) throws {
    let folder = try TemporaryFolder()
    var configuration = TrainingConfiguration()
    configuration.data = try folder.write(npy(rows), to: "x.npy")
    configuration.testFraction = 0.34
    configuration.likelihood = likelihood
    configuration.scale = scale
    configuration.categories = likelihood == .categorical ? 3 : nil
    do {
      _ = try PreparedData(configuration, agreement: Self.ranks)
      Issue.record("\(likelihood) accepted \(rows)")
    } catch let failure as SharedFailure {
      #expect(
        failure.message
          == "'\(configuration.data)' \(sentence); vae-dist inspect says what fits such data")
    }
  }

  /// Every likelihood learns from the digits, which are counts, classes, and shades of grey.
  @Test(arguments: LikelihoodKind.allCases, ObservationScale.allCases)
  func everyLikelihoodLearns(_ likelihood: LikelihoodKind, _ scale: ObservationScale) throws {
    let hasScale = [.gaussian, .laplace, .discretizedLogistic].contains(likelihood)
    if (!hasScale && scale != .decoder) || likelihood == .table { return }
    let folder = try TemporaryFolder()
    var configuration = Self.configuration("digits")
    configuration.hidden = [20]
    configuration.epochs = 3
    configuration.likelihood = likelihood
    configuration.observationScale = scale
    configuration.observationScaleValue = 0.3
    configuration.categories = likelihood == .categorical ? 17 : nil
    configuration.librarySize =
      likelihood == .zeroInflatedNegativeBinomial ? .observed : .none
    try Self.train(configuration, folder.path("run"))
    let tests = try Self.events(folder.path("run")).filter { $0.event == "evaluate" }
      .compactMap(\.elbo)
    #expect(try #require(tests.last) > #require(tests.first) + 0.5, "\(tests)")
  }

  @Test(arguments: badData) func dataThatDoNotFitAreRefused(
    _ what: String, rows: [[Float]], sentence: String
  ) throws {
    let folder = try TemporaryFolder()
    var configuration = TrainingConfiguration()
    configuration.data = try folder.write(npy(rows), to: "x.npy")
    configuration.testFraction = 0.34
    do {
      _ = try PreparedData(configuration, agreement: Self.ranks)
      Issue.record("\(what) was accepted")
    } catch let failure as SharedFailure {
      #expect(
        failure.message == "'\(configuration.data)' \(sentence)"
          || failure.message.contains(sentence))
    }
  }
}
