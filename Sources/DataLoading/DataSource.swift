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

  /// Names that are known without a path.
  public static let knownNames = ["digits", "fashion-mnist"]

  private static let fashionFolder = "/usr/share/datasets/fashion-mnist"

  /// Finds and opens the data; arrays that cannot be mapped have yet to be loaded.
  ///
  /// - Parameters:
  ///   - name: A file (NPY or IDX, gzipped or not), a folder (MNIST's four files, or `train.npy`
  ///     and perhaps `test.npy`), or one of ``knownNames``. A file or folder of that name in the
  ///     current folder comes first.
  ///   - testPath: A file of test examples, or nil.
  /// - Throws: ``DataError`` with what is wrong.
  public init(name: String, testPath: String? = nil) throws(DataError) {
    let given: NumericArray? =
      if let testPath { try NumericArray(opening: testPath) } else { nil }
    let found = try Self.find(name)
    train = found.train
    test = given ?? found.test
    knownScale = found.knownScale
    if let test, Array(test.shape[1...]) != Array(train.shape[1...]) {
      throw .differentWidths(train: Array(train.shape[1...]), test: Array(test.shape[1...]))
    }
  }

  private init(train: NumericArray, test: NumericArray?, knownScale: Float?) {
    self.train = train
    self.test = test
    self.knownScale = knownScale
  }

  private static func find(_ name: String) throws(DataError) -> DataSource {
    var status = stat()
    if stat(name, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { return try openFolder(name) }
      return DataSource(train: try NumericArray(opening: name), test: nil, knownScale: nil)
    }
    switch name {
    case "digits":
      return DataSource(train: try builtInDigits(), test: nil, knownScale: 16)
    case "fashion-mnist":
      if access(fashionFolder, R_OK) != 0 {
        throw .notInstalled(
          name: name, package: "dataset-fashion-mnist", folder: fashionFolder)
      }
      return try openFolder(fashionFolder)
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

  private static func openFolder(_ folder: String) throws(DataError) -> DataSource {
    func open(_ names: [String]) throws(DataError) -> NumericArray? {
      for name in names.flatMap({ [$0, $0 + ".gz"] }) {
        let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
        if access(path, F_OK) == 0 { return try NumericArray(opening: path) }
      }
      return nil
    }
    guard let train = try open(trainNames) else {
      throw .folderWithoutData(path: folder, expected: trainNames)
    }
    return DataSource(train: train, test: try open(testNames), knownScale: nil)
  }

  // Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak; CC BY 4.0): 1,797 images of
  // 8×8 with values from 0 to 16, as a deflated IDX file.
  private static func builtInDigits() throws(DataError) -> NumericArray {
    let deflated = PackageResources.digits_zlib
    var count = UInt(16 + 1797 * 64)
    var contents = [UInt8](repeating: 0, count: Int(count))
    let status = uncompress(&contents, &count, deflated, UInt(deflated.count))
    precondition(
      status == Z_OK && Int(count) == contents.count, "The built-in digits are damaged")
    return try NumericArray(name: "digits", contents: contents)
  }
}
