/// What can be wrong with data that come from outside.
///
/// Cases hold facts; all words are in ``description``.
public enum DataError: Error, Equatable, CustomStringConvertible {
  /// Nothing exists there.
  case missing(path: String)
  /// The system refused to open or read.
  case unreadable(path: String, reason: String)
  /// The system gives no memory for what the file holds.
  case outOfMemory(path: String, byteCount: Int)
  /// A name that is neither a file, a folder nor a known data set.
  case unknownName(String, known: [String])
  /// A known name whose files are not installed.
  case notInstalled(name: String, package: String, folder: String)
  /// A folder without any of the file names that are looked for.
  case folderWithoutData(path: String, expected: [String])
  /// Images in a folder, and in folders of it.
  case mixedFolder(path: String, folder: String)
  /// A file of no known format.
  case unknownFormat(path: String, firstBytes: [UInt8])
  /// A header that does not follow its format.
  case malformedHeader(path: String, reason: String)
  /// A header whose extents multiply beyond what can be counted.
  case extentsOverflow(path: String, shape: [UInt64])
  /// The file's size and the header's promise differ.
  case wrongSize(path: String, actual: Int, promised: Int)
  /// A gzip stream that ends early or is damaged.
  case damagedGzip(path: String, reason: String)
  /// A ZIP archive that is none, or damaged.
  case damagedArchive(path: String, reason: String)
  /// An archive without the array that is asked for, or with several.
  case notInArchive(path: String, name: String?, members: [String])
  /// An array that was compressed with what cannot be undone here.
  case unknownFilter(path: String, filter: String)
  /// A sparse matrix whose columns lie together, not its rows.
  case sparseByColumn(path: String)
  /// An image that cannot be decoded.
  case damagedImage(path: String, reason: String)
  /// An image of another size than the first of its folder.
  case otherImageSize(path: String, size: String, expected: String)
  /// A column of a table that there is not.
  case noSuchColumn(path: String, name: String, columns: [String], count: Int)
  /// More or fewer columns than a model reads, without names to find those by.
  case unnamedColumns(path: String, count: Int, known: [String])
  /// Columns that cannot be left out by name or number.
  case noColumnsToSkip(path: String)
  /// A column of so many different texts that they are no classes.
  case tooManyTexts(path: String, column: String)
  /// A text that is none of a column's.
  case unknownText(path: String, line: Int, column: String, text: String, known: [String])
  /// A column of texts where numbers are needed.
  case textColumn(path: String, column: String, texts: [String])
  /// Columns that are not those of a model.
  case otherColumns(path: String, place: Int, found: String, expected: String)
  /// A field of a table that is text.
  case notANumber(path: String, line: Int, column: String, text: String)
  /// A line of a table that has more fields than the first, or fewer.
  case otherFieldCount(path: String, line: Int, count: Int, expected: Int)
  /// An element type that is not a number of a supported kind.
  case unsupportedType(path: String, type: String)
  /// A Python object array: a pickle, which is never executed.
  case objectArray(path: String)
  /// Fewer than two axes.
  case notExamples(path: String, shape: [Int])
  /// No example, or no value in an example.
  case empty(path: String, shape: [Int])
  /// NaN or an infinity.
  case nonFinite(path: String, example: Int, position: Int)
  /// Values that the likelihood does not allow.
  case unsuitable(
    path: String, values: FoundValues, needs: ValueNeed, reason: String, isScored: Bool)
  /// Values in a column of a table that its distribution does not have.
  case unsuitableColumn(path: String, column: String, found: String, needs: String)
  /// Train and test examples of different widths.
  case differentWidths(train: [Int], test: [Int])
  /// Examples that do not fit a model.
  case otherWidth(path: String, width: Int, expected: Int)
  /// Data that lie without labels.
  case noLabels(data: String, flag: String)
  /// Labels of test examples that there are not.
  case labelsWithoutExamples(path: String)
  /// As many labels as examples are needed.
  case otherLabelCount(path: String, shape: [Int], exampleCount: Int)
  /// Something else than the number of a class.
  case notALabel(path: String, example: Int, value: Float)
  /// A class that there is not.
  case otherClass(path: String, example: Int, label: UInt32, classes: Int)
  /// A class of another name than those that there are.
  case unknownClass(path: String, name: String, known: [String])
  /// Classes by name where a model knows numbers.
  case namedClasses(path: String, name: String)
  /// A column whose texts are others than those that there are.
  case otherClasses(path: String, column: String, expected: [String])
  /// More examples than can be numbered.
  case tooManyExamples(path: String, count: Int)
  /// A held-out fraction that leaves one side empty.
  case emptySplit(fraction: Double, count: Int)

