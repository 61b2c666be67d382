/// How a table of text is written: what separates fields, how numbers look, and whether the first line names columns.
///
/// Told from the first lines. What is taken for names is so if it holds a text, unless its texts are met again below
/// beside numbers; or if it is 0, 1, 2 … as pandas calls columns that nobody named.
struct TextDialect {
  let separator: UInt8
  let parser: NumberParser
  /// What the columns are called; empty where the first line is an example.
  let header: [String]
  let columnCount: Int
  /// Where the first example is.
  let start: Int

  /// Whether the first column is the names of rows.
  var hasRowNames: Bool { header.count > 1 && header[0].isEmpty }

  private static let (comma, semicolon, tab) = (
    UInt8(ascii: ","), UInt8(ascii: ";"), UInt8(ascii: "\t")
  )
  // Lines and fields that are looked at.
  private static let (mostLines, mostFields) = (100, 100_000)

  /// Looks at the first lines; nil where there are none.
  ///
  /// - Parameters:
  ///   - lines: The file's.
  ///   - usual: What separates fields by the file's name.
  ///   - choice: What a model knows of the columns.
  init?(_ lines: TextLines, usual: UInt8, _ choice: ColumnChoice) {
    var position = lines.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    guard var first = lines.next(&position) else { return nil }
    // Excel's own word for what separates fields.
    let marker = lines.bytes[first].starts(with: Array("sep=".utf8)) && first.count == 5
    var separator = marker ? lines.bytes[first.upperBound - 1] : usual
    if marker {
      guard let next = lines.next(&position) else { return nil }
      first = next
    } else if lines.fields(first, usual).count == 1,
      let other = [Self.semicolon, Self.tab].first(where: { lines.fields(first, $0).count > 1 })
    {
      separator = other
    }
    var fields = lines.fields(first, separator)
    var rows: [[String]] = []
    var next = position
    while rows.count < Self.mostLines, rows.count * fields.count < Self.mostFields,
      let line = lines.next(&next)
    {
      rows.append(lines.fields(line, separator))
    }
    let parser = Self.parser(([fields] + rows), separator)
    if Self.lackNameOfRows(fields, rows, parser) { fields.insert("", at: 0) }
    let areNames =
      Self.fit(fields, choice, parser).map { !$0 }
      ?? (fields.contains { parser.number($0) == nil }
        ? !Self.areMetAgain(fields, rows, parser) : Self.areNumbers(fields, rows))
    self.separator = separator
    self.parser = parser
    header = areNames ? fields : []
    columnCount = fields.count
    start = areNames ? position : first.lowerBound
  }

  // Where commas do not separate fields they may be decimal.
  private static func parser(_ rows: [[String]], _ separator: UInt8) -> NumberParser {
    if separator == comma { return .shared }
    let hasCommas = rows.contains { row in
      row.contains {
        NumberParser.shared.number($0) == nil && NumberParser.ofCommas.number($0) != nil
      }
    }
    return hasCommas ? .ofCommas : .shared
  }

  // R writes names of rows, texts or 1, 2, 3 …, without a name for them.
  private static func lackNameOfRows(
    _ fields: [String], _ rows: [[String]], _ parser: NumberParser
  ) -> Bool {
    guard !rows.isEmpty, fields.contains(where: { parser.number($0) == nil }),
      rows.allSatisfy({ $0.count == fields.count + 1 && !($0.last ?? "").isEmpty })
    else { return false }
    return rows.allSatisfy { parser.number($0[0]) == nil }
      || fields.count > 1 && rows.enumerated().allSatisfy { $1[0] == "\($0 + 1)" }
  }

  // Whether fields are an example of a model that knows classes but no names of columns; nil of others.
  private static func fit(
    _ fields: [String], _ choice: ColumnChoice, _ parser: NumberParser
  ) -> Bool? {
    guard let known = choice.known, known.columns.isEmpty, !known.classes.isEmpty else {
      return nil
    }
    let classes = Set(known.classes.values.joined())
    return fields.enumerated().allSatisfy { column, text in
      parser.number(text) != nil || classes.contains(text)
        || choice.skipped.contains("\(column + 1)")
    }
  }

  // Texts beside numbers that are found again below are classes of the first example.
  private static func areMetAgain(
    _ fields: [String], _ rows: [[String]], _ parser: NumberParser
  ) -> Bool {
    let hasNumber = fields.contains { field in parser.number(field).map { !$0.isNaN } ?? false }
    return hasNumber
      && fields.enumerated().contains { column, text in
        parser.number(text) == nil && rows.contains { $0.count > column && $0[column] == text }
      }
  }

  // What pandas calls columns that nobody named, behind an empty name of the row numbers or not.
  private static func areNumbers(_ fields: [String], _ rows: [[String]]) -> Bool {
    let hasIndex = fields.count > 2 && fields[0].isEmpty
    let own = fields.dropFirst(hasIndex ? 1 : 0)
    return own.enumerated().allSatisfy { $1 == "\($0)" }
      && (hasIndex ? rows.enumerated().allSatisfy { $1.first == "\($0)" } : own.count > 3)
  }
}
