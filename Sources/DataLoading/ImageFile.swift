internal import CLibpng
internal import CTurboJPEG

/// A PNG or JPEG image: what its header says, and its pixels.
struct ImageFile: Sendable {
  let path: String
  let height: Int
  let width: Int
  /// Whether it is more than grey.
  let hasColor: Bool
  let byteCount: Int
  private let isJPEG: Bool

  /// Reads an image's header.
  ///
  /// - Throws: ``DataError/damagedImage(path:reason:)``.
  init(_ path: String) throws(DataError) {
    self.path = path
    // By its first bytes: names are wrong now and then.
    let file = try ByteStorage(mapping: path)
    isJPEG = file.bytes.starts(with: [0xFF, 0xD8])
    if isJPEG {
      let decoder = Decoder()
      var facts = (width: Int32(0), height: Int32(0), sampling: Int32(0), space: Int32(0))
      let failed = tjDecompressHeader3(
        decoder.handle, file.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
        UInt(file.bytes.count), &facts.width, &facts.height, &facts.sampling, &facts.space)
      if failed != 0 { throw .damagedImage(path: path, reason: decoder.complaint) }
      (height, width) = (Int(facts.height), Int(facts.width))
      if [TJCS_CMYK, TJCS_YCCK].contains(where: { Int32($0.rawValue) == facts.space }) {
        throw .damagedImage(path: path, reason: "its colours are CMYK; save it as RGB")
      }
      hasColor = facts.space != Int32(TJCS_GRAY.rawValue)
      byteCount = file.bytes.count
    } else {
      var facts = vd_png_facts()
      if vd_png_read(path, &facts, nil, 0, 0, 0) != 0 { throw Self.damaged(path, &facts) }
      (height, width) = (Int(facts.height), Int(facts.width))
      hasColor = facts.has_color != 0
      byteCount = file.bytes.count
    }
  }

  /// Fails unless the image has as many pixels as another.
  ///
  /// - Throws: ``DataError/otherImageSize(path:size:expected:)``.
  func requireSize(of other: ImageFile) throws(DataError) {
    if height != other.height || width != other.width {
      throw .otherImageSize(
        path: path, size: "\(height)x\(width)", expected: "\(other.height)x\(other.width)")
    }
  }

  /// Decodes the pixels as they are stored, 8 bits each; transparency is passed over.
  ///
  /// - Shape: `[height, width, 3]` in colour, else `[height, width]`.
  /// - Throws: ``DataError/damagedImage(path:reason:)``.
  func decode(inColor: Bool, into memory: UnsafeMutableRawBufferPointer) throws(DataError) {
    precondition(
      memory.count == height * width * (inColor ? 3 : 1),
      "\(memory.count) bytes do not fit \(height)x\(width) pixels")
    if isJPEG { return try decodeJPEG(inColor, into: memory) }
    var facts = vd_png_facts()
    let failed = vd_png_read(
      path, &facts, memory.baseAddress?.assumingMemoryBound(to: UInt8.self), inColor ? 3 : 1,
      UInt32(width), UInt32(height))
    if failed != 0 { throw Self.damaged(path, &facts) }
  }

  private func decodeJPEG(
    _ inColor: Bool, into memory: UnsafeMutableRawBufferPointer
  ) throws(DataError) {
    let file = try ByteStorage(mapping: path)
    let decoder = Decoder()
    let failed = tjDecompress2(
      decoder.handle, file.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
      UInt(file.bytes.count), memory.baseAddress?.assumingMemoryBound(to: UInt8.self),
      Int32(width), 0, Int32(height), Int32((inColor ? TJPF_RGB : TJPF_GRAY).rawValue),
      TJFLAG_ACCURATEDCT)
    // Bytes between its parts harm no pixel; other warnings are of pixels that are missing.
    if failed != 0 && !decoder.complaint.contains("extraneous") {
      throw .damagedImage(path: path, reason: decoder.complaint)
    }
  }

  // libjpeg-turbo's state, for one image.
  private final class Decoder {
    let handle = tjInitDecompress()

    deinit { tjDestroy(handle) }

    var complaint: String { tjGetErrorStr2(handle).map { String(cString: $0) } ?? "no memory" }
  }

  private static func damaged(_ path: String, _ facts: inout vd_png_facts) -> DataError {
    let words = withUnsafeBytes(of: facts.message) { raw in
      String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
    }
    return .damagedImage(path: path, reason: words)
  }
}
