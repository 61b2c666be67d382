internal import CLibdeflate

#if canImport(Glibc)
internal import Glibc
#endif

/// A table as text: a line an example, numbers or texts between commas, tabs or semicolons.
///
/// A first column without a name is that of rows, and left out. Fields may stand in quotes. Lines that are empty or begin
/// with # are passed over. A column is of texts where the first of its fields that is not missing is one; each text is
/// then the number of its place among the column's different texts in order.
struct DelimitedText {
  private let path: String
  private let lines: TextLines
  private let dialect: TextDialect
  /// What the values of an example are called.
  private(set) var names = DataNames()
  private var rowCount = 0
  // For each column of the file its place in the array, -1 where it is left out.
  private var places: [Int] = []
  // For each column of the file the numbers of its texts; nil where it is of numbers.
  private var numbers: [[String: Float]?] = []

  /// What separates fields, by the file's name; nil for files that are no tables of text.
  static func separator(of path: String) -> UInt8? {
    let name = path.lowercased()
    let own = name.hasSuffix(".gz") ? name.dropLast(3) : name[...]
    if own.hasSuffix(".csv") { return UInt8(ascii: ",") }
    return own.hasSuffix(".tsv") || own.hasSuffix(".tab") ? UInt8(ascii: "\t") : nil
  }

  /// `x.csv:name` as the file and a column; nil for other names.
  static func split(_ name: String) -> (path: String, column: String)? {
    guard let colon = name.lastIndex(of: ":"), separator(of: String(name[..<colon])) != nil else {
      return nil
    }
    return (String(name[..<colon]), String(name[name.index(after: colon)...]))
  }

  /// Counts rows and columns of a mapped file, and looks for texts.
  ///
  /// - Throws: ``DataError`` if there are none, or not those that are asked for.
  init(
    _ path: String, _ source: ByteStorage, separator: UInt8, choice: ColumnChoice
  ) throws(DataError) {
    self.path = path
    lines = TextLines(source)
    guard let dialect = TextDialect(lines, usual: separator, choice) else {
      throw .empty(path: path, shape: [0])
    }
    self.dialect = dialect
    var position = dialect.start
    while lines.next(&position) != nil { rowCount += 1 }
    places = try Self.places(dialect, choice, path)
    if !header.isEmpty { names.columns = columnNumbers.map { header[$0 - 1] } }
    numbers = Array(repeating: nil, count: columnCount)
    if choice.known == nil {
      try findTexts()
    } else {
      names.classes = choice.known?.classes ?? [:]
      for column in places.indices where places[column] >= 0 {
        numbers[column] = names.classes[places[column]].map(Self.numbers)
      }
    }
  }

  /// The rows as an array of `float32`.
  ///
  /// - Throws: ``DataError`` if there are none.
  func array() throws(DataError) -> (header: ArrayHeader, storage: ByteStorage, checksum: [UInt8]) {
    let header = try ArrayHeader(
      path: path, extents: [UInt64(rowCount), UInt64(width)], type: .float32, isBigEndian: false,
      isColumnMajor: false, dataOffset: 0)
    let storage = ByteStorage(count: header.dataByteCount, path: path) {
      memory throws(DataError) in try fill(memory.bindMemory(to: Float.self))
    }
    return (header, storage, checksum)
  }

  // As gzipped files have it: CRC-32 and size.
  private var checksum: [UInt8] {
    let bytes = lines.bytes
    let sum = libdeflate_crc32(0, bytes.baseAddress, bytes.count)
    return withUnsafeBytes(of: sum.littleEndian) { Array($0) } + Array("\(bytes.count)".utf8)
  }

  private var width: Int { places.count { $0 >= 0 } }
  private var header: [String] { dialect.header }
  private var columnCount: Int { dialect.columnCount }

  /// For each value of an example the number of its column in the file, from 1 on.
  var columnNumbers: [Int] {
    places.indices.filter { places[$0] >= 0 }.sorted { places[$0] < places[$1] }.map { $0 + 1 }
  }

