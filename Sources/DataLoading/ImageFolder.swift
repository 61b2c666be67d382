internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// A folder of PNG and JPEG images of one size; folders in it are classes, by their names in order.
struct ImageFolder {
  private struct File {
    let path: String
    let label: UInt32
  }

  private let path: String
  private let files: [File]
  private let classes: [String]
  // A folder of images beside images.
  private let stray: String?

  /// Lists the images; nil where there are none.
  init?(_ path: String) {
    self.path = path
    let own = Self.images(in: path)
    let folders = Self.names(in: path).filter { !Self.images(in: "\(path)/\($0)").isEmpty }
    let classes = own.isEmpty ? folders : []
    self.classes = classes
    stray = own.isEmpty ? nil : folders.first
    files =
      own.isEmpty
      ? classes.enumerated().flatMap { number, name in
        Self.images(in: "\(path)/\(name)").map { File(path: $0, label: UInt32(number)) }
      } : own.map { File(path: $0, label: 0) }
    if files.isEmpty { return nil }
  }

  /// The images, `[examples, height, width]` or `[examples, height, width, 3]`, once they are loaded.
  ///
  /// - Throws: ``DataError`` if one is damaged, or of another size than the first.
  func array() throws(DataError) -> NumericArray {
    if let stray { throw .mixedFolder(path: path, folder: stray) }
    var first: ImageFile?
    var hasColor = false
    let hash = SHA256()
    for file in files {
      let image = try ImageFile(file.path)
      try image.requireSize(of: first ?? image)
      first = first ?? image
      hasColor = hasColor || image.hasColor
      // What is to be compared between ranks before anything is loaded.
      Array("\(file.path.dropFirst(path.count)) \(image.byteCount)\n".utf8).withUnsafeBytes {
        hash.update($0)
      }
    }
    guard let first else { throw .empty(path: path, shape: [0]) }
    let (height, width) = (first.height, first.width)
    let header = try ArrayHeader(
      path: path,
      extents: ([files.count, height, width] + (hasColor ? [3] : [])).map { UInt64($0) },
      type: .uint8, isBigEndian: false, isColumnMajor: false, dataOffset: 0)
    let reader = Reader(paths: files.map(\.path), first: first, hasColor: hasColor)
    if header.dataByteCount > mostBytesToHold() {
      return try NumericArray(
        path: path, header: header,
        elements: .dense(RowStore(place: .reader(reader), rowByteCount: header.rowByteCount)),
        residence: .read, identity: "", checksum: hash.finish())
    }
    let storage = ByteStorage(count: header.dataByteCount, path: path) {
      [count = files.count] memory throws(DataError) in
      try reader.read(rows: 0..<count, into: memory)
    }
    return try NumericArray(path: path, header: header, storage: storage, checksum: hash.finish())
  }

  // Decodes images.
  private final class Reader: RowReader {
    let paths: [String]
    let first: ImageFile
    let hasColor: Bool

    init(paths: [String], first: ImageFile, hasColor: Bool) {
      self.paths = paths
      self.first = first
      self.hasColor = hasColor
    }

    func read(
      rows: Range<Int>, into memory: UnsafeMutableRawBufferPointer
    ) throws(DataError) {
      let size = first.height * first.width * (hasColor ? 3 : 1)
      for (number, row) in rows.enumerated() {
        let image = try ImageFile(paths[row])
        try image.requireSize(of: first)
        try image.decode(
          inColor: hasColor,
          into: UnsafeMutableRawBufferPointer(rebasing: memory[number * size..<(number + 1) * size])
        )
      }
    }
  }

  /// The classes; nil where images lie in the folder itself.
  var labels: Labels? {
    classes.isEmpty ? nil : Labels(path: path, values: files.map(\.label), names: classes)
  }

  // MARK: Files

  private static func names(in folder: String) -> [String] {
    guard let list = opendir(folder) else { return [] }
    defer { closedir(list) }
    var names: [String] = []
    while let entry = readdir(list) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
        String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    // Bytes, not words: the same on every machine.
    return names.sorted { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }
  }

  private static func images(in folder: String) -> [String] {
    names(in: folder).filter { name in
      [".png", ".jpg", ".jpeg"].contains { name.lowercased().hasSuffix($0) }
    }.map { "\(folder)/\($0)" }
  }
}
