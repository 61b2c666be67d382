#if canImport(Glibc)
internal import Glibc
#endif

/// Writing that survives a crash at any byte: the old content or the new, never a mixture.
public enum DurableFile {
  /// Writes beside the target, syncs, renames over the target, and syncs the folder.
  ///
  /// - Parameters:
  ///   - path: The target; replaced if it exists.
  ///   - produce: Hands over the content, piece by piece.
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``; the target is then as it was, or, where
  ///   only the folder could not be synced, new but perhaps not durable.
  public static func replace(
    _ path: String,
    with produce: (_ write: (UnsafeRawBufferPointer) throws(CheckpointError) -> Void)
      throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    let file = try DurableFileWriter(path)
    try produce { bytes throws(CheckpointError) in try file.write(bytes) }
    try file.commit()
  }

  /// Writes a text as ``replace(_:with:)`` does.
  public static func replace(_ path: String, with text: String) throws(CheckpointError) {
    let file = try DurableFileWriter(path)
    try file.write(Array(text.utf8))
    try file.commit()
  }

  /// Makes a symbolic link point elsewhere, at once.
  ///
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``; the link is then as it was.
  public static func link(_ path: String, to target: String) throws(CheckpointError) {
    let temporary = temporaryPath(beside: path)
    unlink(temporary)
    if symlink(target, temporary) != 0 || rename(temporary, path) != 0 {
      let error = failure(path)
      unlink(temporary)
      throw error
    }
    try syncFolder(of: path)
  }

  /// Makes a folder and those above it.
  ///
  /// - Throws: ``CheckpointError/unwritable(path:reason:)``.
  public static func makeFolder(_ path: String) throws(CheckpointError) {
    if mkdir(path, 0o755) == 0 { return try syncFolder(of: path) }
    if errno == EEXIST && isFolder(path) { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      try makeFolder(String(path[..<slash]))
      if mkdir(path, 0o755) == 0 { return try syncFolder(of: path) }
      if errno == EEXIST { return }
    }
    throw failure(path)
  }

  /// Removes what interrupted writes left in a folder.
  public static func removeTemporaryFiles(in folder: String) {
    for name in names(in: folder) where name.hasPrefix(".") && name.hasSuffix(temporarySuffix) {
      unlink("\(folder)/\(name)")
    }
  }

  /// The names in a folder, sorted; none if it cannot be read.
  public static func names(in folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Whether something exists at a path.
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Whether a folder exists at a path.
  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether a file with bytes to read exists at a path: no folder, pipe or device.
  public static func isRegularFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// Whether an open file is still what lies at a path.
  public static func isSame(_ path: String, as descriptor: Int32) -> Bool {
    var (named, opened) = (stat(), stat())
    return descriptor >= 0 && stat(path, &named) == 0 && fstat(descriptor, &opened) == 0
      && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev
  }

  private static let temporarySuffix = ".partial"

  static func temporaryPath(beside path: String) -> String {
    let slash = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    return "\(path[..<slash]).\(path[slash...])\(temporarySuffix)"
  }

  static func syncFolder(of path: String) throws(CheckpointError) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw failure(path) }
    defer { close(descriptor) }
    // Some file systems cannot sync a folder and say so with EINVAL; there the rename is enough.
    if fsync(descriptor) != 0 && errno != EINVAL { throw failure(path) }
  }

  static func failure(_ path: String) -> CheckpointError {
    .unwritable(path: path, reason: String(cString: strerror(errno)))
  }
}
