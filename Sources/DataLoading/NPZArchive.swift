internal import CLibzip

#if canImport(Glibc)
internal import Glibc
#endif

/// A ZIP archive of NPY files, as `numpy.savez` and `numpy.savez_compressed` write them.
struct NPZArchive {
  /// An array of the archive.
  struct Member {
    let name: String  // without .npy
    let index: UInt64
    let byteCount: Int
    let checksum: UInt32
    let header: ArrayHeader
  }

  let path: String
  let members: [Member]

  // The most bytes that a header may have before it is no header.
  private static let headerRoom = 1 << 16

  /// `x.npz:images` as the file and the name of an array; the name is nil for `x.npz`.
  static func split(_ name: String) -> (path: String, member: String?)? {
    if name.lowercased().hasSuffix(".npz") { return (name, nil) }
    guard let colon = name.lastIndex(of: ":"), name[..<colon].lowercased().hasSuffix(".npz")
    else { return nil }
    return (String(name[..<colon]), String(name[name.index(after: colon)...]))
  }

  /// Reads the directory of an archive and the headers of its arrays.
  ///
  /// - Throws: ``DataError`` if it is missing or damaged.
  init(path: String) throws(DataError) {
    self.path = path
    // What is wrong with the place is said in the system's words.
    _ = try ByteStorage(mapping: path)
    let archive = try Self.open(path)
    defer { zip_discard(archive) }
    var members: [Member] = []
    for index in 0..<UInt64(max(zip_get_num_entries(archive, 0), 0)) {
      var status = zip_stat_t()
      guard zip_stat_index(archive, index, 0, &status) == 0, let raw = status.name else { continue }
      let name = String(cString: raw)
      guard name.hasSuffix(".npy") else { continue }
      let byteCount = Int(clamping: status.size)
      let start = ByteStorage(count: min(byteCount, Self.headerRoom), path: path) {
        memory throws(DataError) in try Self.read(archive, path, index, into: memory)
      }
      try start.load()
      let header = try withExtendedLifetime(start) { () throws(DataError) in
        try ArrayHeader(parsing: start.bytes, path: "\(path):\(name.dropLast(4))")
      }
      if header.dataOffset + header.dataByteCount != byteCount {
        throw .wrongSize(
          path: "\(path):\(name.dropLast(4))", actual: byteCount,
          promised: header.dataOffset + header.dataByteCount)
      }
      members.append(
        Member(
          name: String(name.dropLast(4)), index: index, byteCount: byteCount,
          checksum: status.crc, header: header))
    }
    self.members = members
  }

  /// An array by its name, or the only one that holds examples.
  ///
  /// - Throws: ``DataError/notInArchive(path:name:members:)``.
  func member(_ name: String?, isColumn: Bool) throws(DataError) -> Member {
    let found =
      if let name {
        members.filter { $0.name == name }
      } else {
        members.filter { isColumn ? $0.header.shape.count == 1 : $0.header.shape.count > 1 }
      }
    guard found.count == 1, let member = found.first else {
      // What may be meant comes first.
      let others = members.filter { member in !found.contains { $0.index == member.index } }
      throw .notInArchive(
        path: path, name: name,
        members: (found + others).map { "\($0.name) \($0.header.shape)" })
    }
    return member
  }

  /// An array's bytes, header first, once they are loaded.
  func storage(of member: Member) -> ByteStorage {
    ByteStorage(count: member.byteCount, path: path) { [path] memory throws(DataError) in
      let archive = try Self.open(path)
      defer { zip_discard(archive) }
      try Self.read(archive, path, member.index, into: memory)
    }
  }

  private static func open(_ path: String) throws(DataError) -> OpaquePointer {
    var code: Int32 = 0
    if let archive = zip_open(path, ZIP_RDONLY, &code) { return archive }
    var error = zip_error_t()
    zip_error_init_with_code(&error, code)
    defer { zip_error_fini(&error) }
    throw .damagedArchive(path: path, reason: String(cString: zip_error_strerror(&error)))
  }

  // As many bytes as there is room for; at the end of a member its checksum is checked.
  private static func read(
    _ archive: OpaquePointer, _ path: String, _ index: UInt64,
    into memory: UnsafeMutableRawBufferPointer
  ) throws(DataError) {
    guard let file = zip_fopen_index(archive, index, 0) else {
      throw .damagedArchive(path: path, reason: String(cString: zip_strerror(archive)))
    }
    defer { zip_fclose(file) }
    var position = 0
    while position < memory.count {
      let count = zip_fread(
        file, memory.baseAddress.map { $0 + position },
        UInt64(min(memory.count - position, 1 << 30)))
      if count <= 0 {
        throw .damagedArchive(
          path: path,
          reason: count == 0 ? "an array is cut short" : String(cString: zip_file_strerror(file)))
      }
      position += Int(count)
    }
  }
}
