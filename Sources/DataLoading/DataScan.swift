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
  public init(_ array: NumericArray, pieces: Range<Int>) {
    let row = FloatBuffer(count: array.width)
    for piece in pieces {
      let range = Self.examples(ofPiece: piece, of: array)
      let bytes = range.lowerBound * array.rowByteCount..<range.upperBound * array.rowByteCount
      let raw = UnsafeRawBufferPointer(rebasing: array.bytes[bytes])
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
      } else {
        for example in range { scan(array, example, row) }
      }
    }
  }

  private mutating func scan(_ array: NumericArray, _ example: Int, _ row: FloatBuffer) {
    array.read(example: example, scale: 1, into: row.mutableElements)
    var low = minimum
    var high = maximum
    var isFinite = true
    var isIntegral = true
    for value in row.elements {
      low = value < low ? value : low
      high = value > high ? value : high
      isFinite = isFinite && value.isFinite
      isIntegral = isIntegral && value == value.rounded()
    }
    minimum = low
    maximum = high
    self.isIntegral = self.isIntegral && isIntegral
    if isFinite || firstNonFinite != nil { return }
    firstNonFinite = row.elements.firstIndex { !$0.isFinite }.map { example * array.width + $0 }
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
