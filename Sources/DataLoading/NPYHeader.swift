let npyMagic: [UInt8] = [0x93] + Array("NUMPY".utf8)

/// NPY, NumPy's format, versions 1 to 3.
///
///     bytes    what
///     6        93 'NUMPY'
///     2        major and minor version
///     2 or 4   length of the header, little-endian (2 in version 1)
///     length   a Python dictionary: 'descr', 'fortran_order', 'shape', in any order
///     rest     elements
///
/// - Source: NumPy, `numpy.lib.format`.
func parseNPYHeader(_ bytes: UnsafeRawBufferPointer, path: String) throws(DataError) -> ArrayHeader
{
  guard bytes.count >= 10 else {
    throw .wrongSize(path: path, actual: bytes.count, promised: 10)
  }
  let version = bytes[6]
  guard (1...3).contains(version) else {
    throw .malformedHeader(path: path, reason: "NPY version \(version) is not 1, 2 or 3")
  }
  let lengthBytes = version == 1 ? 2 : 4
  let start = 8 + lengthBytes
  guard bytes.count >= start else {
    throw .wrongSize(path: path, actual: bytes.count, promised: start)
  }
  let length =
    version == 1
    ? Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
    : Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
  guard bytes.count - start >= length else {
    throw .wrongSize(path: path, actual: bytes.count, promised: start + length)
  }
  var parser = PythonLiteralParser(bytes[start..<start + length])
  guard let dictionary = parser.dictionary() else {
    throw .malformedHeader(
      path: path, reason: "it is not a dictionary of a type, an order and a shape of whole numbers")
  }
  guard case .text(let descr)? = dictionary["descr"] else {
    if case .other? = dictionary["descr"] {
      throw .unsupportedType(path: path, type: "structured")
    }
    throw .malformedHeader(path: path, reason: "'descr' is missing")
  }
  guard case .flag(let isColumnMajor)? = dictionary["fortran_order"] else {
    throw .malformedHeader(path: path, reason: "'fortran_order' is missing")
  }
  guard case .extents(let extents)? = dictionary["shape"] else {
    throw .malformedHeader(path: path, reason: "'shape' is missing")
  }
  let (type, isBigEndian) = try elementType(descr, path: path)
  return try ArrayHeader(
    path: path, extents: extents, type: type, isBigEndian: isBigEndian,
    isColumnMajor: isColumnMajor, dataOffset: start + length)
}

// '<f4' and its like: order of bytes, kind, bytes of an element.
private func elementType(
  _ descr: String, path: String
) throws(DataError) -> (ElementType, isBigEndian: Bool) {
  let types: [String: ElementType] = [
    "u1": .uint8, "i1": .int8, "b1": .uint8, "u2": .uint16, "i2": .int16, "u4": .uint32,
    "i4": .int32, "u8": .uint64, "i8": .int64, "f2": .float16, "f4": .float32, "f8": .float64,
  ]
  let order = descr.first
  if descr.dropFirst().first == "O" || descr == "O" { throw .objectArray(path: path) }
  guard let order, "<>|=".contains(order), let type = types[String(descr.dropFirst())] else {
    throw .unsupportedType(path: path, type: descr)
  }
  return (type, order == ">")
}

/// As much of Python's literals as a NPY header holds.
///
/// Nothing is ever evaluated.
struct PythonLiteralParser {
  enum Value: Equatable {
    case text(String)
    case flag(Bool)
    case extents([UInt64])
    case other
  }

  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: Slice<UnsafeRawBufferPointer>) {
    self.bytes = Array(bytes)
  }

  /// The whole text as one dictionary with text keys; nil if it is anything else.
  mutating func dictionary() -> [String: Value]? {
    var result: [String: Value] = [:]
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = text(), take(":"), let value = value(), result[key] == nil else { return nil }
      result[key] = value
      if take(",") { continue }
      guard take("}") else { return nil }
      break
    }
    skipSpace()
    return position == bytes.count ? result : nil
  }

  private mutating func value() -> Value? {
    skipSpace()
    guard position < bytes.count else { return nil }
    switch bytes[position] {
    case UInt8(ascii: "'"), UInt8(ascii: "\""): return text().map { .text($0) }
    case UInt8(ascii: "("): return extents().map { .extents($0) }
    case UInt8(ascii: "["): return skipList() ? .other : nil
    default:
      if take("True") { return .flag(true) }
      if take("False") { return .flag(false) }
      return nil
    }
  }

  private mutating func text() -> String? {
    skipSpace()
    guard position < bytes.count else { return nil }
    let quote = bytes[position]
    guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\""),
      let end = bytes[(position + 1)...].firstIndex(of: quote)
    else { return nil }
    defer { position = end + 1 }
    return String(decoding: bytes[(position + 1)..<end], as: UTF8.self)
  }

  private mutating func extents() -> [UInt64]? {
    guard take("(") else { return nil }
    var result: [UInt64] = []
    while !take(")") {
      guard let number = number() else { return nil }
      result.append(number)
      if take(",") { continue }
      guard take(")") else { return nil }
      break
    }
    return result
  }

  // Digits, with the L that Python 2 wrote.
  private mutating func number() -> UInt64? {
    skipSpace()
    let start = position
    while position < bytes.count, (48...57).contains(bytes[position]) { position += 1 }
    let value = UInt64(String(decoding: bytes[start..<position], as: UTF8.self))
    _ = take("L")
    return value
  }

  private mutating func skipList() -> Bool {
    var depth = 0
    while position < bytes.count {
      if bytes[position] == UInt8(ascii: "[") { depth += 1 }
      if bytes[position] == UInt8(ascii: "]") { depth -= 1 }
      position += 1
      if depth == 0 { return true }
    }
    return false
  }

  private mutating func take(_ word: String) -> Bool {
    skipSpace()
    guard bytes[position...].starts(with: word.utf8) else { return false }
    position += word.utf8.count
    return true
  }

  private mutating func skipSpace() {
    while position < bytes.count, [32, 9, 10, 13].contains(bytes[position]) { position += 1 }
  }
}
