import DataLoading
import Foundation
import TensorKernels
import TestSupport
import Testing

@Suite struct ArrayFileTests {
  static func rows(_ array: NumericArray) throws -> [[Float]] {
    try (0..<array.exampleCount).map { example in
      let row = FloatBuffer.poisoned(array.width)
      try array.read(example: example, scale: 1, into: row.mutableElements)
      return row.values
    }
  }

  /// 0 to 23 in four rows, what every golden NPY file holds.
  static let counting = (0..<4).map { row in (0..<6).map { Float(row * 6 + $0) } }

  static let numericFiles = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
    .flatMap { ["\($0)-little", "\($0)-big"] }

  @Test(arguments: numericFiles) func npyFilesOfNumPy(_ name: String) throws {
    let array = try NumericArray(path: golden("npy/\(name).npy"))
    #expect(array.shape == [4, 3, 2])
    #expect(array.width == 6)
    let divisor: Float = name.hasPrefix("f") ? 8 : 1
    #expect(try Self.rows(array) == Self.counting.map { $0.map { $0 / divisor } })
  }

  @Test(arguments: ["fortran", "version-2", "version-3"]) func ordersAndVersions(
    _ name: String
  ) throws {
    #expect(try Self.rows(NumericArray(path: golden("npy/\(name).npy"))) == Self.counting)
  }

  @Test func booleansAreZeroAndOne() throws {
    let rows = try Self.rows(NumericArray(path: golden("npy/boolean.npy")))
    #expect(rows == Self.counting.map { $0.map { Float(Int($0) % 2) } })
  }

  @Test func halfPrecisionReadsEveryKindOfNumber() throws {
    let folder = try TemporaryFolder()
    let bits: [UInt16] = [0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0xc000, 0x7bff, 0x7c00]
    let path = try folder.write(
      npy(
        "{'descr': '<f2', 'fortran_order': False, 'shape': (1, \(bits.count)), }",
        bits.withUnsafeBytes { Array($0) }), to: "half.npy")
    let values = try Self.rows(NumericArray(path: path))[0]
    let expected: [Float] = [
      0, -0.0, 0x1p-24, 1023 * 0x1p-24, 0x1p-14, 1, -2, 65504, .infinity,
    ]
    #expect(values == expected)
    #expect(values[1].sign == .minus)
  }

  @Test func largeFilesAreMappedAndGzippedOnesAreNot() throws {
    #expect(try NumericArray(path: golden("npy/f4-little.npy")).residence == .mapped)
    #expect(try NumericArray(path: golden("npy/fortran.npy")).residence == .loaded)
  }

  static func idx(_ type: UInt8, _ extents: [Int], _ elements: [UInt8]) -> [UInt8] {
    [0, 0, type, UInt8(extents.count)]
      + extents.flatMap { extent in
        withUnsafeBytes(of: UInt32(extent).bigEndian) { Array($0) }
      } + elements
  }

  @Test(
    arguments: [
      (0x08, [1, 2, 255], [1, 2, 255]), (0x09, [1, 0xff, 0x80], [1, -1, -128]),
      (0x0b, [0, 1, 0xff, 0xfe, 1, 0], [1, -2, 256]),
      (0x0c, [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0], [1, -1, 65536]),
      (0x0d, [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0], [1, -2, 0]),
      (
        0x0e,
        [0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, -2, 0]
      ),
    ] as [(UInt8, [UInt8], [Float])])
  func idxTypes(type: UInt8, elements: [UInt8], expected: [Float]) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Self.idx(type, [1, 3], elements), to: "x.idx")
    #expect(try Self.rows(NumericArray(path: path)) == [expected])
  }

  @Test func memoryOfOthersIsFilledByOneOfThem() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(Self.idx(0x08, [2, 3], [1, 2, 3, 4, 5, 6]), to: "x")
    _ = try Launch.run(["gzip", path], seconds: 10)
    let source = try DataSource(name: path + ".gz")
    let count = source.train.pendingByteCount
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    defer { memory.deallocate() }
    final class Owner {}
    let owner = Owner()
    try source.train.load(into: memory, owner: owner, fills: true)
    let other = try DataSource(name: path + ".gz")
    try other.train.load(into: memory, owner: owner, fills: false)
    for array in [source.train, other.train] {
      #expect(try Self.rows(array) == [[1, 2, 3], [4, 5, 6]])
      // Whoever writes there is seen by both.
      memory[16 - 4] = 9
      #expect(try Self.rows(array)[0][0] == 9)
      memory[16 - 4] = 1
    }
  }

  @Test func membersOfAGzipFileFollowEachOther() throws {
    let folder = try TemporaryFolder()
    let whole = Self.idx(0x08, [2, 3], [1, 2, 3, 4, 5, 6])
    let paths = try [
      folder.write(Array(whole[..<15]), to: "a"), folder.write(Array(whole[15...]), to: "b"),
    ]
    for path in paths { _ = try Launch.run(["gzip", path], seconds: 10) }
    let joined = try paths.flatMap { try contents($0 + ".gz") }
    let array = try NumericArray(path: try folder.write(joined, to: "joined"))
    #expect(try Self.rows(array) == [[1, 2, 3], [4, 5, 6]])
  }

  @Test func gzippedFilesAreRecognisedByTheirBytes() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      Self.idx(0x08, [3, 2], [1, 2, 3, 4, 5, 6]), to: "no-suffix")
    _ = try Launch.run(["gzip", path], seconds: 10)
    let array = try NumericArray(path: path + ".gz")
    #expect(try Self.rows(array) == [[1, 2], [3, 4], [5, 6]])
    #expect(array.residence == .loaded)
  }

  @Test func theBuiltInDigitsAreThere() throws {
    let digits = try DataSource(name: "digits")
    #expect(digits.train.shape == [1797, 8, 8])
    #expect(digits.test == nil)
    let scan = try DataScan(digits.train, pieces: 0..<1)
    #expect(scan.minimum == 0)
    #expect(scan.maximum == 16)
    // The first digit, a zero, as the data set's own file has it.
    #expect(try Self.rows(digits.train)[0][..<8] == [0, 0, 5, 13, 9, 1, 0, 0])
  }

  @Test func foldersInMNISTsLayoutGiveBothSets() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(Self.idx(0x08, [2, 2], [1, 2, 3, 4]), to: "train-images-idx3-ubyte")
    let test = try folder.write(Self.idx(0x08, [1, 2], [5, 6]), to: "t10k-images-idx3-ubyte")
    _ = try Launch.run(["gzip", test], seconds: 10)
    let source = try DataSource(name: folder.path)
    #expect(try Self.rows(source.train) == [[1, 2], [3, 4]])
    let tests = try #require(source.test)
    #expect(tests.pendingByteCount > 0)
    try tests.load()
    #expect(try Self.rows(tests) == [[5, 6]])
  }
}
