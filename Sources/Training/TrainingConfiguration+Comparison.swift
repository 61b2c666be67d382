#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

extension TrainingConfiguration {
  /// Every setting as `(name, value)` in the order of the command line; `default` where none is set.
  public var settings: [(name: String, value: String)] {
    let values = fields
    return CodingKeys.allCases.map { ($0.rawValue, values[$0.rawValue] ?? "default") }
  }

  /// Every setting that is not left to its default, as `--name=value`.
  public var flags: [String] {
    settings.filter { $0.value != "default" }.map { "--\($0.name)=\($0.value)" }
  }

  /// What a run that goes on takes from the run before: all but what depends on the machine.
  public var flagsToGoOn: [String] {
    let machine: [CodingKeys] = [.threads, .allReduce, .bucketBytes]
    return flags.filter { flag in !machine.contains { flag.hasPrefix("--\($0.rawValue)=") } }
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
  /// A checkpoint of an earlier version lacks the settings that came later; they are words, and
  /// their defaults are what the earlier version did.
  init?(json: String) {
    var json = json
    for _ in CodingKeys.allCases {
      do {
        self = try JSONDecoder().decode(Self.self, from: Data(json.utf8))
        return
      } catch DecodingError.keyNotFound(let key, _) {
        guard let value = Self().fields[key.stringValue] else { return nil }
        json = "{\"\(key.stringValue)\":\"\(value)\"," + json.dropFirst()
      } catch {
        return nil
      }
    }
    return nil
  }

  /// The settings that decide the model, the order of the data, or the meaning of saved state.
  ///
  /// A run that goes on cannot change them.
  private static let fixed: Set<CodingKeys> = [
    .testFraction, .scale, .binarize, .hidden, .latent, .activation, .likelihood, .observationMean,
    .observationScale, .observationScaleValue,
    .observationScaleFloor, .librarySize, .categories,
    .draws, .initializer, .globalBatchSize, .optimizer, .seed, .precision,
  ]

  /// The first setting that a run with the other configuration could not go on with.
  func firstConflict(with other: Self) -> (name: String, own: String, other: String)? {
    let fixedNames = Set(Self.fixed.map(\.rawValue))
    return zip(settings, other.settings)
      .first { fixedNames.contains($0.name) && $0.value != $1.value }
      .map { ($0.name, $0.value, $1.value) }
  }

  // Through JSON, so that names and values are those that files have.
  private var fields: [String: String] {
    guard let values = try? JSONDecoder().decode([String: Scalar].self, from: Data(json.utf8))
    else { preconditionFailure("A configuration is one flat object of settings") }
    return values.mapValues(\.text)
  }

  private struct Scalar: Decodable {
    let text: String

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let list = try? container.decode([Int].self) {
        text = list.isEmpty ? "none" : list.map(String.init).joined(separator: ",")
      } else if let number = try? container.decode(Int.self) {
        text = String(number)
      } else if let number = try? container.decode(UInt64.self) {
        text = String(number)
      } else if let number = try? container.decode(Double.self) {
        text = String(number)
      } else {
        text = try container.decode(String.self)
      }
    }
  }
}
