internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// A table as text: a line an example, numbers between commas or tabs.
///
/// A first line that is no row of numbers names the columns; a first column without a name is row numbers, as pandas
/// writes them, and left out. Fields may stand in quotes. Lines that are empty or begin with # are passed over.
struct DelimitedText {
  private let path: String
  private let source: ByteStorage
  private let separator: UInt8
  /// The columns' names; empty where the first line is numbers already.
  private var names: [String] = []
  private var columnCount = 0
  private var skipsFirst = false
  private var rowCount = 0
  private var start = 0  // of the first row

  private static let (newline, quote, hash) = (UInt8(10), UInt8(34), UInt8(35))

  /// What separates fields, by the file's name; nil for files that are no tables of text.
  static func separator(of path: String) -> UInt8? {
    let name = path.lowercased()
    if name.hasSuffix(".csv") { return UInt8(ascii: ",") }
    return name.hasSuffix(".tsv") || name.hasSuffix(".tab") ? UInt8(ascii: "\t") : nil
  }

  /// Counts rows and columns of a mapped file.
  ///
  /// - Throws: ``DataError`` if there are none.
  init(_ path: String, _ source: ByteStorage, separator: UInt8) throws(DataError) {
    self.path = path
    self.source = source
    self.separator = separator
    let bytes = source.bytes
    var position = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    guard let first = nextLine(&position) else { throw .empty(path: path, shape: [0]) }
    let fields = texts(of: first)
    columnCount = fields.count
    if fields.contains(where: { Self.number($0) == nil }) {
      names = fields
      skipsFirst = fields.count > 1 && fields[0].isEmpty
      start = position
    } else {
      start = first.lowerBound
    }
    position = start
    while nextLine(&position) != nil { rowCount += 1 }
  }

  /// The rows as an array of `float32`.
  ///
  /// - Throws: ``DataError`` if there are none.
  func array() throws(DataError) -> (header: ArrayHeader, storage: ByteStorage, checksum: [UInt8]) {
    let shape = [rowCount, columnCount - (skipsFirst ? 1 : 0)]
    let header = try ArrayHeader(
      path: path, extents: shape.map { UInt64($0) }, type: .float32, isBigEndian: false,
      isColumnMajor: false, dataOffset: 0)
    let storage = ByteStorage(count: header.dataByteCount, path: path) {
      memory throws(DataError) in try fill(memory.bindMemory(to: Float.self))
    }
    return (header, storage, SHA256.digest(source.bytes))
  }

  // MARK: Lines

  // The next line that counts, without its end; nil at the end of the file.
  private func nextLine(_ position: inout Int) -> Range<Int>? {
    guard let base = source.bytes.baseAddress else { return nil }
    let count = source.bytes.count
    while position < count {
      let start = position
      var end = start
      // A line ends at the first line feed outside quotes; most have none.
      while true {
        let rest = count - end
        let feed =
          memchr(base + end, Int32(Self.newline), rest)
          .map { UnsafeRawPointer($0) - base } ?? count
        let quotes = Self.quoteCount(base, start..<feed)
        end = feed
        if quotes % 2 == 0 || feed == count { break }
        end += 1
      }
      position = end + 1
      var line = start..<end
      if !line.isEmpty && source.bytes[line.upperBound - 1] == 13 {
        line = line.lowerBound..<line.upperBound - 1
      }
      if line.isEmpty || source.bytes[line.lowerBound] == Self.hash { continue }
      return line
    }
    return nil
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

  // MARK: Fields

  // The fields of a line as they are meant: quotes are gone, doubled ones single.
  private func texts(of line: Range<Int>) -> [String] {
    var fields: [[UInt8]] = [[]]
    var isQuoted = false
    for byte in source.bytes[line] {
      if byte == Self.quote {
        isQuoted.toggle()
      } else if byte == separator && !isQuoted {
        fields.append([])
      } else {
        fields[fields.count - 1].append(byte)
      }
    }
    return fields.map { Self.trimmed(String(decoding: $0, as: UTF8.self)) }
  }

  private static func trimmed(_ text: String) -> String {
    var rest = text[...]
    while rest.first?.isWhitespace ?? false { rest.removeFirst() }
    while rest.last?.isWhitespace ?? false { rest.removeLast() }
    return String(rest)
  }

  // A field as a number; NaN for a missing value, nil for text.
  private static func number(_ text: String) -> Float? {
    var text = text
    return text.withUTF8 { bytes in
      guard let start = bytes.baseAddress else { return .nan }
      return NumberParser.field(start, start + bytes.count)
    }
  }

  private func fill(_ values: UnsafeMutableBufferPointer<Float>) throws(DataError) {
    var position = start
    var row = 0
    guard let base = source.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      var target = values.baseAddress
    else { return }
    while let line = nextLine(&position) {
      if row == rowCount { break }
      var field = base + line.lowerBound
      let end = base + line.upperBound
      for column in 0..<columnCount {
        var stop = field
        while stop < end && stop.pointee != separator && stop.pointee != Self.quote { stop += 1 }
        let isPlain = stop == end || stop.pointee == separator
        if isPlain && (stop == end) != (column == columnCount - 1) { break }
        if column == 0 && skipsFirst && isPlain {
          field = stop + 1
          continue
        }
        guard isPlain, let value = NumberParser.field(field, stop) else {
          // Quotes, or something that is no number: slowly, and once.
          try fillQuoted(line, row, values)
          target = (values.baseAddress ?? target) + (row + 1) * width
          field = end + 1
          break
        }
        target.pointee = value
        target += 1
        field = stop + 1
      }
      // A row too short or too long ends elsewhere than its line.
      if field != end + 1 { throw wrongFieldCount(line) }
      row += 1
    }
    // The file has been cut short meanwhile.
    if row < rowCount { throw .wrongSize(path: path, actual: row, promised: rowCount) }
  }

  private var width: Int { columnCount - (skipsFirst ? 1 : 0) }

  private func fillQuoted(
    _ line: Range<Int>, _ row: Int, _ values: UnsafeMutableBufferPointer<Float>
  ) throws(DataError) {
    let fields = texts(of: line)
    if fields.count != columnCount { throw wrongFieldCount(line) }
    for (column, text) in fields.enumerated().dropFirst(skipsFirst ? 1 : 0) {
      guard let value = Self.number(text) else {
        throw .notANumber(
          path: path, line: lineNumber(of: line.lowerBound),
          column: names.isEmpty ? "\(column + 1)" : "'\(names[column])'",
          text: String(text.prefix(40)))
      }
      values[row * width + column - (skipsFirst ? 1 : 0)] = value
    }
  }

  private func wrongFieldCount(_ line: Range<Int>) -> DataError {
    .otherFieldCount(
      path: path, line: lineNumber(of: line.lowerBound), count: texts(of: line).count,
      expected: columnCount)
  }

  private func lineNumber(of position: Int) -> Int {
    source.bytes[..<position].reduce(1) { $1 == Self.newline ? $0 + 1 : $0 }
  }
}
