internal import CLibzip
internal import Checkpointing

#if canImport(Glibc)
internal import Glibc
#endif

/// An array for each column: a ZIP archive of NPY files, not compressed, as `numpy.savez` writes them.
///
/// The arrays lie beside the archive until it is finished, so that none is ever held in memory.
final class NPZFile: ResultFile {
  private let path: String
  private let arrays: [(name: String, file: NPYFile)]

  init(_ path: String, columns: [ResultColumn], rowCount: Int) throws(CheckpointError) {
    self.path = path
    var arrays: [(name: String, file: NPYFile)] = []
    for (index, column) in columns.enumerated() {
      arrays.append(
        (
          column.name,
          try NPYFile("\(path).\(column.name)", column: column, index: index, rowCount: rowCount)
        ))
    }
    self.arrays = arrays
  }

  func append(_ values: [ResultValues]) throws(CheckpointError) {
    for (_, file) in arrays { try file.append(values) }
  }

  func finish() throws(CheckpointError) {
    let whole = try DurableFileWriter(path)
    var code: Int32 = 0
    guard let archive = zip_open(whole.temporaryPath, ZIP_CREATE | ZIP_TRUNCATE, &code) else {
      throw .unwritable(path: path, reason: "libzip error \(code)")
    }
    for (name, file) in arrays {
      let source = zip_source_file(archive, file.temporaryPath, 0, -1)
      let index = zip_file_add(archive, "\(name).npy", source, 0)
      if index < 0 { throw failure(archive) }
      zip_set_file_compression(archive, UInt64(index), ZIP_CM_STORE, 0)
      // The first day that ZIP knows, so that equal arrays are equal files.
      zip_file_set_mtime(archive, UInt64(index), 315_532_800, 0)
    }
    if zip_close(archive) != 0 { throw failure(archive) }
    try whole.reopen()
    try whole.commit()
  }

  private func failure(_ archive: OpaquePointer) -> CheckpointError {
    let reason = String(cString: zip_strerror(archive))
    zip_discard(archive)
    return .unwritable(path: path, reason: reason)
  }
}
