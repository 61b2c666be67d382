/// The number formats that arrays come in.
public enum ElementType: String, CaseIterable, Sendable {
  case uint8
  case int8
  case uint16
  case int16
  case uint32
  case int32
  case uint64
  case int64
  case float16
  case float32
  case float64

  /// Bytes of an element.
  public var byteCount: Int {
    switch self {
    case .uint8, .int8: 1
    case .uint16, .int16, .float16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    }
  }

  /// Whether elements are whole numbers.
  var isInteger: Bool { ![.float16, .float32, .float64].contains(self) }

  /// Whether a `Float` cannot hold every value.
  var hasMoreDigitsThanFloat: Bool {
    [.int32, .uint32, .int64, .uint64, .float64].contains(self)
  }

  /// Reads elements as `Float`, whatever their format, order of bytes and alignment.
  ///
  /// - Parameters:
  ///   - bytes: The first element's first byte.
  ///   - bigEndian: Whether the most significant byte comes first.
  ///   - scale: What each value is multiplied by.
  ///   - values: Receives as many values as it has room for.
  func read(
    _ bytes: UnsafeRawPointer, bigEndian: Bool, scale: Float,
    into values: UnsafeMutableBufferPointer<Float>
  ) {
    // One loop per format, so that the format is decided once a row and not once a value.
    func integers<Integer: FixedWidthInteger>(_: Integer.Type) {
      for index in values.indices {
        let raw = (bytes + index * MemoryLayout<Integer>.size).loadUnaligned(as: Integer.self)
        values[index] = scale * Float(bigEndian ? Integer(bigEndian: raw) : raw)
      }
    }
    func bits<Bits: FixedWidthInteger & BitwiseCopyable>(
      _: Bits.Type, _ convert: (Bits) -> Float
    ) {
      for index in values.indices {
        let raw = (bytes + index * MemoryLayout<Bits>.size).loadUnaligned(as: Bits.self)
        values[index] = scale * convert(bigEndian ? Bits(bigEndian: raw) : raw)
      }
    }
    switch self {
    case .uint8: integers(UInt8.self)
    case .int8: integers(Int8.self)
    case .uint16: integers(UInt16.self)
    case .int16: integers(Int16.self)
    case .uint32: integers(UInt32.self)
    case .int32: integers(Int32.self)
    case .uint64: integers(UInt64.self)
    case .int64: integers(Int64.self)
    case .float16: bits(UInt16.self, Self.halfPrecision)
    case .float32: bits(UInt32.self) { Float(bitPattern: $0) }
    case .float64: bits(UInt64.self) { Float(Double(bitPattern: $0)) }
    }
  }

  /// Reads whole numbers; those that no `Int` holds, and numbers of other formats, as -1.
  func readIntegers(
    _ bytes: UnsafeRawPointer, bigEndian: Bool, into values: UnsafeMutableBufferPointer<Int>
  ) {
    func integers<Integer: FixedWidthInteger>(_: Integer.Type) {
      for index in values.indices {
        let raw = (bytes + index * MemoryLayout<Integer>.size).loadUnaligned(as: Integer.self)
        values[index] = Int(exactly: bigEndian ? Integer(bigEndian: raw) : raw) ?? -1
      }
    }
    switch self {
    case .uint8: integers(UInt8.self)
    case .int8: integers(Int8.self)
    case .uint16: integers(UInt16.self)
    case .int16: integers(Int16.self)
    case .uint32: integers(UInt32.self)
    case .int32: integers(Int32.self)
    case .uint64: integers(UInt64.self)
    case .int64: integers(Int64.self)
    case .float16, .float32, .float64: values.update(repeating: -1)
    }
  }

  // IEEE 754 binary16; `Float16` does not exist on every platform of Swift.
  private static func halfPrecision(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10 & 0x1f)
    let fraction = UInt32(bits & 0x3ff)
    switch exponent {
    case 0:  // zero or subnormal: fraction · 2⁻²⁴
      return Float(bitPattern: sign | 0x3f80_0000) * Float(fraction) * 0x1p-24
    case 31:  // infinity or NaN
      return Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
    default:
      return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
