#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// The JSON at the start of a safetensors file.
///
///     bytes    what
///     8        length N of the JSON, little-endian
///     N        {"__metadata__": {text: text}, name: {dtype, shape, data_offsets}}, padded by spaces
///     rest     the tensors' bytes, little-endian, last axis fastest, without gaps
///
/// - Source: safetensors, *Format*.
struct SafetensorsHeader: Codable {
  struct Entry: Codable, Equatable {
    var type: String
    var shape: [Int]
    var offsets: [Int]

    enum CodingKeys: String, CodingKey {
      case type = "dtype"
      case shape
      case offsets = "data_offsets"
    }
  }

  var metadata: [String: String]
  var entries: [String: Entry]

  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private static let metadataKey = Key(stringValue: "__metadata__")

  init(metadata: [String: String], entries: [String: Entry]) {
    self.metadata = metadata
    self.entries = entries
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    metadata = [:]
    entries = [:]
    for key in container.allKeys {
      if key.stringValue == Self.metadataKey.stringValue {
        metadata = try container.decode([String: String].self, forKey: key)
      } else {
        entries[key.stringValue] = try container.decode(Entry.self, forKey: key)
      }
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(metadata, forKey: Self.metadataKey)
    for (name, entry) in entries { try container.encode(entry, forKey: Key(stringValue: name)) }
  }

  /// The JSON's bytes, the same for the same content.
  func encoded() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(self))
    } catch {
      preconditionFailure("Text and whole numbers always encode: \(error)")
    }
  }

  /// The header in these bytes; nil if they are not a header.
  init?(decoding bytes: UnsafeRawBufferPointer) {
    guard bytes.first == UInt8(ascii: "{"),
      let header = try? JSONDecoder().decode(SafetensorsHeader.self, from: Data(bytes))
    else { return nil }
    self = header
  }
}
