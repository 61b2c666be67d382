import DataLoading
import Foundation
import TensorKernels
import TestSupport
import Testing

/// CSV and TSV: what people and programs write, and what is no table of numbers.
@Suite struct DelimitedTextTests {
  static func rows(_ text: String, name: String = "x.csv") throws -> [[Float]] {
    let folder = try TemporaryFolder()
    return try rows(NumericArray(path: folder.write(Array(text.utf8), to: name)))
  }

  static func rows(_ array: NumericArray) throws -> [[Float]] {
    let row = FloatBuffer(count: array.width)
    return try (0..<array.exampleCount).map {
      try array.read(example: $0, scale: 1, into: row.mutableElements)
      return Array(row.elements)
    }
  }

  static let tables: [(String, String, [[Float]])] = [
    ("plain", "1,2\n3,4\n", [[1, 2], [3, 4]]),
    ("no end of line", "1,2\n3,4", [[1, 2], [3, 4]]),
    ("header", "a,b\n1,2\n", [[1, 2]]),
    ("Windows, with a byte order mark", "\u{feff}a,b\r\n1,2\r\n\r\n3,4\r\n", [[1, 2], [3, 4]]),
    ("row numbers of pandas", ",a,b\n0,1,2\n1,3,4\n", [[1, 2], [3, 4]]),
    ("columns that nobody named in pandas", "0,1,2,3\n5,6,7,8\n", [[5, 6, 7, 8]]),
    ("and row numbers", ",0,1\n0,6,7\n", [[6, 7]]),
    ("classes without a header", "5,a\n6,b\n7,a\n", [[5, 0], [6, 1], [7, 0]]),
    ("Excel's mark", "sep=;\na;b\n1;2\n", [[1, 2]]),
    ("decimal commas between tabs", "a\tb\n1,5\t2,5\n", [[1.5, 2.5]]),
    ("three numbers are an example", "0,1,2\n5,6,7\n", [[0, 1, 2], [5, 6, 7]]),
    ("quotes", "\"a, b\",\"c\"\"d\"\n\"1\",\" 2 \"\n3,\"4\"\n", [[1, 2], [3, 4]]),
    ("a line feed in quotes", "\"a\nb\",c\n1,2\n", [[1, 2]]),
    ("comments", "# one\n1,2\n# two\n3,4\n", [[1, 2], [3, 4]]),
    (
      "numbers", "1e3,-2.5E-2\n+.5,12345678.25\n-0,1e-30\n00012,true\n",
      [[1000, -0.025], [0.5, 12345678.25], [0, 1e-30], [12, 1]]
    ),
    (
      "many digits", "0.1234567890123456789012,123456790000000000000000000000\n",
      [[0.12345679, 1.2345679e29]]
    ),
    ("spaces", " 1 , 2\n", [[1, 2]]),
    ("one column", "a\n1\n2\n", [[1], [2]]),
    ("decimal commas between semicolons", "a;b\n1,5;2\n-3,25e1;4.5\n", [[1.5, 2], [-32.5, 4.5]]),
    ("lines of spaces", "a,b\n1,2\n   \n3,4\n", [[1, 2], [3, 4]]),
    ("names of rows without a name, as R's", "a,b\nr1,1,2\nr2,3,4\n", [[1, 2], [3, 4]]),
    ("their numbers", "a,b\n1,5,6\n2,7,8\n", [[5, 6], [7, 8]]),
  ]

