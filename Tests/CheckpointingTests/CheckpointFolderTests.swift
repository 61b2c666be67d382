import Checkpointing
import Foundation
import TestSupport
import Testing

@Suite struct CheckpointFolderTests {
  static func save(
    _ folder: CheckpointFolder, step: Int, isBest: Bool = false, keep: Int = 3
  ) throws {
    try folder.save(
      step: step, tensors: [TensorSource(name: "t", shape: [1]) { [Float(step)] }],
      metadata: ["step": "\(step)"], isBest: isBest, keep: keep)
  }

  @Test func theNewestStayAndTheBest() throws {
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path("a/b/checkpoints"))
    for step in 1...6 { try Self.save(folder, step: step, isBest: step == 2, keep: 2) }
    #expect(folder.steps == [2, 5, 6])
    #expect(folder.target(of: "latest") == "step-00000006.safetensors")
    #expect(folder.target(of: "best") == "step-00000002.safetensors")
    // The links open like the files they name.
    let best = try SafetensorsFile(path: "\(folder.path)/best")
    #expect(try best.floats(named: "t", shape: [1]) == [2])
    #expect(DurableFile.names(in: folder.path).allSatisfy { !$0.hasSuffix(".partial") })
  }

  @Test func damagedOnesArePassedOverWithAReason() throws {
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path("c"))
    for step in [10, 20, 30] { try Self.save(folder, step: step) }
    // Cut short, and a byte changed.
    let newest = try contents(folder.path(step: 30))
    _ = try temporary.write(Array(newest.dropLast(2)), to: "c/step-00000030.safetensors")
    var changed = try contents(folder.path(step: 20))
    changed[changed.count - 1] ^= 4
    _ = try temporary.write(changed, to: "c/step-00000020.safetensors")
    var skipped: [CheckpointFolder.Skipped] = []
    let path = try folder.newestWhole(onSkip: { skipped.append($0) }, read: { $0.path })
    #expect(path == folder.path(step: 10))
    #expect(skipped.map(\.path) == [folder.path(step: 30), folder.path(step: 20)])
    #expect("\(skipped[0].reason)".contains("is not a whole safetensors file"))
    #expect(skipped[1].reason == .digestMismatch(path: folder.path(step: 20)))
  }

  @Test func unusableContentsArePassedOverToo() throws {
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path("c"))
    for step in [10, 20] { try Self.save(folder, step: step) }
    func read(_ file: SafetensorsFile) throws(CheckpointError) -> String {
      if try file.value("step", as: Int.self) == 20 {
        throw .wrongMetadata(path: file.path, key: "step", value: "20")
      }
      return file.path
    }
    let path = try folder.newestWhole(onSkip: { _ in }, read: read)
    #expect(path == folder.path(step: 10))
  }

  @Test func linksAreMendedButNeverDangle() throws {
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path("c"))
    for step in [10, 20] { try Self.save(folder, step: step) }
    try FileManager.default.removeItem(atPath: "\(folder.path)/latest")
    try folder.pointLinks(latest: 20, best: 10)
    #expect(folder.target(of: "latest") == "step-00000020.safetensors")
    #expect(folder.target(of: "best") == "step-00000010.safetensors")
    try folder.pointLinks(latest: 20, best: 15)
    #expect(folder.target(of: "best") == "step-00000010.safetensors")
  }

  @Test func noneUsable() throws {
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path)
    #expect(throws: CheckpointError.noneUsable(folder: temporary.path, skipped: 0)) {
      try folder.newestWhole(onSkip: { _ in }, read: { $0.path })
    }
    _ = try temporary.write([1, 2], to: "step-00000001.safetensors")
    #expect(throws: CheckpointError.noneUsable(folder: temporary.path, skipped: 1)) {
      try folder.newestWhole(onSkip: { _ in }, read: { $0.path })
    }
  }

  @Test func aWriteThatFailsLeavesTheOldFileAndNothingElse() throws {
    let temporary = try TemporaryFolder()
    let path = temporary.path("x")
    try DurableFile.replace(path, with: "old")
    #expect(throws: CheckpointError.self) {
      try DurableFile.replace(path) { write throws(CheckpointError) in
        throw CheckpointError.unwritable(path: path, reason: "the test says so")
      }
    }
    #expect(String(decoding: try contents(path), as: UTF8.self) == "old")
    #expect(DurableFile.names(in: temporary.path) == ["x"])
  }

  @Test func aFullDiskCostsNoOlderCheckpoint() throws {
    // /dev/full refuses every byte; a folder in its place cannot be made.
    let temporary = try TemporaryFolder()
    let folder = CheckpointFolder(path: temporary.path("c"))
    try Self.save(folder, step: 1)
    try FileManager.default.createSymbolicLink(
      atPath: "\(folder.path)/.step-00000002.safetensors.partial",
      withDestinationPath: "/dev/full")
    #expect(
      throws: CheckpointError.unwritable(
        path: folder.path(step: 2), reason: "No space left on device")
    ) { try Self.save(folder, step: 2) }
    #expect(folder.steps == [1])
    #expect(folder.target(of: "latest") == "step-00000001.safetensors")
  }

  @Test func foldersThatCannotBeMadeAreNamed() throws {
    let temporary = try TemporaryFolder()
    _ = try temporary.write([0], to: "file")
    #expect(throws: CheckpointError.self) {
      try DurableFile.makeFolder(temporary.path("file/inside"))
    }
    try DurableFile.makeFolder(temporary.path("a/b/c"))
    try DurableFile.makeFolder(temporary.path("a/b/c"))
    #expect(DurableFile.isFolder(temporary.path("a/b/c")))
  }
}
