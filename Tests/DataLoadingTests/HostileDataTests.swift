import DataLoading
import Foundation
import TestSupport
import Testing

/// Bad files stop politely: one case per error, with exact bytes and the exact sentence.
@Suite struct HostileDataTests {
  static func failure(
    _ bytes: [UInt8], name: String = "x"
  ) throws -> (error: DataError?, path: String) {
    let folder = try TemporaryFolder()
    let path = try folder.write(bytes, to: name)
    do throws(DataError) {
      _ = try NumericArray(path: path)
      return (nil, path)
    } catch {
      return (error, path)
    }
  }

  static let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"
  static func header(
    shape: String = "(2, 2)", descr: String = "'<f4'", order: String = "False"
  )
    -> String
  {
    "{'descr': \(descr), 'fortran_order': \(order), 'shape': \(shape), }"
  }

  @Test func aWholeFileOpens() throws {
    #expect(try Self.failure(npy(Self.good, [UInt8](repeating: 0, count: 16))).error == nil)
  }

  static let malformed: [(String, [UInt8], String)] = [
    ("empty file", [], "is an empty file; data are NPY or IDX"),
    ("one byte", [7], "starts with the bytes 07; data are NPY or IDX"),
    ("text", Array("hello".utf8), "starts with the bytes 68 65 6c 6c; data are NPY or IDX"),
    (
      "unknown IDX type", [0, 0, 0x0a, 1],
      "starts with the bytes 00 00 0a 01; data are NPY or IDX"
    ),
    (
      "IDX without extents", [0, 0, 8, 3, 0, 0],
      "is 6 bytes, but its header promises 16; it may be cut short"
    ),
    (
      "IDX cut short", [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3],
      "is 15 bytes, but its header promises 16; it may be cut short"
    ),
    (
      "IDX too long", [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2],
      "is 14 bytes, but its header promises 13; it may be damaged"
    ),
    (
      "IDX of 2⁹⁶ bytes",
      [0, 0, 8, 3] + [UInt8](repeating: 0xff, count: 12) + [0],
      "promises the shape [4294967295, 4294967295, 4294967295], more than can be addressed; it may be damaged"
    ),
    (
      "IDX of 255 axes",
      [0, 0, 8, 255] + [UInt8](repeating: 0xff, count: 1020),
      "more than can be addressed; it may be damaged"
    ),
    (
      "labels", [0, 0, 8, 1, 0, 0, 0, 2, 1, 2],
      "has the shape [2]; data need examples along the first axis"
    ),
    ("no example", [0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 5], "is empty: its shape is [0, 5]"),
    ("no value", [0, 0, 8, 2, 0, 0, 0, 5, 0, 0, 0, 0], "is empty: its shape is [5, 0]"),
    ("NPY magic alone", [0x93] + Array("NUMPY".utf8), "is 6 bytes, but its header promises 10"),
    (
      "NPY version 9", [0x93] + Array("NUMPY".utf8) + [9, 0, 4, 0, 0, 0],
      "has a malformed header: NPY version 9 is not 1, 2 or 3"
    ),
    (
      "NPY header beyond the end", [0x93] + Array("NUMPY".utf8) + [2, 0, 0xff, 0xff, 0xff, 0x7f],
      "its header promises 2,147,483,659"
    ),
    ("NPY without data", npy(good, []), "but its header promises"),
    ("NPY too long", npy(good, [UInt8](repeating: 0, count: 17)), "it may be damaged"),
    (
      "no dictionary", npy("import os", []),
      "has a malformed header: it is not a dictionary of a type, an order and a shape of whole numbers"
    ),
    (
      "an expression", npy("{'descr': eval('x')}", []),
      "it is not a dictionary of a type, an order and a shape of whole numbers"
    ),
    ("a key twice", npy("{'descr': '<f4', 'descr': '<f4'}", []), "it is not a dictionary"),
    ("no shape", npy("{'descr': '<f4', 'fortran_order': False}", []), "'shape' is missing"),
    ("no order", npy("{'descr': '<f4', 'shape': (1, 1)}", []), "'fortran_order' is missing"),
    ("no type", npy("{'fortran_order': False, 'shape': (1, 1)}", []), "'descr' is missing"),
    ("a negative extent", npy(header(shape: "(-1, 2)"), []), "it is not a dictionary"),
    (
      "an endless extent", npy(header(shape: "(99999999999999999999, 2)"), []),
      "it is not a dictionary"
    ),
    (
      "extents that overflow", npy(header(shape: "(4611686018427387904, 4)"), []),
      "promises the shape [4611686018427387904, 4], more than can be addressed"
    ),
    ("a scalar", npy(header(shape: "()"), [0, 0, 0, 0]), "has the shape []"),
    ("text elements", npy(header(descr: "'<U3'"), []), "has elements of type '<U3'; supported are"),
    ("complex numbers", npy(header(descr: "'<c8'"), []), "has elements of type '<c8'"),
    ("long doubles", npy(header(descr: "'<f16'"), []), "has elements of type '<f16'"),
    ("an unclosed list", npy(header(descr: "[('a', '<f4')"), []), "it is not a dictionary"),
  ]

