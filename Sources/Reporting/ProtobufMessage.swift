/// The bytes of a protocol buffer message, field by field.
///
/// Only what TensorBoard's events and ONNX's models need, which is writing. Source: the encoding at
/// protobuf.dev.
public struct ProtobufMessage: Sendable {
  /// The message so far.
  public private(set) var bytes: [UInt8] = []

  /// An empty message.
  public init() {}

  /// A message from what is put into it.
  public init(_ fill: (inout ProtobufMessage) -> Void) {
    fill(&self)
  }

  /// A whole number, also of an enumeration.
  public mutating func add(_ field: Int, _ value: Int) {
    key(field, wireType: 0)
    varint(UInt64(bitPattern: Int64(value)))
  }

  /// A `float`.
  public mutating func add(_ field: Int, _ value: Float) {
    key(field, wireType: 5)
    append(value.bitPattern)
  }

  /// A `double`.
  public mutating func add(_ field: Int, _ value: Double) {
    key(field, wireType: 1)
    append(value.bitPattern)
  }

  /// A `string`.
  public mutating func add(_ field: Int, _ text: String) { add(field, bytes: Array(text.utf8)) }

  /// A message.
  public mutating func add(_ field: Int, _ message: ProtobufMessage) {
    add(field, bytes: message.bytes)
  }

  /// A message from what is put into it.
  public mutating func add(_ field: Int, _ fill: (inout ProtobufMessage) -> Void) {
    add(field, ProtobufMessage(fill))
  }

  /// A `bytes`.
  public mutating func add(_ field: Int, bytes value: [UInt8]) {
    key(field, wireType: 2)
    varint(UInt64(value.count))
    bytes += value
  }

  /// A packed list of `double`.
  public mutating func add(_ field: Int, packed values: [Double]) {
    var list = ProtobufMessage()
    for value in values { list.append(value.bitPattern) }
    add(field, list)
  }

  /// A packed list of whole numbers.
  public mutating func add(_ field: Int, packed values: [Int]) {
    var list = ProtobufMessage()
    for value in values { list.varint(UInt64(bitPattern: Int64(value))) }
    add(field, list)
  }

  private mutating func key(_ field: Int, wireType: UInt64) {
    varint(UInt64(field) << 3 | wireType)
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }
}
