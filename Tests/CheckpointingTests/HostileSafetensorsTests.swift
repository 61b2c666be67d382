import Checkpointing
import TestSupport
import Testing

/// Files made on purpose: each is refused with a reason, and nothing outside the file is read.
@Suite struct HostileSafetensorsTests {
  static func file(_ json: String, _ data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    withUnsafeBytes(of: (length ?? UInt64(json.utf8.count)).littleEndian) { Array($0) }
      + Array(json.utf8) + data
  }

  static func entry(_ shape: String, _ offsets: String, type: String = "F32") -> String {
    #"{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  static let four: [UInt8] = [0, 0, 0, 0]

  static let cases: [(String, [UInt8], String)] = [
    ("empty", [], "it is empty"),
    ("short", [1, 2, 3], "it has only 3 bytes"),
    (
      "length beyond the file", file("{}", length: 100),
      "its header promises 100 bytes and the file has 10"
    ),
    (
      "length of 2⁶⁴ − 1", file("{}", length: .max),
      "its header promises 18446744073709551615 bytes"
    ),
    (
      "length beyond the limit", file("{}", length: 100_000_001),
      "its header promises 100000001 bytes"
    ),
    ("no JSON", file("abcd"), "its header is not the JSON of the format"),
    ("an array", file("[1]"), "its header is not the JSON of the format"),
    ("a space before", file(" {}"), "its header is not the JSON of the format"),
    ("not closed", file("{\"a\":"), "its header is not the JSON of the format"),
    ("metadata that is no text", file(#"{"__metadata__":{"a":1}}"#), "not the JSON of the format"),
    (
      "an entry without a type", file(#"{"t":{"shape":[1],"data_offsets":[0,4]}}"#, four),
      "not the JSON"
    ),
    (
      "invalid UTF-8", file("{\"a") + [0xff, 0xfe] + Array("\":1}".utf8),
      "its header is not the JSON"
    ),
    (
      "an unknown type", file(#"{"t":\#(entry("[1]", "[0,4]", type: "F33"))}"#, four),
      "unknown type 'F33'"
    ),
    (
      "offsets beyond the file", file(#"{"t":\#(entry("[2]", "[0,8]"))}"#, four),
      "lies at [0, 8], outside the file"
    ),
    ("offsets backward", file(#"{"t":\#(entry("[1]", "[4,0]"))}"#, four), "outside the file"),
    ("negative offsets", file(#"{"t":\#(entry("[1]", "[-4,0]"))}"#, four), "outside the file"),
    ("one offset", file(#"{"t":\#(entry("[1]", "[0]"))}"#, four), "outside the file"),
    (
      "a shape that does not fit", file(#"{"t":\#(entry("[2]", "[0,4]"))}"#, four),
      "does not fit [0, 4]"
    ),
    ("a negative extent", file(#"{"t":\#(entry("[-1]", "[0,4]"))}"#, four), "does not fit"),
    (
      "extents that overflow",
      file(#"{"t":\#(entry("[4611686018427387904,4]", "[0,4]"))}"#, four), "does not fit"
    ),
    (
      "extents beyond 64 bits", file(#"{"t":\#(entry("[99999999999999999999]", "[0,4]"))}"#, four),
      "not the JSON"
    ),
    (
      "overlap",
      file(#"{"a":\#(entry("[1]", "[0,4]")),"b":\#(entry("[1]", "[0,4]"))}"#, four),
      "overlaps another or leaves a gap"
    ),
    ("a gap", file(#"{"t":\#(entry("[1]", "[4,8]"))}"#, four + four), "leaves a gap"),
    ("bytes left over", file(#"{"t":\#(entry("[1]", "[0,4]"))}"#, four + four), "end at byte"),
    ("deep nesting", file(String(repeating: "{\"a\":", count: 50_000)), "not the JSON"),
  ]

  @Test(arguments: cases) func badFilesAreRefused(
    _ what: String, bytes: [UInt8], reason: String
  ) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(bytes, to: "x.safetensors")
    do throws(CheckpointError) {
      _ = try SafetensorsFile(path: path)
      Issue.record("\(what) was accepted")
    } catch {
      #expect(error.description.hasPrefix("'\(path)' is not a whole safetensors file: "))
      #expect(error.description.contains(reason), "\(what): \(error)")
    }
  }

  @Test func everyCutIsNoticed() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write(
      [TensorSource(name: "t", shape: [5]) { [1, 2, 3, 4, 5] }], metadata: ["a": "b"], to: path)
    let whole = try contents(path)
    for count in 0..<whole.count {
      _ = try folder.write(Array(whole[..<count]), to: "cut.safetensors")
      #expect(throws: CheckpointError.self) {
        try SafetensorsFile(path: folder.path("cut.safetensors"))
      }
    }
  }

  @Test func missingFilesAndFolders() throws {
    let folder = try TemporaryFolder()
    #expect(throws: CheckpointError.missing(path: folder.path("no"))) {
      try SafetensorsFile(path: folder.path("no"))
    }
    #expect(throws: CheckpointError.unreadable(path: folder.path, reason: "it is a folder")) {
      try SafetensorsFile(path: folder.path)
    }
  }
}
