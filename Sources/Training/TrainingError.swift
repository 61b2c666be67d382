/// What can stop a run besides data, files and libraries.
///
/// Cases hold facts; all words are in ``description``.
public enum TrainingError: Error, Equatable, CustomStringConvertible {
  /// A setting outside its range.
  case invalidSetting(name: String, value: String, expected: String)
  /// Layers that do not fit each other or the data.
  case unfitNetwork(String)
  /// A description of columns that cannot be read.
  case unfitColumns(String)
  /// A description of more or fewer columns than there are.
  case otherColumnCount(described: Int, inputs: Int)
  /// Parameters of another network than the model's, and a file of the settings that they had.
  case otherNetwork(String, settings: String?)
  /// A model or batch that this machine's memory cannot hold.
  case tooLarge(gigabytes: Double, available: Double)
  /// Ranks that cannot share memory.
  case sharedMemoryUnavailable(nodeSize: Int, worldSize: Int)
  /// A processor without bfloat16 instructions.
  case noBFloat16(processor: String)
  /// Fewer examples in a global batch than ranks.
  case batchSmallerThanRanks(globalBatchSize: Int, worldSize: Int)
  /// Ranks that were started differently.
  case ranksDisagree(what: String, rank: Int, value: String, otherRank: Int, otherValue: String)
  /// Replicas whose parameters differ: when, where, and whose.
  case replicasDiffer(String)
  /// A figure that is no longer a number.
  case notFinite(step: Int, rank: Int?, what: String, place: String? = nil)
  /// A score that is no number.
  case scoreNotFinite(what: String, rank: Int?, place: String?)
  /// A folder that already holds a run.
  case runExists(path: String)
  /// A folder in which another process is at work.
  case runInUse(path: String)
  /// A flag that would change what a run has begun with.
  case resumeConflict(path: String, name: String, run: String, given: String)
  /// Data that are not those of the run.
  case otherData(path: String, run: String, given: String)

  // One digit behind the point is enough for a size.
  private static func short(_ value: Double) -> String {
    value < 1e6 ? String((value * 10).rounded() / 10) : "more than a million"
  }

  /// One sentence: what, with the value; what would be right; what to do.
  public var description: String {
    switch self {
    case .unfitNetwork(let sentence), .unfitColumns(let sentence):
      sentence
    case .otherColumnCount(let described, let inputs):
      "--columns describes \(described) columns, but an example has \(inputs) values; each needs its"
        + " kind, for example '\(inputs) gaussian'"
    case .otherNetwork(let sentence, let settings):
      sentence + "; the network must be that of --initialize-from"
        + (settings.map { ", whose settings --config \(shellQuoted($0)) gives" } ?? "")
    case .invalidSetting(let name, let value, let expected):
      "--\(name) is \(value); it must be \(expected)"
    case .tooLarge(let gigabytes, let available):
      "A rank needs about \(Self.short(gigabytes)) GB of memory and can have"
        + " \(Self.short(available)); use a smaller network, --draws, --global-batch-size or"
        + " --threads, or fewer ranks on a node"
    case .sharedMemoryUnavailable(let nodeSize, let worldSize):
      "--all-reduce is shared-memory, but "
        + (nodeSize < worldSize
          ? "only \(nodeSize) of \(worldSize) ranks are on one node"
          : "the system does not let ranks share memory")
        + "; leave the flag out"
    case .noBFloat16(let processor):
      "--precision is bf16, and this processor (\(processor)) has no bfloat16 instructions"
        + " (AVX512_BF16 or AMX); it would only imitate them, slowly; use f32"
    case .batchSmallerThanRanks(let globalBatchSize, let worldSize):
      "--global-batch-size is \(globalBatchSize), which \(worldSize) ranks cannot share;"
        + " use at least \(worldSize)"
    case .ranksDisagree(let what, let rank, let value, let otherRank, let otherValue):
      "Ranks disagree before step 1: rank \(rank) has \(what) \(value), rank \(otherRank) has"
        + " \(otherValue); start all ranks with the same program, command and data"
    case .replicasDiffer(let summary):
      summary
        + "; this is a defect of a machine or of the program, and the newest checkpoint is sound: go on"
        + " from it with --resume"
    case .notFinite(let step, let rank, let what, let place):
      "The \(what) is not finite at step \(step)"
        + (rank.map { ", first on rank \($0)" } ?? "")
        + (place.flatMap { $0.isEmpty ? nil : ", \($0)" } ?? "")
        + "; a smaller --learning-rate or --clip-gradient-norm may help"
    case .scoreNotFinite(let what, let rank, let place):
      "The \(what) is not finite"
        + (rank.map { ", first on rank \($0)" } ?? "")
        + (place.map { ", \($0)" } ?? "")
        + "; such values are beyond what the model has learned to score"
    case .runExists(let path):
      "'\(path)' already holds a run; add --resume to go on with it, or name another folder"
    case .runInUse(let path):
      "Another process is training in '\(path)'; wait for it, or name another folder"
    case .resumeConflict(let path, let name, let run, let given):
      "The run in '\(path)' has --\(name) \(run), not \(given); leave the flag out, or start"
        + " another run"
    case .otherData(let path, let run, let given):
      "'\(path)' was trained on other data: their SHA-256 is \(run.prefix(12))…, that"
        + " of the data given is \(given.prefix(12))…; a model is asked about other data with --data"
    }
  }
}