  @Test(arguments: tables) func numbersAreRead(
    _ what: String, _ text: String, _ expected: [[Float]]
  ) throws {
    #expect(try Self.rows(text) == expected, "\(what)")
    // The same between tabs, where no field has commas of its own.
    if !text.contains("\"") && !text.contains(";") && !text.contains("\t") {
      #expect(
        try Self.rows(text.replacing(",", with: "\t"), name: "x.tsv") == expected, "\(what)")
    }
  }

  @Test func missingValuesAreNaN() throws {
    let rows = try Self.rows("a,b,c\n,NA,nan\n1,null,\"\"\nN/A,?,2\n")
    let expected: [[Float]] = [[.nan, .nan, .nan], [1, .nan, .nan], [.nan, .nan, 2]]
    for (row, own) in zip(rows, expected) {
      for (value, wanted) in zip(row, own) {
        #expect(value == wanted || value.isNaN && wanted.isNaN)
      }
    }
    #expect(
      try Self.rows("1,inf\n-Infinity,1e400\n") == [[1, .infinity], [-.infinity, .infinity]])
  }

  // Every float survives being written with nine digits.
  @Test func randomNumbersComeBack() throws {
    var random = TestRandom(seed: 9)
    let values = (0..<4_000).map { _ -> Float in
      let bits = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
      return bits.isFinite ? bits : 0
    }
    for format in ["%.9g", "%.9e", "%.17g", "%.18e", "%.30e", "%.60f"] {
      let text = stride(from: 0, to: values.count, by: 4).map { start in
        values[start..<start + 4].map { String(format: format, Double($0)) }.joined(separator: ",")
      }.joined(separator: "\n")
      let read = try Self.rows(text).flatMap { $0 }
      for (found, value) in zip(read, values) where format != "%.60f" || abs(value) > 1e-30 {
        #expect(found == value, "\(format) \(value)")
      }
    }
  }

  // The C library's are the nearest floats, also where 53 digits hardly tell which.
  @Test func everyNumberIsTheNearestFloat() throws {
    var random = TestRandom(seed: 4)
    var texts: [String] = []
    for _ in 0..<4_000 {
      let digits = (0..<Int(1 + random.next() % 22)).map { _ in "\(random.next() % 10)" }.joined()
      let point = Int(random.next() % UInt64(digits.count + 1))
      let power = Int(random.next() % 90) - 45
      texts.append("\(digits.prefix(point)).\(digits.dropFirst(point))e\(power)")
      // The middle between two floats, and a little beside it.
      let float = Float(bitPattern: 0x2000_0000 + UInt32(random.next() % 0x4000_0000))
      let middle = (Double(float) + Double(float.nextUp)) / 2
      for value in [middle, middle.nextUp, middle.nextDown] {
        texts.append(String(format: "%.16e", value))
        texts.append(String(format: "%.17g", value))
      }
      texts.append(String(format: "%.60f", middle) + "0001")
    }
    texts += ["16777217", "16777219", "8388608.5", "9007199254740993", "1e-45", "3.4028235e38"]
    let read = try Self.rows("v\n" + texts.joined(separator: "\n") + "\n").map { $0[0] }
    #expect(read.count == texts.count)
    for (found, text) in zip(read, texts) where found != strtof(text, nil) {
      Issue.record("\(text) is \(strtof(text, nil)), not \(found)")
    }
  }

  static let wrong: [(String, String)] = [
    ("a,b\n1,2\n3\n", "has 1 fields in line 3, and 2 in the first"),
    ("a,b\n1,2\n3,4,5\n", "has 3 fields in line 3, and 2 in the first"),
    (
      "a,city\n1,7\n2,Paris\n",
      "has 'Paris' in column 'city' of line 3, where numbers are needed; a column is of numbers or of texts"
    ),
    // A separator at the end of rows is no name of rows in front of them.
    ("a,b,c\n1,10,100,\n2,20,200,\n", "has 4 fields in line 2, and 3 in the first"),
    ("x\n1,5\n2,7\n", "has 2 fields in line 2, and 1 in the first"),
    ("1,2\n3,0x10\n", "has '0x10' in column 2 of line 2"),
    ("1,2\n3,1 2\n", "has '1 2' in column 2 of line 2"),
    ("1,2\n3,--1\n", "has '--1' in column 2"),
    ("1,2\n3,1e\n", "has '1e' in column 2"),
    ("a,b\n", "is empty: its shape is [0, 2]"),
    ("", "is empty"),
    ("\n\n", "is empty"),
  ]

  // The first value of the first example is missing, and pandas has nothing to do with it.
  @Test func aMissingFirstValueIsNoNameOfRows() throws {
    let rows = try Self.rows(",0\n100,0\n101,1\n")
    #expect(rows.count == 3 && rows[0][0].isNaN && rows[1] == [100, 0])
  }

  // A quote that nobody closes makes one line of the rest, but not a search of the rest at each line.
  @Test(.timeLimit(.minutes(1))) func aLoneQuoteCostsOnePass() {
    let text = "1\"x,2\n" + String(repeating: "3,4\n", count: 1_000_000)
    #expect(throws: DataError.self) { _ = try Self.rows(text) }
  }

  @Test(arguments: wrong) func whatIsNoTableIsSaidWithItsLine(_ text: String, _ words: String) {
    let error = #expect(throws: DataError.self) { try Self.rows(text) }
    #expect(error?.description.contains(words) ?? false, "\(String(describing: error))")
  }
}
