internal import CHDF5
internal import Synchronization

/// An array of an HDF5 file.
final class HDF5Array: RowReader {
  /// Where it is, for messages.
  let path: String
  let shape: [Int]
  let type: ElementType
  let isBigEndian: Bool
  private let file: HDF5File
  private let dataset: hid_t
  private let format: hid_t
  private let filters: [String]

  // Decompressed chunks that are kept.
  private static let cacheByteCount = 64 << 20
  // libhdf5 is not always built for threads.
  private static let lock = Mutex(())

  private static let formats: [ElementType] = [
    .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64, .float16, .float32, .float64,
  ]

  /// Opens an array.
  ///
  /// - Throws: ``DataError`` if it is missing, damaged or holds something else than numbers.
  init(_ file: HDF5File, _ handle: hid_t, _ name: String) throws(DataError) {
    path = "\(file.path):\(name)"
    self.file = file
    dataset = vd_h5_open_dataset(handle, name, Self.cacheByteCount)
    format = dataset < 0 ? -1 : H5Dget_type(dataset)
    var facts = (shape: [hsize_t](), type: ElementType.uint8, isBigEndian: false)
    var filters: [String] = []
    var problem: DataError?
    do throws(DataError) {
      if format < 0 { throw .damagedArchive(path: path, reason: "libhdf5 cannot read what it is") }
      facts = (try Self.extents(dataset, path), .uint8, false)
      let code = Int(vd_h5_format(format))
      guard code >= 0, code & 15 < Self.formats.count else {
        throw .unsupportedType(path: path, type: Self.kind(format))
      }
      facts.type = Self.formats[code & 15]
      facts.isBigEndian = code >= 16
      filters = try Self.filters(dataset, path)
    } catch { problem = error }
    self.filters = filters
    type = facts.type
    isBigEndian = facts.isBigEndian
    shape = facts.shape.map { Int(clamping: $0) }
    if let problem { throw problem }
    // Extents that can be multiplied.
    _ = try header
  }

  deinit {
    Self.lock.withLock { _ in
      HDF5File.guarded(path) {
        H5Tclose(format)
        _ = H5Dclose(dataset)
      }
    }
  }

  /// The array as a header says it, for elements from the first byte on.
  var header: ArrayHeader {
    get throws(DataError) {
      try ArrayHeader(
        path: path, extents: shape.map { UInt64($0) }, type: type, isBigEndian: isBigEndian,
        isColumnMajor: false, dataOffset: 0)
    }
  }

  /// Bytes of an element of the first axis.
  var rowByteCount: Int { shape.dropFirst().reduce(type.byteCount, *) }

  /// All elements of an array of whole numbers, if there are no more than so many; none if there are.
  ///
  /// - Throws: ``DataError`` if they cannot be read.
  func integers(atMost count: Int) throws(DataError) -> [Int] {
    if shape[0] > count { return [] }
    let raw = UnsafeMutableRawBufferPointer.allocate(
      byteCount: shape[0] * type.byteCount, alignment: 8)
    defer { raw.deallocate() }
    try read(rows: 0..<shape[0], into: raw)
    var integers = [Int](repeating: 0, count: shape[0])
    guard let start = raw.baseAddress else { return [] }
    integers.withUnsafeMutableBufferPointer {
      type.readIntegers(start, bigEndian: isBigEndian, into: $0)
    }
    return integers
  }

