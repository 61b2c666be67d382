internal import Digests
internal import TensorKernels

/// What one pass over the elements finds: range, the first value that is no number, and digests.
///
/// The elements are cut into pieces of whole examples that do not depend on the number of ranks.
/// Each rank scans some pieces; the figures of all pieces together are those of the data set.
public struct DataScan: Sendable, Equatable {
  /// The smallest value in the file's own units.
  public private(set) var minimum = Float.infinity
  /// The largest value in the file's own units.
  public private(set) var maximum = -Float.infinity
  /// Whether all values are whole numbers.
  public private(set) var isIntegral = true
  /// Where the first NaN or infinity is: the number of the value among all values.
  public private(set) var firstNonFinite: Int?
  /// The digests of the pieces that were scanned, in order.
  public private(set) var digests: [UInt8] = []

  /// How many pieces there are.
  public static func pieceCount(of array: NumericArray) -> Int {
    let examples = examplesPerPiece(of: array)
    return (array.exampleCount + examples - 1) / examples
  }

  // About four megabytes.
  private static func examplesPerPiece(of array: NumericArray) -> Int {
    max(1, (1 << 22) / array.rowByteCount)
  }

  /// The examples of a piece.
  static func examples(ofPiece piece: Int, of array: NumericArray) -> Range<Int> {
    let count = examplesPerPiece(of: array)
    return piece * count..<min((piece + 1) * count, array.exampleCount)
  }

  /// Scans some pieces.
  ///
  /// - Parameters:
  ///   - array: The examples.
  ///   - pieces: Which pieces; all of them on one rank.
  /// - Throws: ``DataError`` if some cannot be read.
  public init(_ array: NumericArray, pieces: Range<Int>) throws(DataError) {
    for piece in pieces {
      let range = Self.examples(ofPiece: piece, of: array)
      switch array.elements {
      case .dense(let rows):
        try rows.withBytes(of: range) { raw in scan(raw, array, range) }
      case .sparse(let rows): try scan(rows, range)
      }
    }
  }

  private mutating func scan(
    _ raw: UnsafeRawBufferPointer, _ array: NumericArray, _ range: Range<Int>
  ) {
    digests += SHA256.digest(raw)
    if array.type == .uint8 {
      // Bytes are never NaN, and their extremes need no conversion.
      var low = UInt8.max
      var high = UInt8.min
      for byte in raw {
        low = min(low, byte)
        high = max(high, byte)
      }
      minimum = min(minimum, Float(low))
      maximum = max(maximum, Float(high))
      return
    }
    let row = FloatBuffer(count: array.width)
    let size = array.rowByteCount
    for (number, example) in range.enumerated() {
      let bytes = UnsafeRawBufferPointer(rebasing: raw[number * size..<(number + 1) * size])
      array.read(bytes, scale: 1, into: row.mutableElements)
      scan(row.elements) { example * array.width + $0 }
    }
  }

  // What is not stored is zero.
  private mutating func scan(_ rows: SparseRows, _ range: Range<Int>) throws(DataError) {
    let hash = SHA256()
    let counts = range.map { UInt64(rows.starts[$0 + 1] - rows.starts[$0]) }
    counts.withUnsafeBytes { hash.update($0) }
    try rows.withStored(of: range) { columns, values throws(DataError) in
      hash.update(columns)
      hash.update(values)
      let start = rows.starts[range.lowerBound]
      for row in range {
        let own = rows.starts[row] - start..<rows.starts[row + 1] - start
        func part(_ bytes: UnsafeRawBufferPointer, _ size: Int) -> UnsafeRawBufferPointer {
          UnsafeRawBufferPointer(rebasing: bytes[own.lowerBound * size..<own.upperBound * size])
        }
        var found: [Float] = own.count < rows.width ? [0] : []
        var places = found.map { _ in 0 }
        try rows.forEach(
          row, part(columns, rows.columns.rowByteCount), part(values, rows.values.rowByteCount)
        ) { column, value in
          found.append(value)
          places.append(column)
        }
        found.withUnsafeBufferPointer { scan($0) { row * rows.width + places[$0] } }
      }
    }
    digests += hash.finish()
  }

  // `place` says which of all values one of `values` is.
  private mutating func scan(_ values: UnsafeBufferPointer<Float>, place: (Int) -> Int) {
    var low = minimum
    var high = maximum
    var isFinite = true
    var isIntegral = true
    for value in values {
      low = value < low ? value : low
      high = value > high ? value : high
      isFinite = isFinite && value.isFinite
      isIntegral = isIntegral && value == value.rounded()
    }
    minimum = low
    maximum = high
    self.isIntegral = self.isIntegral && isIntegral
    if isFinite || firstNonFinite != nil { return }
    firstNonFinite = values.firstIndex { !$0.isFinite }.map(place)
  }

  /// The figures of several scans of consecutive pieces, in order.
  public init(joining scans: [DataScan]) {
    for scan in scans {
      minimum = min(minimum, scan.minimum)
      maximum = max(maximum, scan.maximum)
      isIntegral = isIntegral && scan.isIntegral
      firstNonFinite = firstNonFinite ?? scan.firstNonFinite
      digests += scan.digests
    }
  }

  /// A digest of shape, number format and all elements; of a scan of all pieces.
  public func digest(of array: NumericArray) -> String {
    let head = Array("\(array.type.rawValue) \(array.shape) ".utf8)
    return SHA256.hexadecimal((head + digests).withUnsafeBytes { SHA256.digest($0) })
  }

  /// The scan as bytes, for the other ranks.
  public var encoded: [UInt8] {
    let numbers = [
      UInt64(minimum.bitPattern), UInt64(maximum.bitPattern),
      firstNonFinite.map { UInt64($0) } ?? .max, UInt64(isIntegral ? 1 : 0),
    ]
    return numbers.withUnsafeBytes { Array($0) } + digests
  }

  /// A scan from another rank's bytes.
  public init(encoded: [UInt8]) {
    precondition(encoded.count >= 32, "A scan has at least 32 bytes, not \(encoded.count)")
    let numbers = encoded.withUnsafeBytes { bytes in
      (0..<4).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
    }
    minimum = Float(bitPattern: UInt32(truncatingIfNeeded: numbers[0]))
    maximum = Float(bitPattern: UInt32(truncatingIfNeeded: numbers[1]))
    firstNonFinite = numbers[2] == .max ? nil : Int(numbers[2])
    isIntegral = numbers[3] == 1
    digests = Array(encoded[32...])
  }
}
