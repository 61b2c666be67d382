internal import Checkpointing
internal import Collectives
public import DataLoading
internal import Layers
public import TensorKernels
public import VAEObjective

/// A checkpoint's model with its parameters, ready to be asked on all ranks.
public final class LoadedModel {
  /// The checkpoint.
  public let saved: SavedModel
  /// The model.
  public let replica: CPUReplica
  /// What computes.
  public let team: WorkerTeam
  /// The ranks.
  public let agreement: Agreement

  /// Makes the model and reads its parameters.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - saved: The checkpoint, the same on every rank.
  ///   - threadCount: Threads of this rank.
  ///   - examplesPerThread: The most examples that a thread computes at a time, a group's at least.
  ///   - agreement: The ranks.
  /// - Throws: ``SharedFailure`` for what all ranks know of, a `CollectiveError` for what one rank met.
  public init(
    _ saved: SavedModel, threadCount: Int, examplesPerThread: Int = 0, agreement: Agreement
  ) throws {
    self.saved = saved
    self.agreement = agreement
    var configuration = saved.configuration
    // Scores are computed in single precision, on any processor.
    configuration.precision = .f32
    let capacity = max(Evaluator.groupSize, examplesPerThread)
    (team, replica) = try agreement.onEveryRank {
      let model = try configuration.model(inputs: saved.inputs)
      try MemoryEstimate.require(
        MemoryEstimate.byteCount(model, examplesPerThread: capacity, threadCount: threadCount),
        nodeSize: agreement.communicator.nodeSize)
      let team = try WorkerTeam(count: threadCount)
      let replica = CPUReplica(
        model, capacity: capacity * threadCount, groupCapacity: Evaluator.groupSize, team: team)
      try saved.read(into: replica)
      return (team, replica)
    }
  }

  /// Layer after layer, as text, and how many numbers were trained.
  public var network: (text: String, parameterCount: Int) {
    get throws {
      let configuration = try saved.configuration.model(inputs: saved.inputs)
      return (configuration.networkText, replica.layout.parameterCount)
    }
  }

  /// The extents of an example, where it is an image; nil where that is not known.
  public var imageExtents: Extents? {
    let text =
      saved.configuration.image ?? saved.file.metadata[SavedModel.exampleShapeKey]
    return text.flatMap { Extents($0) }.flatMap { $0.isVector ? nil : $0 }
  }

  /// Where pixels are black and white: of data in [0, 1] known, of others nil.
  public var shades: ClosedRange<Float>? {
    let configuration = saved.configuration
    switch configuration.valueNeed.need {
    case .unitInterval, .bytes: return 0...1
    case .anything: return (configuration.scale ?? 1) > 1 ? 0...1 : nil
    case .counts: return nil
    case .classes(let count): return 0...Float(max(count - 1, 1))
    }
  }
}

/// Which examples a checkpoint is asked about.
public struct ExampleRequest: Sendable, Equatable {
  /// What to read; nil for the data of the run.
  public var data: String?
  /// A file of their labels; nil for those beside the data.
  public var labels: String?
  /// What values are divided by; nil for what the run's were.
  public var scale: Double?
  /// Which part of the data.
  ///
  /// Other data that have no test examples of their own are taken whole.
  public var split: Split

  /// Of the run's own data, or of others.
  public init(
    data: String? = nil, labels: String? = nil, scale: Double? = nil, split: Split = .test
  ) {
    self.data = data
    self.labels = labels
    self.scale = scale
    self.split = split
  }

  /// Opens and checks them.
  ///
  /// Collective.
  ///
  /// - Throws: ``SharedFailure`` if they are missing, damaged, or not what the model was made for.
  public func open(for saved: SavedModel, _ agreement: Agreement) throws -> RequestedExamples {
    var configuration = saved.configuration
    if let data {
      configuration.data = data
      configuration.testData = nil
      configuration.labels = labels
      configuration.testLabels = labels
    }
    if let scale { configuration.scale = scale }
    // What suits a run need not suit other data, and what a model does not read is a mistake.
    try agreement.onEveryRank { try configuration.validate(worldSize: 1) }
    let prepared = try PreparedData(
      configuration, agreement: agreement, holdsOut: data == nil,
      labelsOnlyOf: data == nil ? nil : split,
      known: data == nil && saved.names.isEmpty ? nil : saved.names)
    let examples = prepared.examples(prepared.hasSplit ? split : .test)
    try agreement.onEveryRank {
      if examples.width != saved.inputs {
        throw DataError.otherWidth(
          path: configuration.data, width: examples.width, expected: saved.inputs)
      }
      if data == nil && prepared.digest != saved.dataDigest {
        throw TrainingError.otherData(
          path: saved.file.path, run: saved.dataDigest, given: prepared.digest)
      }
    }
    return RequestedExamples(
      examples: examples, configuration: configuration,
      splitName: prepared.hasSplit ? split.rawValue : "all")
  }
}

/// Examples that a checkpoint is asked about.
public struct RequestedExamples: Sendable {
  /// The examples.
  public let examples: Examples
  /// The run's settings, with the data that were asked for.
  public let configuration: TrainingConfiguration
  /// `train` or `test`; `all` where other data are taken whole.
  public let splitName: String

  /// The test examples of a run's own data, which are open already.
  public init(testOf data: PreparedData, _ configuration: TrainingConfiguration) {
    self.init(examples: data.test, configuration: configuration, splitName: Split.test.rawValue)
  }

  init(examples: Examples, configuration: TrainingConfiguration, splitName: String) {
    self.examples = examples
    self.configuration = configuration
    self.splitName = splitName
  }
}
