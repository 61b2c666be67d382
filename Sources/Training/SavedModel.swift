public import Checkpointing
public import DataLoading
internal import Layers
internal import TensorKernels
public import VAEObjective

/// A checkpoint of ours, opened and verified: configuration and progress, tensors when asked for.
public struct SavedModel {
  /// The file.
  public let file: SafetensorsFile
  /// The run's settings when it was written.
  public let configuration: TrainingConfiguration
  /// Where the run was.
  public let progress: TrainingProgress
  /// Dimensions of an example.
  public let inputs: Int
  /// SHA-256 of the data that the run was trained on.
  public let dataDigest: String
  /// What those data call values and classes.
  public let names: DataNames

  /// The program's version, written into every checkpoint.
  public static let version = "0.1.0"

  /// Opens a checkpoint, the newest whole one of a run folder or of a folder of checkpoints.
  ///
  /// - Parameters:
  ///   - path: A file or a folder.
  ///   - limit: A step that the checkpoint of a folder must be before; nil for any.
  ///   - onSkip: Told of each newer one that is damaged.
  /// - Throws: `CheckpointError` if there is none that can be used.
  public init(
    path: String, before limit: Int? = nil,
    onSkip: (CheckpointFolder.Skipped) -> Void = { _ in }
  ) throws(CheckpointError) {
    if !DurableFile.isFolder(path) {
      let file = try SafetensorsFile(path: path)
      try file.verify()
      try self.init(file)
      return
    }
    let inside = "\(path)/\(RunFolder.checkpointsName)"
    let folder = CheckpointFolder(path: DurableFile.isFolder(inside) ? inside : path)
    self = try folder.newestWhole(before: limit, onSkip: onSkip) { file throws(CheckpointError) in
      let saved = try SavedModel(file)
      if !file.path.hasSuffix("/\(CheckpointFolder.fileName(step: saved.progress.step))") {
        throw .misnamed(path: file.path, step: saved.progress.step)
      }
      return saved
    }
  }

  /// Reads the metadata of a verified file.
  ///
  /// - Throws: `CheckpointError.wrongMetadata` if an entry is missing or unusable.
  init(_ file: SafetensorsFile) throws(CheckpointError) {
    self.file = file
    let text: String = try file.value("configuration")
    guard let configuration = TrainingConfiguration(json: text) else {
      throw .wrongMetadata(path: file.path, key: "configuration", value: text)
    }
    self.configuration = configuration
    progress = try TrainingProgress(file)
    inputs = try file.value("inputs")
    dataDigest = try file.value("data_digest")
    names = try Self.names(in: file)
    do throws(TrainingError) { try configuration.validate(worldSize: 1) } catch {
      throw .wrongMetadata(path: file.path, key: "configuration", value: "\(error)")
    }
    if inputs < 1 || inputs > 1 << 31 {
      throw .wrongMetadata(path: file.path, key: "inputs", value: String(inputs))
    }
    do throws(TrainingError) { _ = try configuration.model(inputs: inputs) } catch {
      throw .wrongMetadata(path: file.path, key: "configuration", value: "\(error)")
    }
  }

  /// What the data that a file's parameters were trained on call values and classes.
  ///
  /// - Throws: `CheckpointError.wrongMetadata`.
  public static func names(in file: SafetensorsFile) throws(CheckpointError) -> DataNames {
    let text = file.metadata[namesKey]
    do throws(NamesError) { return try DataNames(text) } catch {
      throw .wrongMetadata(path: file.path, key: namesKey, value: text ?? "")
    }
  }

  /// Reads the parameters into a replica of the same configuration.
  ///
  /// - Throws: `CheckpointError` if a tensor is missing or of another shape.
  public func read(into replica: any Replica) throws(CheckpointError) {
    try read(replica.layout, prefix: "", into: replica.parameters)
  }

  /// The trained tensors: names, extents and numbers as the file has them.
  ///
  /// - Throws: `CheckpointError` if one is missing or of another shape.
  public func parameters() throws -> [(name: String, shape: [Int], values: [Float])] {
    let layout = CPUReplica.layout(of: try configuration.model(inputs: inputs))
    return try layout.tensors.map {
      ($0.name, $0.shape, try file.floats(named: $0.name, shape: $0.shape))
    }
  }

  /// Writes the trained tensors alone, without what only a resumed run needs.
  ///
  /// - Throws: `CheckpointError`.
  public func writeParameters(to path: String) throws {
    let kept = [
      "format", "vae_dist_version", "configuration", "inputs", "data_digest", "step", Self.namesKey,
    ]
    try SafetensorsFile.write(
      try parameters().map { tensor in
        TensorSource(name: tensor.name, shape: tensor.shape) { tensor.values }
      }, metadata: file.metadata.filter { kept.contains($0.key) }, to: path)
  }

  func read(into optimizer: Optimizer, layout: ParameterLayout) throws(CheckpointError) {
    for (name, buffer) in optimizer.state {
      try read(layout, prefix: "\(name).", into: buffer)
    }
  }

  private func read(
    _ layout: ParameterLayout, prefix: String, into buffer: FloatBuffer
  ) throws(CheckpointError) {
    for tensor in layout.tensors {
      tensor.write(
        try file.floats(named: prefix + tensor.name, shape: tensor.shape), into: buffer)
    }
  }

  /// The extents of an example of the training data, `28x28x1`, where it has more than one axis.
  static let exampleShapeKey = "example_shape"

  /// The names of values and classes as JSON, where the data have some.
  public static let namesKey = "names"

  /// All metadata of a checkpoint.
  ///
  /// No time and no machine: equal runs give equal bytes.
  static func metadata(
    _ configuration: TrainingConfiguration, _ progress: TrainingProgress, data: PreparedData
  ) -> [String: String] {
    var own = [
      "format": "pt",
      "vae_dist_version": version,
      "configuration": configuration.withoutMachine.json,
      "seed": String(configuration.seed),
      "inputs": String(data.train.width),
      "data_digest": data.digest,
    ]
    if let extents = data.imageExtents { own[exampleShapeKey] = "\(extents)" }
    own[namesKey] = data.names.json
    return progress.metadata.merging(own) { _, new in new }
  }
}
