internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// The binary version of CIFAR-10: files of records, each a class and then a red, a green and a blue plane of 32×32.
///
/// - Source: Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html.
struct CIFARBinary {
  private static let (pixels, recordSize) = (32 * 32, 1 + 3 * 32 * 32)

  /// The names that training examples have.
  static let trainNames = (1...5).map { "data_batch_\($0).bin" }
  /// The name that test examples have.
  static let testName = "test_batch.bin"

  private let paths: [String]
  private let files: [ByteStorage]
  private let counts: [Int]
  private let classes: [String]

  /// What the classes are called: the lines of `batches.meta.txt`, where there is one.
  ///
  /// - Throws: ``DataError`` if it cannot be read.
  static func classes(in folder: String) throws(DataError) -> [String] {
    let path = "\(folder)/batches.meta.txt"
    if access(path, F_OK) != 0 { return [] }
    let file = try ByteStorage(mapping: path)
    return withExtendedLifetime(file) {
      String(decoding: file.bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
        .map(String.init)
    }
  }

  /// Maps the files.
  ///
  /// - Throws: ``DataError`` if one is missing, or no whole number of records.
  init(_ paths: [String], classes: [String]) throws(DataError) {
    self.classes = classes
    var files: [ByteStorage] = []
    for path in paths {
      let file = try ByteStorage(mapping: path)
      if file.bytes.isEmpty || file.bytes.count % Self.recordSize != 0 {
        throw .damagedArchive(
          path: path,
          reason: "\(file.bytes.count) bytes are no whole number of records of \(Self.recordSize)")
      }
      files.append(file)
    }
    self.paths = paths
    self.files = files
    counts = files.map { $0.bytes.count / Self.recordSize }
  }

  /// The images, `[examples, 32, 32, 3]`, once they are loaded.
  ///
  /// - Throws: ``DataError``.
  func array() throws(DataError) -> NumericArray {
    let path = paths[0]
    let header = try ArrayHeader(
      path: path, extents: [UInt64(counts.reduce(0, +)), 32, 32, 3], type: .uint8,
      isBigEndian: false, isColumnMajor: false, dataOffset: 0)
    let storage = ByteStorage(count: header.dataByteCount, path: path) { [files] memory in
      var target = 0
      for file in files {
        for record in stride(from: 0, to: file.bytes.count, by: Self.recordSize) {
          for pixel in 0..<Self.pixels {
            for channel in 0..<3 {
              memory[target] = file.bytes[record + 1 + channel * Self.pixels + pixel]
              target += 1
            }
          }
        }
      }
    }
    let hash = SHA256()
    for file in files { hash.update(file.bytes) }
    return try NumericArray(
      path: path, header: header, storage: storage, checksum: hash.finish())
  }

  /// The classes.
  var labels: Labels {
    let values = files.flatMap { file in
      stride(from: 0, to: file.bytes.count, by: Self.recordSize).map { UInt32(file.bytes[$0]) }
    }
    let areNamed = values.allSatisfy { $0 < classes.count }
    return Labels(path: paths[0], values: values, names: areNamed ? classes : [])
  }
}
