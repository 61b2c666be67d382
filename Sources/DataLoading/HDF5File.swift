internal import CCrashes
internal import CHDF5
internal import Digests

#if canImport(Glibc)
internal import Glibc
#endif

/// An HDF5 file and the arrays in it.
///
/// libhdf5 says where elements lie; what is neither compressed nor scattered is mapped, and never goes through it.
final class HDF5File: Sendable {
  /// A node of the file.
  enum Member {
    case array(HDF5Array)
    /// The matrix of an AnnData file whose zeros are left out.
    case sparse(SparseMatrix)
  }

  /// A compressed sparse matrix, as AnnData writes it.
  struct SparseMatrix {
    let path: String
    let shape: [Int]
    let isByRow: Bool
    let starts: HDF5Array
    let columns: HDF5Array
    let values: HDF5Array
  }

  let path: String
  let mapped: ByteStorage
  private let handle: hid_t

  private static let magic: [UInt8] = [0x89] + Array("HDF\r\n".utf8) + [0x1a, 0x0a]

  /// `x.h5:group/name` as the file and the name of an array; the name is nil for `x.h5`, all is nil for other files.
  static func split(_ name: String) -> (path: String, member: String?)? {
    if isHDF5(name) { return (name, nil) }
    guard let colon = name.lastIndex(of: ":"), isHDF5(String(name[..<colon])) else { return nil }
    return (String(name[..<colon]), String(name[name.index(after: colon)...]))
  }

  /// The names of the arrays at the top of a file; nil for files of other formats.
  ///
  /// - Throws: ``DataError`` if it is damaged.
  static func names(ofFile path: String) throws(DataError) -> Set<String>? {
    guard isHDF5(path) else { return nil }
    return try guarded(path) { () throws(DataError) in
      Set(try HDF5File(path: path).names(depth: 1))
    }
  }

  /// Calls libhdf5, which may crash or go round in circles where a file is damaged; that ends this process in one
  /// sentence.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - isQuick: Whether a minute of the processor's time is too much.
  ///   - body: The calls.
  /// - Returns: What the calls return.
  /// - Throws: What they throw.
  static func guarded<Result, Failure: Error>(
    _ path: String, isQuick: Bool = true, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let error = DataError.damagedArchive(
      path: path, reason: "libhdf5 crashed or came to no end in it; copy or write it again")
    let sentence = strdup("Error: \(error)\n")
    // EX_DATAERR of sysexits.h.
    let before = vd_enter_library(
      vd_library_call(sentence: sentence, status: 65, is_limited: isQuick ? 1 : 0))
    defer {
      vd_leave_library(before)
      free(sentence)
    }
    return try body()
  }

  // By its first bytes: such files have many endings.
  private static func isHDF5(_ path: String) -> Bool {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { return false }
    defer { close(descriptor) }
    var start = [UInt8](repeating: 0, count: magic.count)
    return Glibc.read(descriptor, &start, start.count) == start.count && start == magic
  }

  /// Opens a file.
  ///
  /// - Throws: ``DataError`` if it is missing or damaged.
  init(path: String) throws(DataError) {
    self.path = path
    mapped = try ByteStorage(mapping: path)
    handle = vd_h5_open_file(path)
    if handle < 0 {
      throw .damagedArchive(path: path, reason: "libhdf5 cannot open it; it may be cut short")
    }
  }

  deinit { _ = Self.guarded(path) { H5Fclose(handle) } }

  /// The names of the arrays in the groups down to a depth, at most a thousand.
  ///
  /// - Throws: ``DataError`` if one is damaged.
  func names(depth: Int = 4) throws(DataError) -> [String] {
    var names: [String] = []
    try list("", depth: depth, &names)
    return names
  }

