internal import Digests
internal import TensorKernels

/// The class of each example of an array, by its number from 0 on.
public struct Labels: Sendable, Equatable {
  /// Where they came from, for messages.
  public let path: String
  /// One for each example.
  public let values: [UInt32]
  /// What the classes are called; empty where they are numbers by themselves.
  public let names: [String]

  /// The most classes that are told apart.
  public static var mostClasses: Int { 65_536 }

  /// Reads labels: whole numbers of any array, or texts of a table's column or of HDF5.
  ///
  /// - Shape: `[exampleCount]`, or `[exampleCount, 1]`.
  /// - Throws: ``DataError`` with what is wrong.
  init(opening path: String, exampleCount: Int) throws(DataError) {
    try self.init(
      NumericArray(columnAt: path, exampleCount: exampleCount), exampleCount: exampleCount)
  }

  /// Labels that are known already.
  init(path: String, values: [UInt32], names: [String] = []) {
    self.path = path
    self.values = values
    self.names = names
  }

  init(_ array: NumericArray, exampleCount: Int) throws(DataError) {
    path = array.path
    try array.load()
    if array.width != 1 || array.exampleCount != exampleCount {
      throw .otherLabelCount(path: path, shape: array.shape, exampleCount: exampleCount)
    }
    var names = array.names.classes[0] ?? []
    let value = FloatBuffer(count: 1)
    var hasMissing = false
    var values: [UInt32] = []
    values.reserveCapacity(exampleCount)
    for example in 0..<exampleCount {
      try array.read(example: example, scale: 1, into: value.mutableElements)
      // As tables and AnnData say that a text is missing.
      if !names.isEmpty && (value.base[0].isNaN || value.base[0] == -1) {
        values.append(UInt32(names.count))
        hasMissing = true
        continue
      }
      guard let label = UInt32(exactly: value.base[0]), label < Self.mostClasses else {
        throw .notALabel(path: path, example: example, value: value.base[0])
      }
      values.append(label)
    }
    if hasMissing { names.append(Self.missingName) }
    self.values = values
    self.names = names
  }

  // The class of examples that have none, after all others.
  private static let missingName = "missing"

  /// The classes there are, if they are numbered from 0 without a gap at the end.
  public var classCount: Int { max(Int(values.max() ?? 0) + 1, names.count) }

  /// What a class is called, or its number where it has no name.
  public func name(_ label: UInt32) -> String { DataNames.name(Int(label), of: names) }

  /// The same classes by the numbers that they have elsewhere; numbers are what they are.
  ///
  /// - Parameter known: The names of classes 0, 1 …; empty where those are numbers alone.
  /// - Returns: The labels.
  /// - Throws: ``DataError/unknownClass(path:name:known:)`` for an example of another class, and
  ///   ``DataError/namedClasses(path:name:)`` where names meet numbers.
  public func numbered(as known: [String]) throws(DataError) -> Labels {
    if names.isEmpty || names == known { return self }
    if known.isEmpty { throw .namedClasses(path: path, name: names[0]) }
    let places = Dictionary(known.enumerated().map { ($1, UInt32($0)) }) { first, _ in first }
    var numbers: [UInt32] = []
    numbers.reserveCapacity(values.count)
    for value in values {
      guard let number = places[name(value)] else {
        throw .unknownClass(path: path, name: name(value), known: known)
      }
      numbers.append(number)
    }
    return Labels(path: path, values: numbers, names: known)
  }

  /// SHA-256 of all labels.
  public var digest: String {
    values.withUnsafeBytes { SHA256.hexadecimal(SHA256.digest($0)) }
  }

  /// Fails if an example has a class that there is not.
  ///
  /// - Throws: ``DataError/otherClass(path:example:label:classes:)``.
  public func check(classes: Int) throws(DataError) {
    if let example = values.firstIndex(where: { $0 >= classes }) {
      throw .otherClass(path: path, example: example, label: values[example], classes: classes)
    }
  }
}

/// What labels are wanted beside the data.
public struct LabelRequest: Sendable, Equatable {
  /// A file of the training examples' labels; nil for those that lie beside the data.
  public let train: String?
  /// A file of the test examples' labels.
  public let test: String?
  /// The only part of the data whose labels are wanted; nil for all.
  public let only: Split?

  /// Files, and what is wanted.
  public init(train: String?, test: String?, only: Split? = nil) {
    self.train = train
    self.test = test
    self.only = only
  }
}
