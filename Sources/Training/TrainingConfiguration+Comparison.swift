#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension TrainingConfiguration {
  /// Every setting as `(name, value)` in the order of the command line; `default` where none is set.
  public var settings: [(name: String, value: String)] {
    let values = values
    return CodingKeys.allCases.map { ($0.rawValue, values[$0.rawValue]?.text ?? "default") }
  }

  /// Every setting that is not left to its default, as `--name=value`.
  public var flags: [String] {
    settings.filter { $0.value != "default" }.compactMap { name, value in
      // A flag is there or is not.
      name == CodingKeys.deterministic.rawValue
        ? (value == "true" ? "--\(name)" : nil) : "--\(name)=\(value)"
    }
  }

  /// What a run that goes on takes from the run before: all but what depends on the machine.
  public var flagsToGoOn: [String] { withoutMachine.flags }

  /// Without what depends on the machine, so that equal runs have equal checkpoints.
  var withoutMachine: TrainingConfiguration {
    var result = self
    let defaults = Self()
    result.threads = defaults.threads
    result.allReduce = defaults.allReduce
    result.bucketBytes = defaults.bucketBytes
    result.compareReplicasEvery = defaults.compareReplicasEvery
    result.hangTimeout = defaults.hangTimeout
    return result
  }

  /// The configuration as JSON text, the same for equal configurations.
  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Not numbers that anything accepts, but a message must be able to name them.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    do {
      return String(decoding: try encoder.encode(self), as: UTF8.self)
    } catch {
      preconditionFailure("Settings are numbers and text, which encode: \(error)")
    }
  }

  /// A configuration from ``json``; nil if the text is something else.
  ///
  /// A checkpoint of an earlier version lacks the settings that came later; their defaults are what
  /// the earlier version did, but for the floor of scales, which it did not have.
  init?(json: String) {
    let decoder = JSONDecoder()
    guard var values = try? decoder.decode([String: Scalar].self, from: Data(json.utf8)) else {
      return nil
    }
    if let mean = values.removeValue(forKey: "gaussian-mean") {
      // It was ignored elsewhere.
      if values[CodingKeys.likelihood.rawValue]?.text == LikelihoodKind.gaussian.rawValue {
        values[CodingKeys.observationMean.rawValue] = mean
      }
      values[CodingKeys.observationScaleFloor.rawValue] = .number(0)
    }
    // The length of a run may be given in steps, and then has no epochs.
    let defaults = Self().values.filter { $0.key != CodingKeys.epochs.rawValue }
    guard let whole = try? JSONEncoder().encode(defaults.merging(values) { $1 }),
      let configuration = try? decoder.decode(Self.self, from: whole)
    else { return nil }
    self = configuration
  }

  /// The settings that decide the model, the order of the data, or the meaning of saved state.
  ///
  /// A run that goes on cannot change them.
  private static let fixed: Set<CodingKeys> = [
    .testFraction, .skipColumns, .scale, .binarize, .condition, .classes, .network, .image,
    .encoder, .decoder,
    .hidden, .latent,
    .activation, .likelihood, .observationMean,
    .observationScale, .observationScaleValue,
    .observationScaleFloor, .librarySize, .categories, .columns, .prior,
    .priorComponents, .draws, .initializer, .globalBatchSize, .optimizer, .seed, .precision,
    .deterministic,
    .microBatchSize,
  ]

  /// The first setting that a run with the other configuration could not go on with.
  func firstConflict(with other: Self) -> (name: String, own: String, other: String)? {
    let fixedNames = Set(Self.fixed.map(\.rawValue))
    return zip(settings, other.settings)
      .first { fixedNames.contains($0.name) && $0.value != $1.value }
      .map { ($0.name, $0.value, $1.value) }
  }

  // Through JSON, so that names and values are those that files have.
  private var values: [String: Scalar] {
    guard let values = try? JSONDecoder().decode([String: Scalar].self, from: Data(json.utf8))
    else { preconditionFailure("A configuration is one flat object of settings") }
    return values
  }

  private enum Scalar: Codable {
    case flag(Bool)
    case list([Int])
    case integer(Int)
    case unsigned(UInt64)
    case number(Double)
    case text(String)

    var text: String {
      switch self {
      case .flag(let flag): String(flag)
      case .list(let list): list.isEmpty ? "none" : list.map(String.init).joined(separator: ",")
      case .integer(let number): String(number)
      case .unsigned(let number): String(number)
      case .number(let number): String(number)
      case .text(let text): text
      }
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let flag = try? container.decode(Bool.self) {
        self = .flag(flag)
      } else if let list = try? container.decode([Int].self) {
        self = .list(list)
      } else if let number = try? container.decode(Int.self) {
        self = .integer(number)
      } else if let number = try? container.decode(UInt64.self) {
        self = .unsigned(number)
      } else if let number = try? container.decode(Double.self) {
        self = .number(number)
      } else {
        self = .text(try container.decode(String.self))
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .flag(let flag): try container.encode(flag)
      case .list(let list): try container.encode(list)
      case .integer(let number): try container.encode(number)
      case .unsigned(let number): try container.encode(number)
      case .number(let number): try container.encode(number)
      case .text(let text): try container.encode(text)
      }
    }
  }
}
