#if canImport(Glibc)
internal import Glibc
#endif

/// The lines of a mapped file of text, and their fields.
struct TextLines {
  static let quote = UInt8(ascii: "\"")
  private static let (newline, hash) = (UInt8(10), UInt8(ascii: "#"))

  private let source: ByteStorage
  var bytes: UnsafeRawBufferPointer { source.bytes }

  init(_ source: ByteStorage) {
    self.source = source
  }

  /// The next line that counts, without its end; nil at the end of the file.
  func next(_ position: inout Int) -> Range<Int>? {
    let bytes = bytes
    guard let base = bytes.baseAddress else { return nil }
    let count = bytes.count
    while position < count {
      let start = position
      var end = start
      var quotes = 0
      // A line ends at the first line feed outside quotes; most have none.
      while true {
        let feed =
          memchr(base + end, Int32(Self.newline), count - end)
          .map { UnsafeRawPointer($0) - base } ?? count
        quotes += Self.quoteCount(base, end..<feed)
        end = feed
        if quotes % 2 == 0 || feed == count { break }
        end += 1
      }
      position = end + 1
      var line = start..<end
      if !line.isEmpty && bytes[line.upperBound - 1] == 13 {
        line = line.lowerBound..<line.upperBound - 1
      }
      if line.isEmpty || isComment(bytes[line]) { continue }
      if bytes[line.lowerBound] == 32 && bytes[line].allSatisfy({ $0 == 32 }) { continue }
      return line
    }
    return nil
  }

  // # and what follows, but not Excel's and pandas' #N/A.
  private func isComment(_ line: Slice<UnsafeRawBufferPointer>) -> Bool {
    line.first == Self.hash
      && !["N/A", "NA"].contains { line.dropFirst().starts(with: $0.utf8) }
  }

  private static func quoteCount(_ base: UnsafeRawPointer, _ range: Range<Int>) -> Int {
    var (count, position) = (0, range.lowerBound)
    while position < range.upperBound,
      let found = memchr(base + position, Int32(quote), range.upperBound - position)
    {
      count += 1
      position = UnsafeRawPointer(found) - base + 1
    }
    return count
  }

  /// Which line of the file, from 1 on, has a byte.
  func number(of position: Int) -> Int {
    bytes[..<position].reduce(1) { $1 == Self.newline ? $0 + 1 : $0 }
  }

  /// The fields of a line as they are meant.
  func fields(_ line: Range<Int>, _ separator: UInt8) -> [String] {
    var fields: [String] = []
    forEachField(line, separator) { fields.append($1()) }
    return fields
  }

  /// Calls `body` with each field of a line, by its number, and the text of it: quotes are gone, doubled ones single,
  /// spaces around it gone.
  func forEachField(
    _ line: Range<Int>, _ separator: UInt8, _ body: (_ column: Int, _ text: () -> String) -> Void
  ) {
    var (column, start, position) = (0, line.lowerBound, line.lowerBound)
    var (isQuoted, hasQuotes) = (false, false)
    let bytes = bytes
    while position <= line.upperBound {
      let isEnd = position == line.upperBound
      if isEnd || bytes[position] == separator && !isQuoted {
        body(column) { text(start..<position, hasQuotes: hasQuotes) }
        (column, start, hasQuotes) = (column + 1, position + 1, false)
      } else if bytes[position] == Self.quote {
        (isQuoted, hasQuotes) = (!isQuoted, true)
      }
      position += 1
    }
  }

  private func text(_ range: Range<Int>, hasQuotes: Bool) -> String {
    let raw = UnsafeRawBufferPointer(rebasing: bytes[range])
    return hasQuotes ? Self.trimmed(Self.withoutQuotes(raw)[...]) : Self.trimmed(raw[...])
  }

  private static func withoutQuotes(_ field: UnsafeRawBufferPointer) -> [UInt8] {
    var kept: [UInt8] = []
    var isQuoted = false
    for (index, byte) in field.enumerated() {
      if byte != quote {
        kept.append(byte)
      } else {
        // Two in a row within quotes are one that is meant.
        if !isQuoted && index > 0 && field[index - 1] == quote { kept.append(quote) }
        isQuoted.toggle()
      }
    }
    return kept
  }

  static func trimmed<Bytes: BidirectionalCollection>(_ bytes: Bytes) -> String
  where Bytes.Element == UInt8, Bytes.SubSequence == Bytes {
    var rest = bytes
    while let first = rest.first, first <= 32 { rest.removeFirst() }
    while let last = rest.last, last <= 32 { rest.removeLast() }
    return textDecoded(rest)
  }
}

/// Bytes as text: UTF-8, or what Windows programs of Western Europe write (Windows-1252).
func textDecoded<Bytes: Collection>(_ bytes: Bytes) -> String where Bytes.Element == UInt8 {
  if let text = String(validating: bytes, as: UTF8.self) { return text }
  // What it has from 0x80 to 0x9F; the rest is as in Unicode.
  let own: [UInt32] = [
    0x20AC, 0x81, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x8D, 0x017D, 0x8F, 0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
    0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D, 0x017E, 0x0178,
  ]
  let scalars = bytes.compactMap { byte in
    Unicode.Scalar((0x80..<0xA0).contains(byte) ? own[Int(byte) - 0x80] : UInt32(byte))
  }
  return String(String.UnicodeScalarView(scalars))
}