  // What a group holds, a thousand at most.
  private func links(in group: String) -> [String] {
    let node = vd_h5_open(handle, group.isEmpty ? "/" : group)
    if node < 0 { return [] }
    defer { H5Oclose(node) }
    var facts = H5G_info_t()
    if H5Gget_info(node, &facts) < 0 { return [] }
    var buffer = [CChar](repeating: 0, count: 1024)
    return (0..<min(facts.nlinks, 1000)).compactMap { index in
      if vd_h5_link_name(node, index, &buffer, buffer.count) < 0 { return nil }
      return String(
        decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  /// The columns of AnnData's `obs` that may be labels, with their classes: categorical ones, of some classes.
  var annotations: [(name: String, classes: [String])] {
    links(in: "obs").compactMap { link in
      let classes = (try? classes("obs/\(link)")) ?? []
      return classes.count > 1 && classes.count <= 1_000 ? ("obs/\(link)", classes) : nil
    }
  }

  private func list(_ group: String, depth: Int, _ names: inout [String]) throws(DataError) {
    for link in links(in: group) where names.count < 1000 {
      let name = group.isEmpty ? link : "\(group)/\(link)"
      let child = vd_h5_open(handle, name)
      if child < 0 { continue }
      let kind = H5Iget_type(child)
      H5Oclose(child)
      let isSparse = try sparse(name) != nil
      if kind == H5I_DATASET || isSparse {
        names.append(name)
      } else if kind == H5I_GROUP && depth > 1 {
        try list(name, depth: depth - 1, &names)
      }
    }
  }

  /// An array by its name; nil if there is none of that name.
  ///
  /// The number codes of a categorical column of an AnnData file stand for the column.
  ///
  /// - Throws: ``DataError`` if it holds no numbers, or is damaged.
  func member(_ name: String) throws(DataError) -> Member? {
    let node = vd_h5_open(handle, name)
    if node < 0 { return nil }
    let kind = H5Iget_type(node)
    let encoding = Self.text(node, "encoding-type")
    H5Oclose(node)
    if kind == H5I_DATASET { return .array(try HDF5Array(self, handle, name)) }
    if let sparse = try sparse(name) { return .sparse(sparse) }
    if encoding == "categorical" { return .array(try HDF5Array(self, handle, "\(name)/codes")) }
    return nil
  }

  /// An array by its name, or AnnData's `X`, or the only one that holds examples.
  ///
  /// - Throws: ``DataError/notInArchive(path:name:members:)``, or what reading throws.
  func only(_ name: String?, isColumn: Bool) throws(DataError) -> Member {
    if let found = try member(name ?? "X") { return found }
    var found: [Member] = []
    var words: [String] = []
    for name in try names() {
      // Text and the like are no data.
      guard let member = try? member(name) else { continue }
      let shape =
        switch member {
        case .array(let array): array.shape
        case .sparse(let matrix): matrix.shape
        }
      words.append("\(name) \(shape)")
      if isColumn ? shape.count == 1 : shape.count > 1 { found.append(member) }
    }
    if name == nil, found.count == 1 { return found[0] }
    throw .notInArchive(path: path, name: name, members: words)
  }

  /// How many texts an array of one axis holds; nil where it holds something else.
  func textCount(_ name: String) -> Int? {
    var (count, length) = (hsize_t(0), 0)
    free(vd_h5_texts(handle, name, 0, &count, &length))
    return count > 0 ? Int(clamping: count) : nil
  }

  /// The texts of an array of one axis; nil where it holds something else, or more than so many.
  func texts(_ name: String, atMost limit: Int) -> [String]? {
    var (count, length) = (hsize_t(0), 0)
    guard let start = vd_h5_texts(handle, name, hsize_t(limit), &count, &length) else { return nil }
    defer { free(start) }
    var texts = UnsafeRawBufferPointer(start: start, count: length)
      .split(separator: 0, omittingEmptySubsequences: false)
      .map { textDecoded($0) }
    texts.removeLast()  // behind the last one's end
    return texts.count == count ? texts : nil
  }

  /// What the classes of a categorical column of an AnnData file are called; none of other arrays.
  ///
  /// - Throws: ``DataError`` if they cannot be read.
  func classes(_ name: String) throws(DataError) -> [String] {
    let categories = "\(name)/categories"
    let node = vd_h5_open(handle, categories)
    if node < 0 { return [] }
    H5Oclose(node)
    if let texts = texts(categories, atMost: Labels.mostClasses) { return texts }
    guard let array = try? HDF5Array(self, handle, categories), array.shape.count == 1,
      array.type.isInteger
    else { return [] }
    return try array.integers(atMost: Labels.mostClasses).map(String.init)
  }

  /// What AnnData calls the columns of `X` and of its layers; empty elsewhere, or where there are others than so many.
  func columnNames(count: Int) -> [String] {
    let node = vd_h5_open(handle, "var")
    if node < 0 { return [] }
    defer { H5Oclose(node) }
    guard let name = Self.text(node, "_index"), textCount("var/\(name)") == count else { return [] }
    return texts("var/\(name)", atMost: count) ?? []
  }

  /// Something of its contents, for comparing files before they are loaded.
  var checksum: [UInt8] {
    let start = UnsafeRawBufferPointer(rebasing: mapped.bytes.prefix(1 << 16))
    return SHA256.digest(start) + Array("\(mapped.bytes.count)".utf8)
  }

  // AnnData's own attributes, and those that h5sparse gave its matrices before.
  private func sparse(_ name: String) throws(DataError) -> SparseMatrix? {
    let node = vd_h5_open(handle, name)
    if node < 0 { return nil }
    defer { H5Oclose(node) }
    let format = Self.text(node, "encoding-type") ?? Self.text(node, "h5sparse_format") ?? ""
    guard ["csr_matrix", "csr", "csc_matrix", "csc"].contains(format) else { return nil }
    var pair: (Int64, Int64) = (0, 0)
    let found = withUnsafeMutableBytes(of: &pair) { raw in
      let values = raw.bindMemory(to: Int64.self).baseAddress
      return vd_h5_pair_attribute(node, "shape", values) == 0
        || vd_h5_pair_attribute(node, "h5sparse_shape", values) == 0
    }
    guard found, pair.0 >= 0, pair.1 >= 0 else {
      throw .malformedHeader(path: "\(path):\(name)", reason: "a sparse matrix needs a shape")
    }
    return SparseMatrix(
      path: "\(path):\(name)",
      shape: [Int(pair.0), Int(pair.1)], isByRow: format.hasPrefix("csr"),
      starts: try HDF5Array(self, handle, "\(name)/indptr"),
      columns: try HDF5Array(self, handle, "\(name)/indices"),
      values: try HDF5Array(self, handle, "\(name)/data"))
  }

  private static func text(_ node: hid_t, _ name: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 256)
    if vd_h5_text_attribute(node, name, &buffer, buffer.count) != 0 { return nil }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
