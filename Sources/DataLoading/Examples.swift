public import TensorKernels

/// Which part of the data a set of examples is.
///
/// Raw values key random numbers: never change them.
public enum Split: String, Sendable, CaseIterable {
  case train
  case test

  var code: UInt32 { self == .train ? 0 : 1 }
}

/// A set of examples, numbered from 0, scaled and ready to be read.
public struct Examples: Sendable {
  /// The array that holds them.
  public let array: NumericArray
  /// Which part of the data they are.
  public let split: Split
  /// What the file's values are divided by.
  public let scale: Float
  /// The rows of the array that belong to the set, in order; nil for all.
  public let rows: [UInt32]?
  private let labels: Labels?

  /// All rows of an array, or some.
  ///
  /// - Parameters:
  ///   - array: The array.
  ///   - split: Which part of the data it is.
  ///   - rows: The rows that belong to the set, or nil for all.
  ///   - scale: What the file's values are divided by.
  ///   - labels: The class of each row of the array; nil where they are not asked for.
  public init(
    _ array: NumericArray, split: Split, rows: [UInt32]? = nil, scale: Float,
    labels: Labels? = nil
  ) {
    precondition(
      labels == nil || labels?.values.count == array.exampleCount,
      "\(labels?.values.count ?? 0) labels do not fit \(array.shape)")
    self.labels = labels
    self.array = array
    self.split = split
    self.rows = rows
    self.scale = scale
  }

  /// How many examples.
  public var count: Int { rows?.count ?? array.exampleCount }
  /// Values of an example.
  public var width: Int { array.width }
  /// Whether their classes are known.
  public var hasLabels: Bool { labels != nil }

  /// The row of the file that an example is.
  public func row(of example: UInt32) -> UInt32 { rows?[Int(example)] ?? example }

  /// Reads some examples.
  ///
  /// - Shape: `values` is `[indices.count, width]`.
  public func read(_ indices: UnsafeBufferPointer<UInt32>, into values: MatrixView) {
    precondition(
      values.rows == indices.count && values.columns == width,
      "\(indices.count) examples of \(width) values do not fit \(values.shape)")
    guard let rows else { return array.read(rows: indices, scale: 1 / scale, into: values) }
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: indices.count) { chosen in
      _ = chosen.initialize(from: indices.lazy.map { rows[Int($0)] })
      array.read(rows: UnsafeBufferPointer(chosen), scale: 1 / scale, into: values)
    }
  }

  /// Reads the classes of some examples.
  ///
  /// - Shape: `classes` is `[indices.count]`.
  public func readLabels(
    _ indices: UnsafeBufferPointer<UInt32>, into classes: UnsafeMutableBufferPointer<UInt32>
  ) {
    guard let labels else { return }
    for (position, index) in indices.enumerated() {
      classes[position] = labels.values[Int(rows?[Int(index)] ?? index)]
    }
  }

  /// How many of an array's examples are held out.
  public static func heldOutCount(of count: Int, fraction: Double) -> Int {
    Int((Double(count) * fraction).rounded())
  }

  /// Cuts the rows of an array into training and test examples.
  ///
  /// Which side an example falls on depends on the seed and its number alone; both sides keep the
  /// order of the file.
  ///
  /// - Parameters:
  ///   - array: The array.
  ///   - testFraction: The part to hold out, between 0 and 1.
  ///   - seed: The run's seed.
  ///   - scale: What the file's values are divided by.
  ///   - labels: The class of each row; nil where they are not asked for.
  /// - Returns: Both sides.
  /// - Throws: ``DataError/emptySplit(fraction:count:)`` if a side would be empty.
  public static func holdOut(
    _ array: NumericArray, testFraction: Double, seed: UInt64, scale: Float,
    labels: Labels? = nil
  ) throws(DataError) -> (train: Examples, test: Examples) {
    let count = array.exampleCount
    let testCount = heldOutCount(of: count, fraction: testFraction)
    if testCount == 0 || testCount >= count {
      throw .emptySplit(fraction: testFraction, count: count)
    }
    let order = RandomStream(seed: seed, purpose: .heldOutSplit).permutation(of: count)
    return (
      Examples(
        array, split: .train, rows: order[testCount...].sorted(), scale: scale,
        labels: labels),
      Examples(
        array, split: .test, rows: order[..<testCount].sorted(), scale: scale,
        labels: labels)
    )
  }
}