  /// What was taken for names, for people.
  var note: String? {
    if header.isEmpty { return "the first line is an example" }
    if dialect.hasRowNames {
      return "the first line names columns, and the first column, which has no name, rows"
    }
    return header.contains { dialect.parser.number($0) != nil }
      ? "the first line, \(header.prefix(3).joined(separator: ", ")) …, names columns" : nil
  }

  // MARK: Columns

  private static func places(
    _ dialect: TextDialect, _ choice: ColumnChoice, _ path: String
  ) throws(DataError) -> [Int] {
    let (header, count) = (dialect.header, dialect.columnCount)
    func column(_ name: String) -> Int? {
      header.firstIndex(of: name) ?? Int(name).flatMap { (1...count).contains($0) ? $0 - 1 : nil }
    }
    func missing(_ name: String) -> DataError {
      .noSuchColumn(path: path, name: name, columns: header, count: count)
    }
    var places = [Int](repeating: -1, count: count)
    if let only = choice.only {
      guard let own = column(only) else { throw missing(only) }
      places[own] = 0
      return places
    }
    // By name, where names tell columns apart.
    if let known = choice.known?.columns, !known.isEmpty, Set(known).count == known.count,
      Set(header).count == header.count, !header.isEmpty
    {
      for (place, name) in known.enumerated() {
        guard let own = header.firstIndex(of: name) else { throw missing(name) }
        places[own] = place
      }
      return places
    }
    var skipped: Set<Int> = dialect.hasRowNames ? [0] : []
    let known = choice.known?.columns ?? []
    let lacksNames = header.isEmpty && !known.isEmpty
    // What is left out by a number may be left out already.
    for name in lacksNames && count == known.count ? [] : choice.skipped {
      if let own = column(name) {
        skipped.insert(own)
      } else if choice.known == nil {
        throw missing(name)
      }
    }
    if lacksNames && count - skipped.count != known.count {
      throw .unnamedColumns(path: path, count: count, known: known)
    }
    var next = 0
    for column in 0..<count where !skipped.contains(column) {
      places[column] = next
      next += 1
    }
    return places
  }

  private static func numbers(_ classes: [String]) -> [String: Float] {
    Dictionary(classes.enumerated().map { ($1, Float($0)) }) { first, _ in first }
  }

  // Lines after which a column that has had no value yet is one of numbers.
  private static let linesToDecide = 1_000

  // Which columns are of texts, and which texts those are.
  private mutating func findTexts() throws(DataError) {
    var undecided = Set(places.indices.filter { places[$0] >= 0 })
    var found: [Int: Set<String>] = [:]
    var position = dialect.start
    for _ in 0..<Self.linesToDecide {
      guard !undecided.isEmpty, let line = lines.next(&position) else { break }
      for (column, text) in lines.fields(line, dialect.separator).enumerated()
      where undecided.contains(column) {
        if NumberParser.isMissing(text) { continue }
        guard let value = dialect.parser.number(text) else {
          found[column] = []
          undecided.remove(column)
          continue
        }
        if !value.isNaN { undecided.remove(column) }
      }
    }
    if found.isEmpty { return }
    let isWanted = places.indices.map { found[$0] != nil }
    var count = 0  // of the texts of the column that has most
    position = dialect.start
    while let line = lines.next(&position) {
      lines.forEachField(line, dialect.separator) { column, text in
        guard column < columnCount, isWanted[column], case let own = text(),
          !NumberParser.isMissing(own)
        else { return }
        if found[column]?.insert(own).inserted ?? false {
          count = max(count, found[column]?.count ?? 0)
        }
      }
      if count > Labels.mostClasses { break }
    }
    if let column = found.keys.first(where: { found[$0, default: []].count > Labels.mostClasses }) {
      throw .tooManyTexts(path: path, column: name(column))
    }
    for (column, texts) in found {
      let classes = texts.sorted()
      names.classes[places[column]] = classes
      numbers[column] = Self.numbers(classes)
    }
  }

