internal import DataLoading

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// A text that is not what ``DataNames/json`` makes.
struct NamesError: Error {}

extension DataNames {
  /// The names as JSON text, the same for equal names; nil where there are none.
  var json: String? {
    if isEmpty { return nil }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Reads ``json``; nil is no names.
  ///
  /// - Throws: ``NamesError`` for another text, or for names that do not fit each other.
  init(_ json: String?) throws(NamesError) {
    guard let json else {
      self.init()
      return
    }
    guard let names = try? JSONDecoder().decode(Self.self, from: Data(json.utf8)),
      names.classes.keys.allSatisfy({
        $0 >= 0 && (names.columns.isEmpty || $0 < names.columns.count)
      })
    else { throw NamesError() }
    self = names
  }
}
