import Foundation

/// The root of the package.
package let packageRoot = URL(filePath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// A file under `Tests/Golden`.
package func golden(_ name: String) -> String {
  packageRoot.appending(path: "Tests/Golden/\(name)").path
}

/// A folder that is gone when the object is.
package final class TemporaryFolder {
  package let path: String

  package init() throws {
    let base = FileManager.default.temporaryDirectory
    path = base.appending(path: "vae-dist-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  /// A path inside.
  package func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file inside and returns its path.
  package func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(filePath: path(name)))
    return path(name)
  }
}

/// The bytes of a file.
package func contents(_ path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: path)))
}

/// The bytes of a NPY file of version 1 with this header and these elements.
package func npy(_ header: String, _ elements: [UInt8]) -> [UInt8] {
  let text = header + String(repeating: " ", count: (118 - header.utf8.count % 64 + 64) % 64) + "\n"
  let length = UInt16(text.utf8.count).littleEndian
  return [0x93] + Array("NUMPY".utf8) + [1, 0] + withUnsafeBytes(of: length) { Array($0) }
    + Array(text.utf8) + elements
}

/// A NPY file of `Float` rows.
package func npy(_ rows: [[Float]]) -> [UInt8] {
  let header =
    "{'descr': '<f4', 'fortran_order': False, 'shape': (\(rows.count), \(rows.first?.count ?? 0)), }"
  return npy(header, rows.flatMap { $0 }.withUnsafeBytes { Array($0) })
}
