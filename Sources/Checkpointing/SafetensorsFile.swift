internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// A tensor to be written: its values are asked for when they are needed, so that a file of many
/// tensors costs the memory of one.
public struct TensorSource {
  /// A path that a person can read.
  public let name: String
  /// Extents, last axis fastest.
  public let shape: [Int]
  /// Hands over the values, the same ones at every call.
  public let values: () -> [Float]

  /// Names a tensor.
  public init(name: String, shape: [Int], values: @escaping () -> [Float]) {
    self.name = name
    self.shape = shape
    self.values = values
  }
}

/// A safetensors file that was opened and found whole.
public struct SafetensorsFile {
  /// A tensor of the file.
  public struct Entry: Equatable {
    /// Its name.
    public let name: String
    /// The format's word for the number type: `F32`.
    public let type: String
    /// Extents, last axis fastest.
    public let shape: [Int]
    let bytes: Range<Int>
  }

  /// Where the file is.
  public let path: String
  /// The free text that came with the tensors.
  public let metadata: [String: String]
  /// The tensors, by name.
  public let entries: [Entry]
  private let mapping: Mapping
  private let header: SafetensorsHeader
  private let tensorStart: Int

  /// The metadata key of the SHA-256 of everything else: the JSON without this key, keys sorted and
  /// unpadded, and then the tensors' bytes.
  public static let digestKey = "sha256"

  // MARK: Writing

