import Foundation
import TestSupport
import Testing

/// What changed files have shown is kept: every reader answers or refuses, and says why.
@Suite struct FuzzCorpusTests {
  @Test func everyKeptFileIsReadOrRefused() throws {
    let corpus = packageRoot.appending(path: "Tests/Fuzz/Corpus")
    let files = try FileManager.default.subpathsOfDirectory(atPath: corpus.path)
      .filter { $0.contains("/") }.sorted()
    #expect(files.count > 50)
    let outcome = try Launch.alone(
      "fuzz-readers", ["--files"] + files.map { corpus.appending(path: $0).path })
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(
      outcome.output.split(separator: "\n").count { $0.hasPrefix(corpus.path) } == files.count)
  }

  @Test(arguments: [
    "npy", "idx", "gzip", "labels", "safetensors", "checkpoint", "config", "metrics",
  ])
  func newFilesAreReadOrRefused(_ reader: String) throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.alone("fuzz-readers", [reader, "500", "3", folder.path])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("\(reader): 500 files, "))
  }
}