  @Test(arguments: malformed) func badBytesGetOneClearSentence(
    _ what: String, bytes: [UInt8], sentence: String
  ) throws {
    let (error, path) = try Self.failure(bytes)
    let text = try #require(error, "\(what) was accepted").description
    #expect(text.hasPrefix("'\(path)' "), "\(what)")
    #expect(text.contains(sentence), "\(what): \(text)")
  }

  @Test func filesOfNumPyThatAreNotNumbers() throws {
    func text(_ name: String) -> String {
      do throws(DataError) {
        _ = try NumericArray(path: golden("npy/\(name).npy"))
        return "accepted"
      } catch {
        return error.description
      }
    }
    #expect(text("object").contains("holds Python objects, which are never loaded"))
    #expect(text("structured").contains("has elements of type 'structured'"))
    #expect(text("complex").contains("has elements of type '<c8'"))
  }

  @Test func damagedGzipFiles() throws {
    let folder = try TemporaryFolder()
    let plain = ArrayFileTests.idx(0x08, [1000, 64], (0..<64_000).map { UInt8($0 * 7 % 251) })
    let path = try folder.write(plain, to: "x")
    _ = try Launch.run(["gzip", path], seconds: 10)
    let whole = try contents(path + ".gz")
    #expect(try Self.failure(whole).error == nil)
    // Cut short anywhere, or one byte changed in the middle: noticed, never read past the end.
    for count in stride(from: 3, to: whole.count, by: whole.count / 23) {
      #expect(try Self.failure(Array(whole[..<count])).error != nil, "cut to \(count)")
    }
    var changed = whole
    changed[whole.count / 2] ^= 0x55
    #expect(try Self.failure(changed).error != nil)
    // A small file that inflates to a hundred megabytes, more than it promises.
    let bomb = try folder.write(
      ArrayFileTests.idx(0x08, [1, 1], [UInt8](repeating: 0, count: 100_000_000)), to: "bomb")
    _ = try Launch.run(["gzip", bomb], seconds: 30)
    #expect(try Self.failure(try contents(bomb + ".gz")).error != nil)
  }

  @Test func missingThingsAreNamed() throws {
    let folder = try TemporaryFolder()
    func text(_ name: String) -> String {
      do throws(DataError) {
        _ = try DataSource(name: name)
        return "accepted"
      } catch {
        return error.description
      }
    }
    #expect(text("/nowhere/x.npy") == "'/nowhere/x.npy' does not exist")
    #expect(
      text("minst")
        == "'minst' is neither a file, a folder nor a known data set; known are digits, fashion-mnist"
    )
    #expect(text(folder.path).contains("none of train-images-idx3-ubyte"))
  }

  @Test func testExamplesOfAnotherShapeAreRefused() throws {
    let folder = try TemporaryFolder()
    let train = try folder.write(npy([[1, 2], [3, 4]]), to: "a.npy")
    let test = try folder.write(npy([[1, 2, 3]]), to: "b.npy")
    #expect(throws: DataError.differentWidths(train: [2], test: [3])) {
      _ = try DataSource(name: train, testPath: test)
    }
  }
}
