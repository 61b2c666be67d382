internal import CLibpng
internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// A folder of PNG images of one size; folders in it are classes, by their names in order.
struct ImageFolder {
  private struct File {
    let path: String
    let label: UInt32
  }

  private let path: String
  private let files: [File]
  private let hasClasses: Bool

  /// Lists the images; nil where there are none.
  init?(_ path: String) {
    self.path = path
    let own = Self.images(in: path)
    let classes = Self.names(in: path).filter { !Self.images(in: "\(path)/\($0)").isEmpty }
    hasClasses = own.isEmpty && !classes.isEmpty
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
    var extents: (height: Int, width: Int)?
    var hasColor = false
    let hash = SHA256()
    for file in files {
      let header = try Self.header(file.path)
      let own = (height: Int(header.height), width: Int(header.width))
      if let extents, extents != own {
        throw .otherImageSize(
          path: file.path, size: "\(own.height)x\(own.width)",
          expected: "\(extents.height)x\(extents.width)")
      }
      extents = own
      hasColor = hasColor || header.hasColor
      // What is to be compared between ranks before anything is loaded.
      Array("\(file.path.dropFirst(path.count)) \(header.byteCount)\n".utf8).withUnsafeBytes {
        hash.update($0)
      }
    }
    let (height, width) = extents ?? (0, 0)
    let channels = hasColor ? 3 : 1
    let header = try ArrayHeader(
      path: path,
      extents: ([files.count, height, width] + (hasColor ? [3] : [])).map { UInt64($0) },
      type: .uint8, isBigEndian: false, isColumnMajor: false, dataOffset: 0)
    let size = height * width * channels
    let storage = ByteStorage(count: header.dataByteCount, path: path) {
      [files] memory throws(DataError) in
      for (number, file) in files.enumerated() {
        try Self.decode(
          file.path, height, width, hasColor,
          into: UnsafeMutableRawBufferPointer(rebasing: memory[number * size..<(number + 1) * size])
        )
      }
    }
    return try NumericArray(path: path, header: header, storage: storage, checksum: hash.finish())
  }

  /// The classes; nil where images lie in the folder itself.
  var labels: Labels? {
    hasClasses ? Labels(path: path, values: files.map(\.label)) : nil
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
    names(in: folder).filter { $0.lowercased().hasSuffix(".png") }.map { "\(folder)/\($0)" }
  }

  // MARK: PNG

  private struct Header {
    let height: UInt32
    let width: UInt32
    let hasColor: Bool
    let byteCount: Int
  }

  private static func header(_ path: String) throws(DataError) -> Header {
    var image = png_image()
    image.version = vd_png_version
    if png_image_begin_read_from_file(&image, path) == 0 { throw damaged(path, &image) }
    defer { png_image_free(&image) }
    var status = stat()
    stat(path, &status)
    return Header(
      height: image.height, width: image.width, hasColor: image.format & vd_png_rgb != 0,
      byteCount: Int(status.st_size))
  }

  private static func decode(
    _ path: String, _ height: Int, _ width: Int, _ hasColor: Bool,
    into memory: UnsafeMutableRawBufferPointer
  ) throws(DataError) {
    var image = png_image()
    image.version = vd_png_version
    if png_image_begin_read_from_file(&image, path) == 0 { throw damaged(path, &image) }
    defer { png_image_free(&image) }
    if Int(image.height) != height || Int(image.width) != width {
      throw .otherImageSize(
        path: path, size: "\(image.height)x\(image.width)", expected: "\(height)x\(width)")
    }
    image.format = hasColor ? vd_png_rgb : vd_png_gray
    // What is transparent lies on black.
    var black = png_color()
    if png_image_finish_read(&image, &black, memory.baseAddress, 0, nil) == 0 {
      throw damaged(path, &image)
    }
  }

  private static func damaged(_ path: String, _ image: inout png_image) -> DataError {
    let words = withUnsafeBytes(of: image.message) { raw in
      String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
    return .damagedImage(path: path, reason: words)
  }
}
