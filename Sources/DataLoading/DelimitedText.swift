internal import CLibdeflate

#if canImport(Glibc)
internal import Glibc
#endif

/// A table as text: a line an example, numbers or texts between commas or tabs.
///
/// A first line that is no row of numbers, or is 0, 1, 2 … as pandas calls columns that nobody named, names the columns;
/// a first column without a name is row numbers, as pandas writes them, and left out. Fields may stand in quotes. Lines
/// that are empty or begin with # are passed over. A column is of texts where the first of its fields that is not missing
/// is one; each text is then the number of its place among the column's different texts in order.
struct DelimitedText {
  private let path: String
  private let lines: TextLines
  private let separator: UInt8
  private let parser: NumberParser
  /// What the values of an example are called.
  private(set) var names = DataNames()
  private var header: [String] = []  // empty where the first line is values already
  private var columnCount = 0
  private var rowCount = 0
  private var start = 0  // of the first row
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

  // What separates the fields of a first line: of .csv files that have no comma there, semicolons or tabs.
  private static func separator(
    _ usual: UInt8, in line: Range<Int>, _ lines: TextLines
  ) -> UInt8 {
    let other = [UInt8(ascii: ";"), UInt8(ascii: "\t")].first { lines.fields(line, $0).count > 1 }
    return lines.fields(line, usual).count > 1 ? usual : other ?? usual
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
    var position = source.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    guard let first = lines.next(&position) else { throw .empty(path: path, shape: [0]) }
    let separator = Self.separator(separator, in: first, lines)
    self.separator = separator
    // Who writes semicolons has commas in numbers.
    let parser = separator == UInt8(ascii: ";") ? NumberParser.ofCommas : .shared
    self.parser = parser
    var fields = lines.fields(first, separator)
    // R leaves the names of rows without one, at times without a field for it.
    var second = position
    if let row = lines.next(&second), lines.fields(row, separator).count == fields.count + 1,
      fields.contains(where: { parser.number($0) == nil })
    {
      fields.insert("", at: 0)
    }
    columnCount = fields.count
    if fields.contains(where: { parser.number($0) == nil }) || Self.areNumbersOfColumns(fields) {
      header = fields
      start = position
    } else {
      start = first.lowerBound
    }
    position = start
    while lines.next(&position) != nil { rowCount += 1 }
    places = try Self.places(header, columnCount, choice, path)
    if !header.isEmpty {
      names.columns = places.indices.filter { places[$0] >= 0 }
        .sorted { places[$0] < places[$1] }.map { header[$0] }
    }
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

  // MARK: Columns

  private static func places(
    _ header: [String], _ count: Int, _ choice: ColumnChoice, _ path: String
  ) throws(DataError) -> [Int] {
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
    var skipped: Set<Int> = header.count > 1 && header[0].isEmpty ? [0] : []
    for name in choice.skipped {
      if let own = column(name) {
        skipped.insert(own)
      } else if choice.known == nil {
        throw missing(name)
      }
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
    var position = start
    for _ in 0..<Self.linesToDecide {
      guard !undecided.isEmpty, let line = lines.next(&position) else { break }
      for (column, text) in lines.fields(line, separator).enumerated()
      where undecided.contains(column) {
        guard let value = parser.number(text) else {
          found[column] = []
          undecided.remove(column)
          continue
        }
        if !value.isNaN { undecided.remove(column) }
      }
    }
    if found.isEmpty { return }
    let isWanted = places.indices.map { found[$0] != nil }
    position = start
    while let line = lines.next(&position) {
      lines.forEachField(line, separator) { column, text in
        guard column < columnCount, isWanted[column], case let own = text(),
          !NumberParser.isMissing(own)
        else { return }
        found[column]?.insert(own)
      }
      if let column = found.keys.first(where: { found[$0, default: []].count > Labels.mostClasses })
      {
        throw .tooManyTexts(path: path, column: name(column))
      }
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

  // What pandas calls columns that nobody named: 0, 1, 2 …, behind an empty name of the row numbers or not.
  private static func areNumbersOfColumns(_ fields: [String]) -> Bool {
    let hasIndex = fields.count > 1 && fields[0].isEmpty
    let own = fields.dropFirst(hasIndex ? 1 : 0)
    return (hasIndex || own.count > 3) && own.enumerated().allSatisfy { $1 == "\($0)" }
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
    var position = start
    var row = 0
    guard let base = lines.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      var target = values.baseAddress
    else { return }
    let (width, separator, parser) = (width, separator, parser)
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
    lines.forEachField(line, separator) { column, text in
      count += 1
      guard column < columnCount, case let place = places[column], place >= 0 else { return }
      let own = text()
      let value =
        numbers[column].map { numbers in
          NumberParser.isMissing(own) ? .nan : numbers[own]
        } ?? parser.number(own)
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