  /// Writes tensors and metadata so that the file is whole or absent.
  ///
  /// Tensors are ordered by name, so equal contents give equal bytes. A SHA-256 of everything joins
  /// the metadata under ``digestKey``.
  ///
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``.
  public static func write(
    _ tensors: [TensorSource], metadata: [String: String], to path: String
  ) throws(CheckpointError) {
    let tensors = tensors.sorted { $0.name < $1.name }
    var entries: [String: SafetensorsHeader.Entry] = [:]
    var end = 0
    for tensor in tensors {
      precondition(entries[tensor.name] == nil, "Two tensors are named \(tensor.name)")
      let start = end
      end += 4 * tensor.shape.reduce(1, *)
      entries[tensor.name] = .init(type: "F32", shape: tensor.shape, offsets: [start, end])
    }
    var header = SafetensorsHeader(metadata: metadata, entries: entries)
    let hash = SHA256()
    header.encoded().withUnsafeBytes { hash.update($0) }
    for tensor in tensors {
      let values = tensor.values()
      precondition(
        values.count == tensor.shape.reduce(1, *),
        "\(tensor.name) \(tensor.shape) has \(values.count) values")
      values.withUnsafeBytes { hash.update($0) }
    }
    header.metadata[digestKey] = SHA256.hexadecimal(hash.finish())
    var json = header.encoded()
    json += [UInt8](repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) }
    try DurableFile.replace(path) { write throws(CheckpointError) in
      try Self.hand(length + json, to: write)
      for tensor in tensors { try Self.hand(tensor.values(), to: write) }
    }
  }

  private static func hand<Element>(
    _ elements: [Element], to write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    var failure: CheckpointError?
    elements.withUnsafeBytes { bytes in
      do throws(CheckpointError) { try write(bytes) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  // MARK: Reading

  // The whole file in memory, unmapped with the last user.
  private final class Mapping {
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws(CheckpointError) {
      // Not blocking: opening a pipe would wait for a writer.
      let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
      if descriptor < 0 { throw Self.failure(path) }
      defer { close(descriptor) }
      var status = stat()
      if fstat(descriptor, &status) != 0 { throw Self.failure(path) }
      if status.st_mode & S_IFMT == S_IFDIR {
        throw .unreadable(path: path, reason: "it is a folder")
      }
      if status.st_mode & S_IFMT != S_IFREG {
        throw .unreadable(path: path, reason: "it is not a regular file")
      }
      let count = Int(status.st_size)
      if count == 0 { throw .malformed(path: path, reason: "it is empty") }
      let mapping = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
      guard let mapping, mapping != MAP_FAILED else { throw Self.failure(path) }
      bytes = UnsafeRawBufferPointer(start: mapping, count: count)
    }

    deinit {
      munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    private static func failure(_ path: String) -> CheckpointError {
      let code = errno
      return code == ENOENT || code == ENOTDIR
        ? .missing(path: path)
        : .unreadable(path: path, reason: String(cString: strerror(code)))
    }
  }

  private static let largestHeader: UInt64 = 100_000_000

  /// Opens a file and checks its structure: nothing in the header is believed before it is checked.
  ///
  /// - Throws: ``CheckpointError`` if the file is missing, or not a whole safetensors file.
  public init(path: String) throws(CheckpointError) {
    self.path = path
    mapping = try Mapping(path: path)
    let bytes = mapping.bytes
    func malformed(_ reason: String) -> CheckpointError { .malformed(path: path, reason: reason) }
    guard bytes.count >= 8 else { throw malformed("it has only \(bytes.count) bytes") }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= Self.largestHeader, length <= UInt64(bytes.count - 8) else {
      throw malformed("its header promises \(length) bytes and the file has \(bytes.count)")
    }
    let start = 8 + Int(length)
    guard
      let header = SafetensorsHeader(decoding: UnsafeRawBufferPointer(rebasing: bytes[8..<start]))
    else { throw malformed("its header is not the JSON of the format") }
    self.header = header
    tensorStart = start
    metadata = header.metadata

    var entries: [Entry] = []
    for (name, entry) in header.entries {
      guard let width = Self.byteWidths[entry.type] else {
        throw malformed("tensor '\(name)' has the unknown type '\(entry.type)'")
      }
      guard entry.offsets.count == 2, entry.offsets[0] >= 0,
        entry.offsets[0] <= entry.offsets[1], entry.offsets[1] <= bytes.count - start
      else { throw malformed("tensor '\(name)' lies at \(entry.offsets), outside the file") }
      guard let count = Self.product(entry.shape, width),
        count == entry.offsets[1] - entry.offsets[0]
      else {
        throw malformed("tensor '\(name)' \(entry.shape) does not fit \(entry.offsets)")
      }
      entries.append(
        Entry(
          name: name, type: entry.type, shape: entry.shape,
          bytes: start + entry.offsets[0]..<start + entry.offsets[1]))
    }
    entries.sort {
      ($0.bytes.lowerBound, $0.bytes.upperBound) < ($1.bytes.lowerBound, $1.bytes.upperBound)
    }
    var end = start
    for entry in entries {
      guard entry.bytes.lowerBound == end else {
        throw malformed("tensor '\(entry.name)' overlaps another or leaves a gap")
      }
      end = entry.bytes.upperBound
    }
    guard end == bytes.count else {
      throw malformed("its tensors end at byte \(end) and the file at \(bytes.count)")
    }
    self.entries = entries.sorted { $0.name < $1.name }
  }

  private static let byteWidths = [
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2,
    "BF16": 2, "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
  ]

  private static func product(_ shape: [Int], _ width: Int) -> Int? {
    var product = width
    for extent in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: extent)
      if extent < 0 || overflow { return nil }
      product = next
    }
    return product
  }

  /// Compares header and tensors with the SHA-256 that was written with them.
  ///
  /// - Throws: ``CheckpointError/digestMismatch(path:)``, or
  ///   ``CheckpointError/wrongMetadata(path:key:value:)`` if there is none.
  public func verify() throws(CheckpointError) {
    guard let promised = metadata[Self.digestKey] else {
      throw .wrongMetadata(path: path, key: Self.digestKey, value: nil)
    }
    var rest = header
    rest.metadata[Self.digestKey] = nil
    let hash = SHA256()
    rest.encoded().withUnsafeBytes { hash.update($0) }
    hash.update(UnsafeRawBufferPointer(rebasing: mapping.bytes[tensorStart...]))
    if SHA256.hexadecimal(hash.finish()) != promised { throw .digestMismatch(path: path) }
  }

  /// The values of a tensor of `Float`.
  ///
  /// - Throws: ``CheckpointError`` if it is missing or of another shape or type.
  public func floats(named name: String, shape: [Int]) throws(CheckpointError) -> [Float] {
    guard let entry = entries.first(where: { $0.name == name }) else {
      throw .missingTensor(path: path, name: name)
    }
    if entry.shape != shape {
      throw .wrongShape(path: path, name: name, actual: entry.shape, expected: shape)
    }
    if entry.type != "F32" { throw .wrongType(path: path, name: name, type: entry.type) }
    let bytes = UnsafeRawBufferPointer(rebasing: mapping.bytes[entry.bytes])
    return [Float](unsafeUninitializedCapacity: bytes.count / 4) { values, initialized in
      UnsafeMutableRawBufferPointer(values).copyMemory(from: bytes)
      initialized = bytes.count / 4
    }
  }

  /// A metadata entry as a number or another simple value.
  ///
  /// - Throws: ``CheckpointError/wrongMetadata(path:key:value:)``.
  public func value<Value: LosslessStringConvertible>(
    _ key: String, as type: Value.Type = Value.self
  ) throws(CheckpointError) -> Value {
    guard let text = metadata[key] else { throw .wrongMetadata(path: path, key: key, value: nil) }
    guard let value = Value(text) else {
      throw .wrongMetadata(path: path, key: key, value: text)
    }
    return value
  }
}
