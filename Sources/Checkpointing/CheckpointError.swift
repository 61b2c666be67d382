/// What can be wrong with a checkpoint, or with the place where one is to be written.
///
/// Cases hold facts; all words are in ``description``.
public enum CheckpointError: Error, Equatable, CustomStringConvertible {
  /// Nothing exists there.
  case missing(path: String)
  /// The system refused to open or read.
  case unreadable(path: String, reason: String)
  /// The system refused to write; nothing half-written is left.
  case unwritable(path: String, reason: String)
  /// Not a safetensors file, or a damaged one.
  case malformed(path: String, reason: String)
  /// The contents are not those that were written.
  case digestMismatch(path: String)
  /// A tensor that the reader needs is not there.
  case missingTensor(path: String, name: String)
  /// A tensor that the model does not have.
  case otherTensor(path: String, name: String)
  /// A tensor of another shape than the model's.
  case wrongShape(path: String, name: String, actual: [Int], expected: [Int])
  /// A tensor of another number format.
  case wrongType(path: String, name: String, type: String)
  /// A metadata entry that is missing or unreadable: the file is not a checkpoint of ours.
  case wrongMetadata(path: String, key: String, value: String?)
  /// A checkpoint of another step than its name says.
  case misnamed(path: String, step: Int)
  /// A folder with no checkpoint in it that can be used.
  case noneUsable(folder: String, skipped: Int)

  /// The system's reason where it refused to write; otherwise the sentence.
  var reason: String {
    if case .unwritable(_, let reason) = self { return reason }
    return description
  }

  /// One sentence: what, with the value; what would be right; what to do.
  public var description: String {
    switch self {
    case .missing(let path):
      "'\(path)' does not exist"
    case .unreadable(let path, let reason):
      "'\(path)' cannot be read: \(reason)"
    case .unwritable(let path, let reason):
      "'\(path)' cannot be written: \(reason)"
    case .malformed(let path, let reason):
      "'\(path)' is not a whole safetensors file: \(reason)"
    case .digestMismatch(let path):
      "'\(path)' is damaged: its contents do not have the SHA-256 that was stored with them"
    case .misnamed(let path, let step):
      "'\(path)' is of step \(step), which is not what its name says"
    case .missingTensor(let path, let name):
      "'\(path)' has no tensor '\(name)', which the model needs"
    case .otherTensor(let path, let name):
      "'\(path)' has a tensor '\(name)', which the model does not have"
    case .wrongShape(let path, let name, let actual, let expected):
      "Tensor '\(name)' is \(actual) in '\(path)' and \(expected) in the model"
    case .wrongType(let path, let name, let type):
      "Tensor '\(name)' of '\(path)' has the type \(type); checkpoints hold F32"
    case .wrongMetadata(let path, let key, let value):
      value.map { "'\(path)' has the unusable metadata '\(key)': '\($0)'" }
        ?? "'\(path)' has no metadata '\(key)'; it was not written by vae-dist train"
    case .noneUsable(let folder, let skipped):
      skipped == 0
        ? "'\(folder)' holds no checkpoint"
        : "'\(folder)' holds no usable checkpoint; \(skipped) damaged ones were skipped"
    }
  }
}
