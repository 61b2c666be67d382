public import DataLoading
internal import TensorKernels

/// What `vae-dist inspect` finds in data.
public struct DataInspection: Codable, Sendable {
  /// A value of each example, of data whose columns are different things.
  public struct Column: Codable, Sendable {
    /// Its name, or its number from 1 on.
    public let name: String
    /// The smallest number; nil of texts, or where there is none.
    public let minimum: Double?
    /// The largest number.
    public let maximum: Double?
    /// How many values are missing.
    public let missing: Int
    /// How many different texts there are; nil of numbers.
    public let textCount: Int?
    /// The first of them in order.
    public let texts: [String]?

    enum CodingKeys: String, CodingKey {
      case name
      case minimum
      case maximum
      case missing
      case textCount = "text_count"
      case texts
    }

    private static let mostTexts = 10

    init(_ place: Int, _ array: NumericArray, _ column: TableScan.Column) {
      let names = array.names.columns
      name =
        names.indices.contains(place)
        ? names[place]
        : "\(array.columnNumbers.indices.contains(place) ? array.columnNumbers[place] : place + 1)"
      let classes = array.names.classes[place]
      let hasNumbers = classes == nil && column.count > 0
      minimum = hasNumbers ? column.minimum : nil
      maximum = hasNumbers ? column.maximum : nil
      missing = array.exampleCount - Int(column.count + column.infinityCount)
      textCount = classes?.count
      texts = classes.map { Swift.Array($0.prefix(Self.mostTexts)) }
    }
  }

  /// One array of the data.
  public struct Array: Codable, Sendable {
    /// Where it came from.
    public let path: String
    /// `train` or `test`.
    public let split: String
    /// The file's number format.
    public let type: String
    /// All extents; the first counts examples.
    public let shape: [Int]
    /// The smallest number, in the file's units; nil if there is none.
    public let minimum: Double?
    /// The largest number, in the file's units; nil if there is none.
    public let maximum: Double?
    /// The first example that holds NaN or infinity.
    public let firstNonFiniteExample: Int?
    /// Values that are NaN.
    public let missingValues: Int
    /// Values that are infinite, or beyond 32-bit floating point.
    public let infiniteValues: Int
    /// Examples that are the same as one before.
    public let duplicates: Int
    /// Values of an example that are the same in all examples.
    public let constantColumns: Int
    /// How the elements come to be at hand.
    public let residence: NumericArray.Residence
    /// SHA-256 of shape, format and elements.
    public let digest: String
    /// What of a table of text was taken for names; nil where that goes without saying.
    public let note: String?
    /// The columns one by one; nil where examples are images, or have too many values to be looked at.
    public let columns: [Column]?
    /// What the classes of the labels beside the data are called, or their numbers; nil where there are no labels.
    public let classes: [String]?

    enum CodingKeys: String, CodingKey {
      case path
      case split
      case type
      case shape
      case minimum
      case maximum
      case firstNonFiniteExample = "first_non_finite_example"
      case missingValues = "missing_values"
      case infiniteValues = "infinite_values"
      case duplicates
      case constantColumns = "constant_columns"
      case residence
      case digest
      case note
      case columns
      case classes
    }

    init(
      _ array: NumericArray, _ split: Split, _ columns: [TableScan.Column], _ scan: DataScan,
      _ labels: Labels?
    ) throws {
      path = array.path
      self.split = split.rawValue
      type = array.type.rawValue
      shape = array.shape
      let numbers = columns.indices.filter {
        array.names.classes[$0] == nil && columns[$0].count > 0
      }
      minimum = numbers.map { columns[$0].minimum }.min()
      maximum = numbers.map { columns[$0].maximum }.max()
      firstNonFiniteExample = scan.firstNonFinite.map { $0 / array.width }
      let count = Double(array.exampleCount)
      infiniteValues = Int(columns.reduce(0) { $0 + $1.infinityCount })
      missingValues = Int(columns.reduce(0) { $0 + count - $1.count - $1.infinityCount })
      duplicates = try DataInspection.duplicateCount(array)
      constantColumns = columns.count { $0.minimum == $0.maximum && $0.count == count }
      residence = array.residence
      digest = scan.digest(of: array)
      note = array.note
      self.columns =
        array.shape.count == 2 && array.width <= DataAdvice.mostTableColumns
        ? columns.enumerated().map { Column($0, array, $1) } : nil
      classes = labels.map { labels in (0..<labels.classCount).map { labels.name(UInt32($0)) } }
    }
  }

  /// Which likelihood fits the training examples.
  public struct Advice: Codable, Sendable {
    /// Its name.
    public let likelihood: String
    /// Why.
    public let reason: String
    /// What to type.
    public let command: String
  }

  /// What was named.
  public let data: String
  /// Training examples, then test examples if there are any.
  public let arrays: [Array]
  /// Something that `--labels` may name.
  public struct Annotation: Codable, Sendable {
    /// What to give to `--labels`.
    public let name: String
    /// What its classes are called.
    public let classes: [String]
  }

  /// What `--labels` may name, of AnnData files.
  public let annotations: [Annotation]
  /// How to start a run.
  public let advice: Advice

  /// Opens and scans data.
  ///
  /// - Parameters:
  ///   - name: What `--data` would name.
  ///   - progress: Told how many parts of how many have been looked at.
  /// - Throws: `DataError` if it is missing or damaged.
  public init(name: String, progress: (Int, Int) -> Void = { _, _ in }) throws {
    let source = try DataSource(name: name)
    data = name
    var advice: DataAdvice?
    arrays = try [(Split.train, source.train), (.test, source.test)].compactMap { split, array in
      guard let array else { return nil }
      try array.load()
      let pieceCount = DataScan.pieceCount(of: array)
      var scans: [DataScan] = []
      var tables: [TableScan] = []
      for piece in 0..<pieceCount {
        progress(piece, pieceCount)
        scans.append(try DataScan(array, pieces: piece..<piece + 1))
        tables.append(try TableScan(array, pieces: piece..<piece + 1))
      }
      progress(pieceCount, pieceCount)
      let scan = DataScan(joining: scans)
      let columns = TableScan(joining: tables).columns
      if split == .train {
        advice = DataAdvice(array, columns, isGrey: source.knownScale != nil)
      }
      // Labels that are damaged are said to be so by whoever wants them.
      let labels = try? DataSource.labelsIfAny(of: array, beside: name, split: split, given: nil)
      return try Array(array, split, columns, scan, labels)
    }
    annotations = DataSource.annotations(of: name).map {
      Annotation(name: $0.name, classes: $0.classes)
    }
    let words = ["vae-dist", "train", "--data", name] + (advice?.flags ?? [])
    self.advice = Advice(
      likelihood: advice?.likelihood.rawValue ?? "", reason: advice?.reason ?? "",
      command: words.map(shellQuoted).joined(separator: " "))
  }

  // By a hash of 64 bits of each example: one pair in 10¹⁹ / examples² is mistaken for the same.
  private static func duplicateCount(_ array: NumericArray) throws -> Int {
    let row = FloatBuffer(count: array.width)
    var seen: Set<Int> = []
    seen.reserveCapacity(array.exampleCount)
    for example in 0..<array.exampleCount {
      try array.read(example: example, scale: 1, into: row.mutableElements)
      var hasher = Hasher()
      hasher.combine(bytes: UnsafeRawBufferPointer(row.elements))
      seen.insert(hasher.finalize())
    }
    return array.exampleCount - seen.count
  }
}