  /// The elements where they lie in the mapped file; nil if they must be read by libhdf5.
  var mapped: RowStore? {
    let creation = H5Dget_create_plist(dataset)
    defer { H5Pclose(creation) }
    guard filters.isEmpty, !shape.contains(0), H5Pget_external_count(creation) == 0 else {
      return nil
    }
    let whole = file.mapped.bytes.count
    func offset(_ address: haddr_t, _ byteCount: Int) -> Int? {
      guard let start = Int(exactly: address), byteCount <= whole, start <= whole - byteCount
      else { return nil }
      return start
    }
    switch H5Pget_layout(creation) {
    case H5D_CONTIGUOUS:
      guard let start = offset(H5Dget_offset(dataset), shape[0] * rowByteCount) else { return nil }
      return RowStore(
        place: .contiguous(file.mapped, offset: start), rowByteCount: rowByteCount)
    case H5D_CHUNKED:
      var extents = [hsize_t](repeating: 0, count: shape.count)
      guard H5Pget_chunk(creation, Int32(shape.count), &extents) == shape.count,
        Array(extents[1...]) == shape[1...].map({ hsize_t($0) }),
        let rowsPerChunk = Int(exactly: extents[0]), rowsPerChunk > 0,
        rowsPerChunk <= whole / rowByteCount
      else { return nil }
      var offsets: [Int] = []
      for first in stride(from: 0, to: shape[0], by: rowsPerChunk) {
        var corner = [hsize_t](repeating: 0, count: shape.count)
        corner[0] = hsize_t(first)
        var (mask, address, size) = (UInt32(0), haddr_t(0), hsize_t(0))
        guard H5Dget_chunk_info_by_coord(dataset, &corner, &mask, &address, &size) >= 0,
          let start = offset(address, rowsPerChunk * rowByteCount)
        else { return nil }
        offsets.append(start)
      }
      return RowStore(
        place: .chunked(file.mapped, rowsPerChunk: rowsPerChunk, offsets: offsets),
        rowByteCount: rowByteCount)
    default: return nil
    }
  }

  func read(
    rows: Range<Int>, into memory: UnsafeMutableRawBufferPointer
  ) throws(DataError) {
    if rows.isEmpty { return }
    precondition(memory.count >= rows.count * rowByteCount, "Rows \(rows) need more room")
    let start = [hsize_t(rows.lowerBound)] + shape.dropFirst().map { _ in 0 }
    let count = [hsize_t(rows.count)] + shape.dropFirst().map { hsize_t($0) }
    let target = memory.baseAddress
    let failed = Self.lock.withLock { _ in
      HDF5File.guarded(path, isQuick: false) {
        vd_h5_read(dataset, format, Int32(shape.count), start, count, target)
      }
    }
    if failed != 0 {
      throw .damagedArchive(
        path: path, reason: "libhdf5 cannot read rows \(rows.lowerBound) to \(rows.upperBound - 1)")
    }
  }

  // MARK: Facts

  private static func extents(_ dataset: hid_t, _ path: String) throws(DataError) -> [hsize_t] {
    let space = H5Dget_space(dataset)
    defer { H5Sclose(space) }
    let axes = H5Sget_simple_extent_ndims(space)
    var extents = [hsize_t](repeating: 0, count: Int(max(axes, 0)))
    if axes < 0 || H5Sget_simple_extent_dims(space, &extents, nil) < 0 {
      throw .damagedArchive(path: path, reason: "libhdf5 cannot read its shape")
    }
    return extents
  }

  private static func kind(_ format: hid_t) -> String {
    switch H5Tget_class(format) {
    case H5T_STRING: "text"
    case H5T_COMPOUND: "compound"
    default: "\(H5Tget_size(format)) bytes"
    }
  }

  // The filters that elements went through.
  private static func filters(_ dataset: hid_t, _ path: String) throws(DataError) -> [String] {
    let creation = H5Dget_create_plist(dataset)
    defer { H5Pclose(creation) }
    var filters: [String] = []
    for index in 0..<max(H5Pget_nfilters(creation), 0) {
      var (flags, settings) = (UInt32(0), UInt32(0))
      var count = 0
      var name = [CChar](repeating: 0, count: 64)
      let filter = H5Pget_filter2(
        creation, UInt32(index), &flags, &count, &settings, name.count, &name, nil)
      let words = String(
        decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if filter < 0 || H5Zfilter_avail(filter) <= 0 {
        throw .unknownFilter(path: path, filter: words.isEmpty ? "\(filter)" : words)
      }
      filters.append(words)
    }
    return filters
  }
}
