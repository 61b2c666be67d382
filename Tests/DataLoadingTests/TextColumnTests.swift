import DataLoading
import Foundation
import TestSupport
import Testing

/// Columns of texts, what they are called, and which columns are read.
@Suite struct TextColumnTests {
  // Two texts with commas and quotes, a number among texts, and missing values as pandas has them.
  static let table = #"""
    name,size,"kind, of it",grade
    p1,1.5,"b ""x""",3
    p2,2,a,
    p3,NA,none,A
    p4,4,NA,3

    """#

  private static func open(
    _ text: String, _ choice: ColumnChoice = ColumnChoice()
  ) throws -> NumericArray {
    let folder = try TemporaryFolder()
    let array = try DataSource(
      name: folder.write(Array(text.utf8), to: "x.csv"), choice: choice
    ).train
    try array.load()
    return array
  }

  private static func same(_ found: [[Float]], _ wanted: [[Float]]) -> Bool {
    found.count == wanted.count
      && zip(found, wanted).allSatisfy {
        zip($0, $1).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN }
      }
  }

  @Test func textsAreTheNumbersOfTheirOrder() throws {
    // The grades begin with a number, and so are numbers: their first text is an error.
    let error = #expect(throws: DataError.self) { try Self.open(Self.table) }
    #expect(
      error?.description.contains("has 'A' in column 'grade' of line 4, where numbers are needed")
        == true)
    let array = try Self.open(Self.table, ColumnChoice(skipping: ["grade"]))
    #expect(array.names.columns == ["name", "size", "kind, of it"])
    #expect(array.names.classes == [0: ["p1", "p2", "p3", "p4"], 2: ["a", "b \"x\"", "none"]])
    #expect(
      Self.same(
        try DelimitedTextTests.rows(array),
        [[0, 1.5, 1], [1, 2, 0], [2, .nan, 2], [3, 4, .nan]]))
  }

  @Test func columnsAreLeftOutByNameOrNumber() throws {
    let array = try Self.open(Self.table, ColumnChoice(skipping: ["name", "3", "grade"]))
    #expect(array.names.columns == ["size"] && array.names.classes.isEmpty)
    #expect(Self.same(try DelimitedTextTests.rows(array), [[1.5], [2], [.nan], [4]]))
    let plain = try Self.open("1,2,3\n4,5,6\n", ColumnChoice(skipping: ["2"]))
    #expect(plain.names.columns.isEmpty)
    #expect(try DelimitedTextTests.rows(plain) == [[1, 3], [4, 6]])
    let missing = #expect(throws: DataError.self) {
      try Self.open(Self.table, ColumnChoice(skipping: ["nam"]))
    }
    #expect(
      missing?.description.hasSuffix(
        "has no column 'nam'; its columns are name, size, kind, of it, grade") == true)
    #expect(throws: DataError.noColumnsToSkip(path: "digits")) {
      _ = try DataSource(name: "digits", choice: ColumnChoice(skipping: ["1"]))
    }
  }

  // A number that is quoted, or among texts, is the text that it is.
  @Test func aColumnIsOfTextsByItsFirstValue() throws {
    let array = try Self.open("a,b\n,\nx,1\n10,2\n9,3\n")
    #expect(array.names.classes == [0: ["10", "9", "x"]])
    #expect(
      Self.same(try DelimitedTextTests.rows(array), [[.nan, .nan], [2, 1], [0, 2], [1, 3]]))
  }

  @Test func otherFilesAreReadAsTheModelKnowsColumns() throws {
    let known = try Self.open("a,b,c\n1,x,5\n2,z,6\n").names
    let array = try Self.open(
      "c,more,b,a\n7,p,z,8\n9,q,NA,10\n", ColumnChoice(skipping: ["gone"], known: known))
    #expect(array.names.columns == ["a", "b", "c"])
    #expect(Self.same(try DelimitedTextTests.rows(array), [[8, 1, 7], [10, .nan, 9]]))
    for (text, sentence) in [
      (
        "a,b,c\n1,y,5\n",
        "has 'y' in column 'b' of line 2, which is none of the classes that there are: x, z"
      ),
      ("a,c\n1,5\n", "has no column 'b'; its columns are a, c"),
      ("a,b,c\nw,x,5\n", "has 'w' in column 'a' of line 2, where numbers are needed"),
    ] {
      let error = #expect(throws: DataError.self) {
        try Self.open(text, ColumnChoice(known: known))
      }
      #expect(error?.description.contains(sentence) == true, "\(String(describing: error))")
    }
  }

  // Test examples have the training examples' classes, also where they lack some.
  @Test func testFilesHaveTheClassesOfTraining() throws {
    let folder = try TemporaryFolder()
    let train = try folder.write(Array("k,v\nr,1\ng,2\nb,3\n".utf8), to: "a.csv")
    let test = try folder.write(Array("v,k\n4,r\n".utf8), to: "b.csv")
    let source = try DataSource(name: train, testPath: test)
    try source.test?.load()
    #expect(try source.test.map { try DelimitedTextTests.rows($0) } == [[2, 4]])
  }

  @Test func columnsOfOtherNamesAreRefused() throws {
    var known = DataNames()
    // Names that are there twice say nothing; then columns count.
    known.columns = ["a", "a"]
    let error = #expect(throws: DataError.self) {
      try Self.open("a,b\n1,2\n", ColumnChoice(known: known))
    }
    #expect(
      error?.description.contains(
        "has 'b' as column 2, where the training data have 'a'") == true)
  }

  @Test func tooManyTextsAreNoClasses() throws {
    let text = "id,v\n" + (0...65_536).map { "p\($0),1\n" }.joined()
    let error = #expect(throws: DataError.self) { try Self.open(text) }
    #expect(error?.description.contains("more than 65,536 different texts in column 'id'") == true)
    #expect(try Self.open(text, ColumnChoice(skipping: ["id"])).shape == [65_537, 1])
  }

  // A model without names of columns knows its classes: a first line of those is an example, another a header.
  @Test func filesWithoutAHeaderStaySo() throws {
    let known = try Self.open("5,a,u\n6,b,v\n7,a,u\n").names
    #expect(known.columns.isEmpty && known.classes == [1: ["a", "b"], 2: ["u", "v"]])
    let choice = ColumnChoice(known: known)
    #expect(try DelimitedTextTests.rows(Self.open("8,b,u\n", choice)) == [[8, 1, 0]])
    #expect(try DelimitedTextTests.rows(Self.open("x,y,z\n8,b,u\n", choice)) == [[8, 1, 0]])
    let skipping = ColumnChoice(skipping: ["1"], known: known)
    #expect(try DelimitedTextTests.rows(Self.open("id9,8,b,u\n", skipping)) == [[8, 1, 0]])
  }

  // Examples without a label are a class of their own.
  @Test func missingLabelsAreAClass() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Array("v,kind\n1,nk\n2,\n3,b\n4,NA\n".utf8), to: "x.csv")
    let labels = try #require(
      try DataSource(name: path, labels: LabelRequest(train: "\(path):kind", test: nil)).trainLabels
    )
    #expect(labels.values == [1, 2, 0, 2] && labels.names == ["b", "nk", "missing"])
  }

  // What is missing decides nothing: a column is what its first value is.
  @Test(arguments: ["<NA>", "#N/A", "NA", "", "none", "nan", "?"])
  func aMissingFirstValueDecidesNothing(_ word: String) throws {
    let array = try Self.open("a,b\n\(word),1\n0.5,2\n3,3\n")
    #expect(array.names.classes.isEmpty)
    #expect(Self.same(try DelimitedTextTests.rows(array), [[.nan, 1], [0.5, 2], [3, 3]]))
  }

  // Numbers in --skip-columns are the file's, also behind a column that is left out by itself.
  @Test func columnNumbersAreThoseOfTheFile() throws {
    let text = ",a,\"id, long\",b\n0,1,u0,2\n1,3,u1,4\n"
    let array = try Self.open(text)
    #expect(array.columnNumbers == [2, 3, 4] && array.columnName(1) == "'id, long'")
    let kept = try Self.open(text, ColumnChoice(skipping: ["3"]))
    #expect(kept.names.columns == ["a", "b"] && kept.columnNumbers == [2, 4])
    let plain = try Self.open("1,2,3\n4,5,6\n", ColumnChoice(skipping: ["1"]))
    #expect(plain.columnName(1) == "3")
  }

  // One column of a file is read by the model's classes, too.
  @Test func aSingleColumnHasTheClassesOfTheModel() throws {
    let folder = try TemporaryFolder()
    let train = try folder.write(Array("s\nx\ny\nz\n".utf8), to: "a.csv")
    let other = try folder.write(Array("s,t\nz,1\ny,2\n".utf8), to: "b.csv")
    let known = try DataSource(name: "\(train):s").names
    let array = try DataSource(name: "\(other):s", choice: ColumnChoice(known: known)).train
    try array.load()
    #expect(try DelimitedTextTests.rows(array) == [[2], [1]])
  }

  @Test func namesAreNumbersOnlyOfThoseWhoKnowThem() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Array("v,kind\n1,nk\n2,b\n".utf8), to: "x.csv")
    let labels = try #require(
      try DataSource(name: path, labels: LabelRequest(train: "\(path):kind", test: nil)).trainLabels
    )
    #expect(throws: DataError.namedClasses(path: "\(path):kind", name: "b")) {
      _ = try labels.numbered(as: [])
    }
  }

  // Windows programs of Western Europe: two names must stay two.
  @Test func textsThatAreNotUTF8AreWindows1252() throws {
    let folder = try TemporaryFolder()
    let bytes =
      Array("x;s\n0,5;M".utf8) + [0xFC] + Array("ller\n1,5;M".utf8) + [0xF6]
      + Array("ller ".utf8) + [0x80] + Array("\n".utf8)
    let array = try DataSource(name: folder.write(bytes, to: "x.csv")).train
    #expect(array.names.classes == [1: ["Möller €", "Müller"]])
  }

  // MARK: Labels

  @Test func aColumnOfTextsIsLabels() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Array("v,kind\n1,nk\n2,b\n3,nk\n".utf8), to: "x.csv")
    let source = try DataSource(
      name: path, labels: LabelRequest(train: "\(path):kind", test: nil))
    let labels = try #require(source.trainLabels)
    #expect(labels.values == [1, 0, 1] && labels.names == ["b", "nk"] && labels.classCount == 2)
    #expect(labels.name(1) == "nk" && labels.name(7) == "7")
    #expect(source.names.labels == ["b", "nk"])
    let known = try labels.numbered(as: ["a", "nk", "b"])
    #expect(known.values == [1, 2, 1] && known.names == ["a", "nk", "b"])
    #expect(throws: DataError.unknownClass(path: "\(path):kind", name: "nk", known: ["b"])) {
      _ = try labels.numbered(as: ["b"])
    }
    let other = try folder.write(Array("kind\nb\nb\n".utf8), to: "t.csv")
    let test = try folder.write(Array("v\n1\n2\n".utf8), to: "tv.csv")
    #expect(throws: DataError.noSuchColumn(path: test, name: "kind", columns: ["v"], count: 1)) {
      _ = try DataSource(
        name: path, testPath: test, labels: LabelRequest(train: "\(path):kind", test: other))
    }
    let both = try DataSource(
      name: path, testPath: test, labels: LabelRequest(train: "\(path):kind", test: other),
      choice: ColumnChoice(skipping: ["kind"]))
    #expect(both.testLabels?.values == [0, 0] && both.testLabels?.names == ["b", "nk"])
  }

  // A class of which the test folder has no image must not shift the numbers of the others.
  @Test func foldersOfTestImagesHaveTheClassesOfTraining() throws {
    let folder = try TemporaryFolder()
    let image = try contents(golden("jpeg/grey.jpg"))
    for path in ["train/cat", "train/dog", "train/owl", "test/dog", "test/owl"] {
      try FileManager.default.createDirectory(
        atPath: folder.path(path), withIntermediateDirectories: true)
      _ = try folder.write(image, to: "\(path)/a.jpg")
    }
    let source = try DataSource(name: folder.path, labels: LabelTests.wanted)
    #expect(source.trainLabels?.values == [0, 1, 2] && source.testLabels?.values == [1, 2])
    #expect(source.testLabels?.names == ["cat", "dog", "owl"])
  }
}
