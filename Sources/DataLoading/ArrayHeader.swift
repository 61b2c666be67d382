/// What a data file says about itself: shape, element type, and where the elements start.
struct ArrayHeader: Equatable {
  var shape: [Int]
  var type: ElementType
  var isBigEndian: Bool
  var isColumnMajor: Bool
  var dataOffset: Int

  /// Bytes of all elements.
  ///
  /// Checked for overflow when the header was made.
  var dataByteCount: Int { shape.reduce(type.byteCount, *) }

  /// Bytes of an element of the first axis.
  var rowByteCount: Int { shape.dropFirst().reduce(type.byteCount, *) }

  /// A header whose extents can be multiplied.
  ///
  /// - Throws: ``DataError/extentsOverflow(path:shape:)``.
  init(
    path: String, extents: [UInt64], type: ElementType, isBigEndian: Bool, isColumnMajor: Bool,
    dataOffset: Int
  ) throws(DataError) {
    var byteCount = type.byteCount
    var shape: [Int] = []
    for extent in extents {
      guard let extent = Int(exactly: extent) else {
        throw .extentsOverflow(path: path, shape: extents)
      }
      shape.append(extent)
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: max(extent, 1))
      if overflow || product > 1 << 56 { throw .extentsOverflow(path: path, shape: extents) }
      byteCount = product
    }
    self.shape = shape
    self.type = type
    self.isBigEndian = isBigEndian
    self.isColumnMajor = isColumnMajor
    self.dataOffset = dataOffset
  }

  /// Reads the header at the start of a file, whatever its format.
  ///
  /// - Throws: ``DataError`` if the format is unknown or the header malformed.
  init(parsing bytes: UnsafeRawBufferPointer, path: String) throws(DataError) {
    if bytes.starts(with: npyMagic) {
      self = try parseNPYHeader(bytes, path: path)
    } else if bytes.count >= 4, bytes[0] == 0, bytes[1] == 0 {
      self = try parseIDXHeader(bytes, path: path)
    } else {
      throw .unknownFormat(path: path, firstBytes: Array(bytes.prefix(4)))
    }
  }
}

/// IDX, the format of MNIST.
///
///     bytes    what
///     2        zero
///     1        element type: 08 u8, 09 i8, 0B i16, 0C i32, 0D f32, 0E f64
///     1        number of axes
///     4 each   extents, big-endian
///     rest     elements, big-endian, last axis fastest
func parseIDXHeader(_ bytes: UnsafeRawBufferPointer, path: String) throws(DataError) -> ArrayHeader
{
  let types: [UInt8: ElementType] = [
    0x08: .uint8, 0x09: .int8, 0x0b: .int16, 0x0c: .int32, 0x0d: .float32, 0x0e: .float64,
  ]
  guard let type = types[bytes[2]] else {
    throw .unknownFormat(path: path, firstBytes: Array(bytes.prefix(4)))
  }
  let axes = Int(bytes[3])
  let offset = 4 + 4 * axes
  if bytes.count < offset { throw .wrongSize(path: path, actual: bytes.count, promised: offset) }
  let extents = (0..<axes).map { axis in
    UInt64(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4 + 4 * axis, as: UInt32.self)))
  }
  return try ArrayHeader(
    path: path, extents: extents, type: type, isBigEndian: true, isColumnMajor: false,
    dataOffset: offset)
}