  private static let inspection = "; vae-dist inspect says what fits such data"
  private static let formats =
    "NPY or IDX, gzipped or not, NPZ (.npz), HDF5, CSV (.csv) or TSV (.tsv)"

  /// One sentence: what, with the value; what would be right; what to do.
  public var description: String {
    switch self {
    case .missing(let path):
      "'\(path)' does not exist"
    case .unreadable(let path, let reason):
      "'\(path)' cannot be read: \(reason)"
    case .outOfMemory(let path, let byteCount):
      "'\(path)' holds \(Self.grouped(byteCount)) bytes, for which there is no memory; an NPY file that is"
        + " not compressed is mapped, and needs none"
    case .unknownName(let name, let known):
      "'\(name)' is neither a file, a folder nor a known data set; known are "
        + known.joined(separator: ", ")
    case .notInstalled(let name, let package, let folder):
      "Data set '\(name)' is not in '\(folder)'; install it with: apt-get install \(package)"
    case .folderWithoutData(let path, let expected):
      "Folder '\(path)' holds no PNG or JPEG images, and none of \(expected.joined(separator: ", ")), gzipped or not"
    case .mixedFolder(let path, let folder):
      "Folder '\(path)' holds images, and so does '\(folder)' in it; put all into folders of their classes, or none"
    case .unknownFormat(let path, []):
      "'\(path)' is an empty file; data are \(Self.formats)"
    case .unknownFormat(let path, let bytes):
      "'\(path)' starts with the bytes \(Self.hexadecimal(bytes)); data are \(Self.formats)"
    case .malformedHeader(let path, let reason):
      "'\(path)' has a malformed header: \(reason)"
    case .extentsOverflow(let path, let shape):
      "'\(path)' promises the shape \(shape), more than can be addressed; it may be damaged"
    case .wrongSize(let path, let actual, let promised):
      "'\(path)' is \(Self.grouped(actual)) bytes, but its header promises"
        + " \(Self.grouped(promised)); it may be \(actual < promised ? "cut short" : "damaged")"
    case .damagedGzip(let path, let reason):
      "'\(path)' is a damaged gzip file: \(reason)"
    case .damagedArchive(let path, let reason):
      "'\(path)' is damaged: \(reason)"
    case .notInArchive(let path, let name, let members):
      "'\(path)' holds \(members.isEmpty ? "no arrays" : members.prefix(20).joined(separator: ", "))"
        + (members.count > 20 ? " and \(members.count - 20) more" : "")
        + (name.map { ", and no '\($0)'" }
          ?? (members.isEmpty
            ? "" : "; name the one to read, for example \(path):\(members[0].prefix { $0 != " " })"))
    case .unknownFilter(let path, let filter):
      "'\(path)' is compressed with '\(filter)', which libhdf5 lacks here; write it with gzip or not compressed, or"
        + " name the folder of the filter's plugin in HDF5_PLUGIN_PATH"
    case .sparseByColumn(let path):
      "'\(path)' is a sparse matrix by columns (CSC), of which no row can be read by itself; store it by rows, in"
        + " Python: adata.X = adata.X.tocsr()"
    case .damagedImage(let path, let reason):
      "'\(path)' cannot be read as an image: \(reason)"
    case .otherImageSize(let path, let size, let expected):
      "'\(path)' has \(size) pixels, and the images before it \(expected); bring all to one size first"
    case .noSuchColumn(let path, let name, let columns, let count):
      "'\(path)' has no column '\(name)'; "
        + (columns.isEmpty
          ? "it names none of its \(count) columns, which are numbered from 1"
          : "its columns are \(Self.some(columns, of: 20))")
    case .unnamedColumns(let path, let count, let known):
      "'\(path)' has \(count) columns and no names in its first line, where the model reads \(known.count):"
        + " \(Self.some(known, of: 20)); give it names, or those columns in that order"
    case .noColumnsToSkip(let path):
      "--skip-columns is for tables of text, and '\(path)' is no .csv, .tsv or .tab file"
    case .tooManyTexts(let path, let column):
      "'\(path)' has more than \(Self.grouped(Labels.mostClasses)) different texts in column \(column), too many for"
        + " classes; --skip-columns leaves it out"
    case .unknownText(let path, let line, let column, let text, let known):
      "'\(path)' has '\(text)' in column \(column) of line \(line), which is none of the classes that there are:"
        + " \(Self.some(known, of: 10))"
    case .textColumn(let path, let column, let texts):
      "'\(path)' has texts (\(Self.some(texts, of: 3))) in column \(column); --skip-columns leaves it out, and"
        + " --likelihood table takes it as categorical \(max(texts.count, 2))" + Self.inspection
    case .otherColumns(let path, let place, let found, let expected):
      "'\(path)' has '\(found)' as column \(place + 1), where the training data have '\(expected)'; columns of a matrix must be in the order of training"
    case .notANumber(let path, let line, let column, let text):
      "'\(path)' has '\(text)' in column \(column) of line \(line), where numbers are needed; a column is of numbers or"
        + " of texts, by its first value, and empty where one is missing"
    case .otherFieldCount(let path, let line, let count, let expected):
      "'\(path)' has \(count) fields in line \(line), and \(expected) in the first"
    case .unsupportedType(let path, let type):
      "'\(path)' has elements of type '\(type)'; supported are integers of 8 to 64 bits, booleans"
        + " and floating point of 16 to 64 bits"
    case .objectArray(let path):
      "'\(path)' holds Python objects, which are never loaded;"
        + " save numbers, for example x.astype('float32')"
    case .notExamples(let path, let shape):
      "'\(path)' has the shape \(shape); data need examples along the first axis and values along"
        + " the others"
    case .empty(let path, let shape):
      "'\(path)' is empty: its shape is \(shape)"
    case .nonFinite(let path, let example, let position):
      "'\(path)' holds NaN, infinity or a number beyond 32-bit floating point, first at value \(position) of example \(example);"
        + " remove or replace such values (NaN alone is passed over by --likelihood table)"
    case .unsuitable(let path, let values, let needs, let reason, let isScored):
      "'\(path)' has \(needs.words(for: values)), but "
        + (isScored ? "the model was trained with \(reason), which" : reason) + " needs \(needs); "
        + (isScored
          ? "give data like those that it was trained on, or their --scale"
          : needs.advice(for: values, flag: reason) + Self.inspection)
    case .unsuitableColumn(let path, let column, let found, let needs):
      "'\(path)' has \(found) in column \(column), which needs \(needs); --columns says what each"
        + " column is"
    case .differentWidths(let train, let test):
      "Training examples have the shape \(train) and test examples \(test); they must be alike"
    case .otherWidth(let path, let width, let expected):
      "'\(path)' has examples of \(width) values, but the model was trained on examples of"
        + " \(expected)"
    case .noLabels(let data, let flag):
      "There are no labels beside '\(data)'; give a file of them, or a column (FILE:column), with \(flag)"
    case .labelsWithoutExamples(let path):
      "--test-labels is '\(path)', but there are no test examples; held-out ones keep their labels in --labels,"
        + " others come with --test-data"
    case .otherLabelCount(let path, let shape, let exampleCount):
      "'\(path)' has the shape \(shape); labels are one number for each of the"
        + " \(Self.grouped(exampleCount)) examples"
    case .notALabel(let path, let example, let value):
      "'\(path)' has \(value) for example \(example); labels are whole numbers from 0 to"
        + " \(Labels.mostClasses - 1), or a column of texts: FILE:column"
    case .otherClass(let path, let example, let label, let classes):
      "'\(path)' has class \(label) for example \(example), but the \(classes) classes are numbered from"
        + " 0 to \(classes - 1); --classes sets how many there are when a run begins"
    case .unknownClass(let path, let name, let known):
      "'\(path)' has the class '\(name)', which is none of those that there are: \(Self.some(known, of: 10))"
    case .namedClasses(let path, let name):
      "'\(path)' has classes by name, as '\(name)', where those before it are numbers; give them as numbers, too"
    case .otherClasses(let path, let column, let expected):
      "'\(path)' has other texts in column \(column) than those that there are: \(Self.some(expected, of: 10))"
    case .tooManyExamples(let path, let count):
      "'\(path)' has \(Self.grouped(count)) examples; at most 4,294,967,295 can be numbered"
    case .emptySplit(let fraction, let count):
      "--test-fraction \(fraction) of \(Self.grouped(count)) examples leaves no example on one side"
    }
  }

  /// The first of some names, and how many more there are.
  static func some(_ names: [String], of most: Int) -> String {
    names.prefix(most).joined(separator: ", ")
      + (names.count > most ? " and \(grouped(names.count - most)) more" : "")
  }

  /// 47040016 as `47,040,016`.
  static func grouped(_ number: Int) -> String {
    var digits = String(number.magnitude)
    var groups: [Substring] = []
    while digits.count > 3 {
      groups.insert(digits.suffix(3), at: 0)
      digits.removeLast(3)
    }
    return (number < 0 ? "-" : "") + ([digits[...]] + groups).joined(separator: ",")
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }
}