  private func name(_ column: Int) -> String {
    header.isEmpty ? "\(column + 1)" : "'\(header[column])'"
  }

  // MARK: Fields

  // A field between separators as the number of its text; NaN for a missing value, nil for an unknown text.
  private static func number(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ numbers: [String: Float]
  ) -> Float? {
    let text = TextLines.trimmed(UnsafeBufferPointer(start: start, count: end - start)[...])
    return NumberParser.isMissing(text) ? .nan : numbers[text]
  }

  private func fill(_ values: UnsafeMutableBufferPointer<Float>) throws(DataError) {
    var position = dialect.start
    var row = 0
    guard let base = lines.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      var target = values.baseAddress
    else { return }
    let (width, separator, parser) = (width, dialect.separator, dialect.parser)
    let columnCount = columnCount
    let isOfNumbers = places.indices.map { places[$0] >= 0 && numbers[$0] == nil }
    while row < rowCount, let line = lines.next(&position) {
      var field = base + line.lowerBound
      let end = base + line.upperBound
      var isRead = true
      for column in 0..<columnCount {
        let quotes = field < end && field.pointee == TextLines.quote ? 1 : 0
        let first = field + quotes
        var stop = first
        // Most fields are numbers and nothing else, in quotes or not.
        if isOfNumbers[column], let value = parser.number(&stop, end),
          Self.ends(&stop, end, separator, quotes: quotes)
        {
          target[places[column]] = value
        } else {
          stop = first
          let mark = quotes > 0 ? TextLines.quote : separator
          while stop < end && stop.pointee != mark && stop.pointee != TextLines.quote { stop += 1 }
          let last = stop
          isRead = Self.ends(&stop, end, separator, quotes: quotes)
          if isRead, case let place = places[column], place >= 0 {
            let value =
              if let own = numbers[column] {
                Self.number(first, last, own)
              } else {
                parser.field(first, last)
              }
            target[place] = value ?? .nan
            isRead = value != nil
          }
        }
        // A row too short or too long ends elsewhere than its line.
        isRead = isRead && (stop == end) == (column == columnCount - 1)
        if !isRead { break }
        field = stop + 1
      }
      // Quotes in quotes, or something that is wrong: slowly.
      if !isRead { try fillSlowly(line, UnsafeMutableBufferPointer(start: target, count: width)) }
      target += width
      row += 1
    }
    // The file has been cut short meanwhile.
    if row < rowCount { throw .wrongSize(path: path, actual: row, promised: rowCount) }
  }

  // Whether a field ends here, behind its closing quote if it has one.
  @inline(__always)
  private static func ends(
    _ stop: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ separator: UInt8, quotes: Int
  ) -> Bool {
    if quotes > 0 {
      if stop == end || stop.pointee != TextLines.quote { return false }
      stop += 1
    }
    return stop == end || stop.pointee == separator
  }

  private func fillSlowly(
    _ line: Range<Int>, _ values: UnsafeMutableBufferPointer<Float>
  ) throws(DataError) {
    var count = 0
    var wrong: (column: Int, text: String)?
    lines.forEachField(line, dialect.separator) { column, text in
      count += 1
      guard column < columnCount, case let place = places[column], place >= 0 else { return }
      let own = text()
      let value =
        numbers[column].map { numbers in
          NumberParser.isMissing(own) ? .nan : numbers[own]
        } ?? dialect.parser.number(own)
      if let value { values[place] = value } else { wrong = wrong ?? (column, own) }
    }
    if count != columnCount {
      throw .otherFieldCount(
        path: path, line: lines.number(of: line.lowerBound), count: count, expected: columnCount)
    }
    guard let wrong else { return }
    let (number, text) = (lines.number(of: line.lowerBound), String(wrong.text.prefix(40)))
    if let classes = names.classes[places[wrong.column]] {
      throw .unknownText(
        path: path, line: number, column: name(wrong.column), text: text, known: classes)
    }
    throw .notANumber(path: path, line: number, column: name(wrong.column), text: text)
  }
}
