public import Checkpointing

/// Part of every row of a result, under one name.
public struct ResultColumn: Sendable, Equatable {
  /// How its numbers are kept.
  public enum Kind: Sendable, Equatable {
    /// Single precision.
    case float32
    /// Double precision.
    case float64
    /// Whole numbers of 64 bits.
    case int64
    /// Whole numbers from 0 to 255.
    case uint8
    /// Texts of so many Unicode scalars at most.
    case text(length: Int)

    /// NumPy's name.
    var description: String {
      switch self {
      case .float32: "<f4"
      case .float64: "<f8"
      case .int64: "<i8"
      case .uint8: "|u1"
      case .text(let length): "<U\(length)"
      }
    }
  }

  /// Its name: of an array, and what the names of its numbers in a table begin with.
  public let name: String
  /// How its numbers are kept.
  public let kind: Kind
  /// The extents of a row's numbers; empty for one number.
  public let shape: [Int]
  /// What tables call the numbers of a row; empty for their places behind the column's name.
  public var numberNames: [String] = []
  /// What tables write for whole numbers from 0 on, by the place of a number.
  public var classes: [Int: [String]] = [:]

  /// A column of one number, or of several.
  public init(_ name: String, _ kind: Kind, shape: [Int] = []) {
    self.name = name
    self.kind = kind
    self.shape = shape
  }

  /// A column of texts that are among these.
  public init(_ name: String, textsAmong names: [String]) {
    self.init(name, .text(length: max(names.map(\.unicodeScalars.count).max() ?? 1, 1)))
  }

  /// Numbers of a row.
  public var width: Int { shape.reduce(1, *) }

  // In a table each number has a column of its own.
  var tableNames: [String] {
    if shape.isEmpty { return [name] }
    return numberNames.count == width ? numberNames : (0..<width).map { "\(name)_\($0)" }
  }
}

/// The numbers of some rows of a column.
public enum ResultValues: Sendable {
  /// Single precision.
  case float32([Float])
  /// Double precision.
  case float64([Double])
  /// Whole numbers.
  case int64([Int64])
  /// Whole numbers from 0 to 255.
  case uint8([UInt8])
  /// Texts.
  case text([String])

  var count: Int {
    switch self {
    case .text(let values): values.count
    case .float32(let values): values.count
    case .float64(let values): values.count
    case .int64(let values): values.count
    case .uint8(let values): values.count
    }
  }

  /// The bytes as an array of this kind has them.
  func withBytes<Failure: Error>(
    of kind: ResultColumn.Kind, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    switch self {
    case .text(let values):
      guard case .text(let length) = kind else {
        preconditionFailure("Texts cannot be written as \(kind)")
      }
      // Four bytes a scalar, and zeros behind the last one.
      let scalars = values.flatMap { text in
        let own = text.unicodeScalars.prefix(length).map(\.value.littleEndian)
        return own + [UInt32](repeating: 0, count: length - own.count)
      }
      try Self.bytes(of: scalars, body)
    case .float32(let values): try Self.bytes(of: values, body)
    case .float64(let values): try Self.bytes(of: values, body)
    case .int64(let values): try Self.bytes(of: values, body)
    case .uint8(let values): try Self.bytes(of: values, body)
    }
  }

  private static func bytes<Value, Failure: Error>(
    of values: [Value], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    try values.withUnsafeBufferPointer { buffer throws(Failure) in
      try body(UnsafeRawBufferPointer(buffer))
    }
  }

  /// A number as text that reads back as the same number.
  func text(_ index: Int) -> String {
    switch self {
    case .float32(let values): Self.text(Double(values[index])) ?? "\(values[index])"
    case .float64(let values): Self.text(values[index]) ?? "\(values[index])"
    case .int64(let values): "\(values[index])"
    case .uint8(let values): "\(values[index])"
    case .text(let values): values[index]
    }
  }

  // Whole numbers without a point, as programs that read tables tell them from others; nil of all others.
  private static func text(_ value: Double) -> String? {
    value == value.rounded() && abs(value) < 1e15 && !(value == 0 && value.sign == .minus)
      ? "\(Int(value))" : nil
  }

  /// A number as what it stands for; nil where it is none of the classes.
  func name(_ index: Int, among classes: [String]) -> String? {
    guard case .float32(let values) = self, let number = Int(exactly: values[index]) else {
      return nil
    }
    return classes.indices.contains(number) ? classes[number] : nil
  }
}

/// A file that rows are added to; it comes into its place whole, or not at all.
public protocol ResultFile: AnyObject {
  /// Adds rows.
  ///
  /// - Parameter values: For each column the numbers of the same rows.
  /// - Throws: `CheckpointError.unwritable`.
  func append(_ values: [ResultValues]) throws(CheckpointError)
  /// Puts the file in its place.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  func finish() throws(CheckpointError)
}

/// What a result can be written as.
public enum ResultFormat: String, Sendable, CaseIterable {
  /// An array, the first column of several numbers; memory-mappable.
  case npy
  /// An array for each column.
  case npz
  /// A table with a header.
  case csv
  /// The same, between tabulators.
  case tsv

  /// By the ending of a path; nil for another.
  public init?(path: String) {
    guard let dot = path.lastIndex(of: ".") else { return nil }
    self.init(rawValue: path[path.index(after: dot)...].lowercased())
  }

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - path: Where it will be.
  ///   - columns: What a row holds.
  ///   - rowCount: How many rows will be added.
  /// - Returns: The file, which is there once it is finished.
  /// - Throws: `CheckpointError.unwritable`.
  public func begin(
    _ path: String, columns: [ResultColumn], rowCount: Int
  ) throws(CheckpointError) -> any ResultFile {
    try DurableFile.makePlace(for: path)
    switch self {
    case .npy: return try NPYFile(path, columns: columns, rowCount: rowCount)
    case .npz: return try NPZFile(path, columns: columns, rowCount: rowCount)
    case .csv: return try TextTable(path, columns: columns, separator: ",")
    case .tsv: return try TextTable(path, columns: columns, separator: "\t")
    }
  }
}

extension DurableFile {
  /// Makes the folder that a file will be in; what is there already must be a file.
  static func makePlace(for path: String) throws(CheckpointError) {
    if exists(path) && !isRegularFile(path) {
      throw .unwritable(path: path, reason: "it is there, and no file")
    }
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      try makeFolder(String(path[..<slash]))
    }
  }
}
