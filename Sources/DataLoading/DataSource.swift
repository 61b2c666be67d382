internal import CZlib

#if canImport(Glibc)
internal import Glibc
#endif

/// What `--data` names: training examples and, where there are any, test examples.
public struct DataSource: Sendable {
  /// The examples to learn from.
  public let train: NumericArray
  /// The examples that the data set itself keeps for testing.
  public let test: NumericArray?
  /// What the file's values are divided by unless a person says otherwise; nil means that it
  /// follows from the number format and the range.
  public let knownScale: Float?
  /// The classes of the training examples, where they were asked for.
  public private(set) var trainLabels: Labels?
  /// The classes of the test examples, where they were asked for and there are any.
  public private(set) var testLabels: Labels?
  private var besides = BesideLabels()

  /// Names that are known without a path.
  public static let knownNames = ["digits", "fashion-mnist"]

  private static let fashionFolder = "/usr/share/datasets/fashion-mnist"
  // As its authors call them (Xiao, Rasul & Vollgraf 2017, table 2).
  private static let fashionClasses = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
  ]

  /// Finds and opens the data; arrays that cannot be mapped have yet to be loaded.
  ///
  /// - Parameters:
  ///   - name: A file (NPY or IDX, gzipped or not; NPZ or HDF5, or an array of one: `x.npz:name`; CSV or TSV), a folder
  ///     (MNIST's four files, `train.npy` and perhaps `test.npy`, CIFAR-10's binary files, or images), or one of
  ///     ``knownNames``. A file or folder of that name in the current folder comes first.
  ///   - testPath: A file of test examples, or nil.
  ///   - labels: What labels to read; nil for none.
  ///   - choice: What is read of tables of text, and the names that a model knows.
  /// - Throws: ``DataError`` with what is wrong.
  public init(
    name: String, testPath: String? = nil, labels: LabelRequest? = nil,
    choice: ColumnChoice = ColumnChoice()
  ) throws(DataError) {
    if !choice.skipped.isEmpty && choice.known == nil && DelimitedText.separator(of: name) == nil {
      throw .noColumnsToSkip(path: name)
    }
    let found = try Self.find(name, choice)
    train = found.train
    let given: NumericArray? =
      if let testPath {
        try NumericArray(opening: testPath, choice.like(train))
      } else { nil }
    test = given ?? found.test
    knownScale = found.knownScale
    if let test, Array(test.shape[1...]) != Array(train.shape[1...]) {
      throw .differentWidths(train: Array(train.shape[1...]), test: Array(test.shape[1...]))
    }
    try choice.known.map { known throws(DataError) in try train.check(names: known) }
    try test?.check(names: train.names)
    guard let labels else { return }
    if test == nil, let path = labels.test, labels.only == nil {
      throw .labelsWithoutExamples(path: path)
    }
    // Data without test examples of their own are scored whole.
    if labels.only != .test || test == nil {
      trainLabels = try Self.labels(labels.train, found.besides.train, of: train)
      if let known = choice.known { trainLabels = try trainLabels?.numbered(as: known.labels) }
      if trainLabels == nil {
        trainLabels = try Self.builtInLabels(name, exampleCount: train.exampleCount)
      }
      if trainLabels == nil { throw .noLabels(data: name, flag: "--labels") }
    }
    guard let test, labels.only != .train else { return }
    // Test examples from elsewhere have other labels than those that lie beside the data.
    let beside = testPath == nil ? found.besides.test : nil
    testLabels = try Self.labels(labels.test, beside, of: test)
    if let known = choice.known?.labels ?? trainLabels?.names {
      testLabels = try testLabels?.numbered(as: known)
    }
    if testLabels == nil {
      throw .noLabels(
        data: testPath ?? name, flag: labels.only == nil ? "--test-labels" : "--labels")
    }
  }

  /// What training and scoring call values and classes; labels have names where they were asked for.
  public var names: DataNames {
    var names = train.names
    names.labels = trainLabels?.names ?? testLabels?.names ?? []
    return names
  }

  /// What `--labels` may name of an AnnData file, and the classes of it; none of other data.
  public static func annotations(of name: String) -> [(name: String, classes: [String])] {
    guard let (path, _) = HDF5File.split(name) else { return [] }
    return HDF5File.guarded(path) {
      ((try? HDF5File(path: path))?.annotations ?? []).map { ("\(path):\($0.name)", $0.classes) }
    }
  }

  /// Whether a file is a table of text, by its name.
  public static func isTable(_ path: String) -> Bool { DelimitedText.separator(of: path) != nil }

  /// `x.npz:name`, `x.h5:name` and `x.csv:column` as the file and the array of it; the array is nil for the file alone,
  /// all is nil for files of one array.
  public static func split(_ name: String) -> (path: String, member: String?)? {
    NPZArchive.split(name) ?? HDF5File.split(name)
      ?? DelimitedText.split(name).map { ($0.path, $0.column) }
  }

  /// The labels of a split where there are any: a file, or what lies beside the data.
  ///
  /// - Parameters:
  ///   - array: The split's examples.
  ///   - name: What `--data` named.
  ///   - split: Which part of it.
  ///   - path: A file of labels, or nil.
  ///   - known: What a model calls the classes 0, 1 …; nil where there is no model of them.
  /// - Returns: The labels; nil where there are none.
  /// - Throws: ``DataError`` if they do not fit, or a file was named that is none.
  public static func labelsIfAny(
    of array: NumericArray, beside name: String, split: Split, given path: String?,
    known: [String]? = nil
  ) throws(DataError) -> Labels? {
    let found = try labels(of: array, beside: name, split: split, given: path)
    return if let known { try found?.numbered(as: known) } else { found }
  }

  private static func labels(
    of array: NumericArray, beside name: String, split: Split, given path: String?
  ) throws(DataError) -> Labels? {
    if let path { return try labels(path, nil, of: array) }
    // Tables of text have none beside them, and take time to open.
    if DelimitedText.separator(of: name) != nil { return nil }
    let found = try find(name, ColumnChoice())
    let isTest = split == .test && found.test != nil
    if (isTest ? found.test : found.train)?.exampleCount != array.exampleCount { return nil }
    if let own = try labels(nil, isTest ? found.besides.test : found.besides.train, of: array) {
      return own
    }
    return isTest ? nil : try builtInLabels(name, exampleCount: array.exampleCount)
  }

  // Where labels lie that came with the data.
  private enum LabelPlace: Sendable {
    case file(String, classes: [String] = [])
    case known(Labels)
  }

  private struct BesideLabels: Sendable {
    var train: LabelPlace?
    var test: LabelPlace?
  }

  private static func labels(
    _ given: String?, _ beside: LabelPlace?, of array: NumericArray
  ) throws(DataError) -> Labels? {
    switch given.map({ .file($0) }) ?? beside {
    case .file(let path, let classes):
      let labels = try Labels(opening: path, exampleCount: array.exampleCount)
      return labels.names.isEmpty && labels.classCount <= classes.count
        ? Labels(path: path, values: labels.values, names: classes) : labels
    case .known(let labels): return labels
    case nil: return nil
    }
  }

  private init(
    train: NumericArray, test: NumericArray?, knownScale: Float?,
    besides: BesideLabels = BesideLabels()
  ) {
    self.train = train
    self.test = test
    self.knownScale = knownScale
    self.besides = besides
  }

  private static func find(
    _ name: String, _ choice: ColumnChoice
  ) throws(DataError) -> DataSource {
    var status = stat()
    if stat(name, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { return try openFolder(name) }
      if name.lowercased().hasSuffix(".npz") { return try openArchive(name) }
      if let names = try HDF5File.names(ofFile: name) { return try openParts(name, names) }
      return DataSource(
        train: try NumericArray(opening: name, choice), test: nil, knownScale: nil)
    }
    if let (file, member) = split(name), member != nil, access(file, F_OK) == 0 {
      return DataSource(train: try NumericArray(opening: name, choice), test: nil, knownScale: nil)
    }
    switch name {
    case "digits":
      return DataSource(train: try builtInDigits(), test: nil, knownScale: 16)
    case "fashion-mnist":
      if access(fashionFolder, R_OK) != 0 {
        throw .notInstalled(
          name: name, package: "dataset-fashion-mnist", folder: fashionFolder)
      }
      return try openFolder(fashionFolder, classes: fashionClasses)
    default:
      if name.contains("/") || name.contains(".") { throw .missing(path: name) }
      throw .unknownName(name, known: knownNames)
    }
  }

  // The names under which MNIST and its successors are found, and our own.
  private static let trainNames = [
    "train-images-idx3-ubyte", "train-images.idx3-ubyte", "train.npy",
  ]
  private static let testNames = ["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte", "test.npy"]

  private static let trainLabelNames = [
    "train-labels-idx1-ubyte", "train-labels.idx1-ubyte", "train_labels.npy",
  ]
  private static let testLabelNames = [
    "t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", "test_labels.npy",
  ]

  private static func openFolder(
    _ folder: String, classes: [String] = []
  ) throws(DataError) -> DataSource {
    func first(_ names: [String]) -> String? {
      names.flatMap { [$0, $0 + ".gz"] }
        .map { folder.hasSuffix("/") ? folder + $0 : "\(folder)/\($0)" }
        .first { access($0, F_OK) == 0 }
    }
    func open(_ names: [String]) throws(DataError) -> NumericArray? {
      guard let path = first(names) else { return nil }
      return try NumericArray(opening: path)
    }
    guard let train = try open(trainNames) else {
      if let found = try openCIFAR(folder) { return found }
      if let found = try openImages(folder) { return found }
      throw .folderWithoutData(path: folder, expected: trainNames)
    }
    return DataSource(
      train: train, test: try open(testNames), knownScale: nil,
      besides: BesideLabels(
        train: first(trainLabelNames).map { .file($0, classes: classes) },
        test: first(testLabelNames).map { .file($0, classes: classes) }))
  }

  private static func openCIFAR(_ folder: String) throws(DataError) -> DataSource? {
    let all: [String] = CIFARBinary.trainNames.map { "\(folder)/\($0)" }
    let names = all.filter { access($0, F_OK) == 0 }
    if names.isEmpty { return nil }
    let classes = try CIFARBinary.classes(in: folder)
    let train = try CIFARBinary(names, classes: classes)
    let testPath = "\(folder)/\(CIFARBinary.testName)"
    let test = access(testPath, F_OK) == 0 ? try CIFARBinary([testPath], classes: classes) : nil
    return DataSource(
      train: try train.array(), test: try test?.array(), knownScale: nil,
      besides: BesideLabels(train: .known(train.labels), test: test.map { .known($0.labels) }))
  }

  // Images in the folder, in folders of their classes, or either in train and test.
  private static func openImages(_ folder: String) throws(DataError) -> DataSource? {
    guard let train = ImageFolder("\(folder)/train") ?? ImageFolder(folder) else { return nil }
    let test = ImageFolder("\(folder)/train") == nil ? nil : ImageFolder("\(folder)/test")
    return DataSource(
      train: try train.array(), test: try test?.array(), knownScale: nil,
      besides: BesideLabels(
        train: train.labels.map { .known($0) }, test: test?.labels.map { .known($0) }))
  }

  private static func openArchive(_ path: String) throws(DataError) -> DataSource {
    try openParts(path, Set(try NPZArchive(path: path).members.map(\.name)))
  }

  // A file of several arrays with the names that Keras' data sets have holds both parts, and their labels.
  private static func openParts(
    _ path: String, _ names: Set<String>
  ) throws(DataError) -> DataSource {
    func part(_ name: String) -> String? { names.contains(name) ? "\(path):\(name)" : nil }
    guard let train = part("x_train") else {
      let labels = ["y", "label", "labels"].first { names.contains($0) }
      return DataSource(
        train: try NumericArray(opening: path), test: nil, knownScale: nil,
        besides: BesideLabels(train: labels.flatMap(part).map { .file($0) }))
    }
    return DataSource(
      train: try NumericArray(opening: train),
      test: try part("x_test").map { path throws(DataError) in try NumericArray(opening: path) },
      knownScale: nil,
      besides: BesideLabels(
        train: part("y_train").map { .file($0) }, test: part("y_test").map { .file($0) }))
  }

  // Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak; CC BY 4.0): 1,797 images of
  // 8×8 with values from 0 to 16, as a deflated IDX file.
  private static func builtInDigits() throws(DataError) -> NumericArray {
    try NumericArray(
      name: "digits", contents: inflate(PackageResources.digits_zlib, count: 16 + 1797 * 64))
  }

  // What each of them shows, from 0 to 9.
  private static func builtInLabels(
    _ name: String, exampleCount: Int
  ) throws(DataError) -> Labels? {
    if name != "digits" || access(name, F_OK) == 0 { return nil }
    return try Labels(
      NumericArray(
        name: "digits",
        contents: inflate(PackageResources.digits_labels_zlib, count: 8 + 1797), isColumn: true),
      exampleCount: exampleCount)
  }

  private static func inflate(_ deflated: [UInt8], count: Int) -> [UInt8] {
    var inflated = UInt(count)
    var contents = [UInt8](repeating: 0, count: count)
    let status = uncompress(&contents, &inflated, deflated, UInt(deflated.count))
    precondition(
      status == Z_OK && Int(inflated) == count, "The built-in digits are damaged")
    return contents
  }
}
