import Checkpointing
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsTests {
  static func source(_ name: String, _ shape: [Int], _ values: [Float]) -> TensorSource {
    TensorSource(name: name, shape: shape) { values }
  }

  @Test(arguments: UInt64(1)...12) func randomTensorsComeBack(_ seed: UInt64) throws {
    let folder = try TemporaryFolder()
    var random = TestRandom(seed: seed)
    let alphabet = Array("abcXYZ0189._-/ \"\\éλ")
    var tensors: [String: ([Int], [Float])] = [:]
    for _ in 0..<Int.random(in: 0...8, using: &random) {
      let length = Int.random(in: 1...12, using: &random)
      let name = String((0..<length).map { _ in alphabet.randomElement(using: &random) ?? "x" })
      let axes = Int.random(in: 0...3, using: &random)
      let shape = (0..<axes).map { _ in Int.random(in: 0...5, using: &random) }
      let values = random.uniform(shape.reduce(1, *)).map { Float($0) }
      tensors[name] = (shape, values)
    }
    let metadata = ["key": "va\"lue\n", "πλ": "∑"]
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write(
      tensors.map { Self.source($0.key, $0.value.0, $0.value.1) }, metadata: metadata, to: path)
    let file = try SafetensorsFile(path: path)
    try file.verify()
    #expect(file.entries.map(\.name) == tensors.keys.sorted())
    for (name, (shape, values)) in tensors {
      #expect(try file.floats(named: name, shape: shape) == values)
    }
    for (key, value) in metadata { #expect(file.metadata[key] == value) }
    // Equal contents give equal bytes, and the header is padded for mapping.
    let bytes = try contents(path)
    try SafetensorsFile.write(
      tensors.reversed().map { Self.source($0.key, $0.value.0, $0.value.1) }, metadata: metadata,
      to: path)
    #expect(try contents(path) == bytes)
    #expect(UInt64(littleEndian: bytes.withUnsafeBytes { $0.load(as: UInt64.self) }) % 8 == 0)
  }

  @Test func bytesOfTheSimplestFile() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write([Self.source("t", [1, 2], [1, -2])], metadata: [:], to: path)
    let json = """
      {"__metadata__":{"sha256":"a96d8df9dcb3b4c1f3e5ba2f7eb5fcd3ca7a5a9bd5ca63ef2ffd3ad1f5d9e5a6"}\
      ,"t":{"data_offsets":[0,8],"dtype":"F32","shape":[1,2]}}
      """
    let bytes = try contents(path)
    let length = Int(bytes[0]) + Int(bytes[1]) << 8
    // Everything but the digest's own digits.
    let text = String(decoding: bytes[8..<8 + length], as: UTF8.self)
    #expect(text.trimmingCharacters(in: .whitespaces).count == json.count)
    #expect(text.hasPrefix(json.prefix(27)))
    #expect(text.trimmingCharacters(in: .whitespaces).hasSuffix(json.suffix(56)))
    #expect(Array(bytes[(8 + length)...]) == [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
  }

  @Test func filesOfTheReferenceImplementationOpen() throws {
    let file = try SafetensorsFile(path: golden("bernoulli-tanh.safetensors"))
    #expect(file.metadata["torch"]?.hasPrefix("2.") == true)
    #expect(try file.floats(named: "data", shape: [6, 11]).allSatisfy { $0 >= 0 && $0 < 1 })
  }

  @Test func aChangedByteIsNoticed() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    let values = (0..<100).map { Float($0) }
    try SafetensorsFile.write([Self.source("t", [100], values)], metadata: [:], to: path)
    let bytes = try contents(path)
    for position in stride(from: bytes.count - 400, to: bytes.count, by: 37) {
      var changed = bytes
      changed[position] ^= 1
      _ = try folder.write(changed, to: "x.safetensors")
      #expect(throws: CheckpointError.digestMismatch(path: path)) {
        try SafetensorsFile(path: path).verify()
      }
    }
  }

  @Test func aChangedHeaderIsNoticed() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write(
      [Self.source("a", [1], [1]), Self.source("b", [1], [2])], metadata: ["step": "10"], to: path)
    let text = String(decoding: try contents(path), as: UTF8.self)
    for (old, new) in [("\"step\":\"10\"", "\"step\":\"11\""), ("\"a\":", "\"c\":")] {
      #expect(text.contains(old))
      let bytes = try contents(path)
      var changed = bytes
      let at = try #require(
        bytes.indices.first { Array(bytes[$0...].prefix(old.utf8.count)) == Array(old.utf8) })
      changed.replaceSubrange(at..<at + old.utf8.count, with: Array(new.utf8))
      let other = try folder.write(changed, to: "changed.safetensors")
      #expect(throws: CheckpointError.digestMismatch(path: other)) {
        try SafetensorsFile(path: other).verify()
      }
    }
  }

  @Test func wrongTensorsAreNamed() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.safetensors")
    try SafetensorsFile.write(
      [Self.source("a", [2, 1], [1, 2])], metadata: ["step": "ten"], to: path)
    let file = try SafetensorsFile(path: path)
    #expect(throws: CheckpointError.missingTensor(path: path, name: "b")) {
      try file.floats(named: "b", shape: [1])
    }
    #expect(
      throws: CheckpointError.wrongShape(path: path, name: "a", actual: [2, 1], expected: [1, 2])
    ) { try file.floats(named: "a", shape: [1, 2]) }
    #expect(throws: CheckpointError.wrongMetadata(path: path, key: "step", value: "ten")) {
      try file.value("step", as: Int.self)
    }
    #expect(throws: CheckpointError.wrongMetadata(path: path, key: "seed", value: nil)) {
      try file.value("seed", as: Int.self)
    }
  }
}
