import Foundation
import TestSupport
import Testing

/// Commands that ask a trained model: the same files whoever computes, and wrong questions refused.
@Suite(.serialized) struct ResultCommandTests {
  // A conditional model of images, a plane of latents with a learned prior, and counts.
  static let models: [String: [String]] = [
    "conditional": ["--condition", "labels", "--latent", "3"],
    "plane": ["--latent", "2", "--prior", "vamp", "--prior-components", "7"],
    "counts": ["--latent", "3", "--likelihood", "poisson", "--library-size", "observed"],
  ]

  static func train(_ name: String, in folder: TemporaryFolder) throws -> String {
    let run = folder.path(name)
    let outcome = try Launch.alone(
      "vae-dist",
      ["train", "--run", run, "--hidden", "30", "--epochs", "2", "--threads", "1"]
        + (models[name] ?? []))
    try #require(outcome.status == 0, "\(outcome.errors)")
    return run
  }

  static let questions: [(String, String, [String])] = [
    ("plane", "sample", ["--count", "523", "--temperature", "0.7", "--draw", "--seed", "4"]),
    ("conditional", "sample", ["--count", "230"]),
    ("counts", "sample", ["--count", "230", "--draw", "--total", "250"]),
    ("conditional", "encode", ["--split", "train"]),
    ("plane", "score", ["--split", "train"]),
    ("conditional", "score", ["--importance-samples", "7"]),
    ("counts", "reconstruct", ["--count", "150", "--draw"]),
    ("plane", "traverse", ["--row", "3", "--steps", "60"]),
    ("conditional", "interpolate", ["--spherical", "--steps", "40"]),
    ("plane", "manifold", []),
  ]

  @Test func ranksAndThreadsWriteTheSameFiles() throws {
    let folder = try TemporaryFolder()
    var runs: [String: String] = [:]
    for name in Self.models.keys { runs[name] = try Self.train(name, in: folder) }
    for (index, (model, command, flags)) in Self.questions.enumerated() {
      let run = try #require(runs[model])
      let hasPicture = command != "encode" && command != "score"
      var expected: [[UInt8]] = []
      for (number, (ranks, threads)) in [(1, 1), (1, 3), (3, 1), (2, 2)].enumerated() {
        let outputs = (["npz", "npy", "csv"] + (hasPicture ? ["png"] : [])).map {
          folder.path("\(index)-\(number).\($0)")
        }
        let arguments =
          [command, run, "--threads", "\(threads)"] + flags + outputs.flatMap { ["--output", $0] }
        let outcome =
          ranks == 1
          ? try Launch.alone("vae-dist", arguments)
          : try Launch.ranks(ranks, "vae-dist", arguments)
        try #require(outcome.status == 0, "\(arguments): \(outcome.errors)")
        let bytes = try outputs.map { try contents($0) }
        if number == 0 { expected = bytes }
        for (output, (found, wanted)) in zip(outputs, zip(bytes, expected)) {
          #expect(found == wanted, "\(model) \(command) \(ranks) × \(threads): \(output)")
        }
      }
    }
    // What decode makes of latents is what sample made of them.
    let run = try #require(runs["plane"])
    let latents = folder.path("z.npy")
    #expect(
      try Launch.alone("vae-dist", ["encode", run, "--output", latents]).status == 0)
    let decoded = try Launch.alone(
      "vae-dist", ["decode", run, latents, "--output", folder.path("d.npy")])
    #expect(decoded.status == 0, "\(decoded.errors)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("."))
    #expect(names.allSatisfy { !$0.hasSuffix(".partial") }, "\(names)")
  }

  // A conditional model keeps to one class on a way: the example's, or the first.
  @Test func waysAreOfOneClass() throws {
    let folder = try TemporaryFolder()
    let run = try Self.train("conditional", in: folder)
    let output = folder.path("s.csv")
    // Digits' labels begin 0, 1, … 9, 0, 1; rows of the test examples are known from what encode says.
    func labels(_ arguments: [String]) throws -> [String] {
      let outcome = try Launch.alone("vae-dist", arguments + ["--output", output])
      try #require(outcome.status == 0, "\(outcome.errors)")
      let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
      let column = try #require(lines[0].split(separator: ",").firstIndex(of: "label"))
      return lines.dropFirst().map { String($0.split(separator: ",")[column]) }
    }
    let all = try labels(["encode", run])
    let rows = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
      .dropFirst().compactMap { $0.split(separator: ",").first.map(String.init) }
    let first = try #require(all.indices.first { all[$0] != "0" })
    let second = try #require(all.indices.first { all[$0] != all[first] })
    #expect(
      try labels(["traverse", run, "--latents", "0,2", "--steps", "2", "--row", rows[first]])
        == Array(repeating: all[first], count: 4))
    #expect(try labels(["traverse", run, "--latents", "1", "--steps", "3"]) == ["0", "0", "0"])
    #expect(
      try labels(["traverse", run, "--latents", "1", "--steps", "2", "--label", "7"]) == ["7", "7"])
    let ends = [rows[first], rows[second], rows[first]].joined(separator: ",")
    #expect(
      try labels(["interpolate", run, "--rows", ends, "--steps", "2"])
        == [all[first], all[first], all[second], all[second]])
    #expect(try labels(["sample", run, "--count", "3"]) == ["0", "1", "2"])
  }

  @Test func wrongQuestionsAreRefusedInOneSentence() throws {
    let folder = try TemporaryFolder()
    let run = try Self.train("conditional", in: folder)
    let plane = try Self.train("plane", in: folder)
    _ = try folder.write(npy([[1, 2, 3, 4], [5, 6, 7, 8]]), to: "four.npy")
    let cases: [([String], Int32, String)] = [
      (["manifold", run], 64, "Error: The model has 3 latents, and a manifold two; traverse"),
      (
        ["sample", run, "--label", "10"], 64, "--label is '10'; the model knows classes from 0 to 9"
      ),
      (["sample", plane, "--label", "1"], 64, "--label 1 is for conditional models"),
      (["sample", run, "--count", "0"], 64, "Error: --count is 0; it must be"),
      (["sample", run, "--temperature", "-1"], 64, "Error: --temperature is -1.0; it must be"),
      (
        ["decode", run, folder.path("four.npy")], 64,
        "has 4 numbers in a row, and the model has 3 latents"
      ),
      (["decode", run, folder.path("none.npy")], 66, "none.npy' does not exist"),
      (
        ["traverse", run, "--latents", "0,3"], 64,
        "--latents names latent 3; the model has latents from 0 to 2"
      ),
      (["interpolate", run, "--rows", "4"], 64, "--rows names 1; a way has two ends at least"),
      (["interpolate", run, "--rows", "3,-1"], 64, "Row -1 is not among the 180 examples (test)"),
      (["reconstruct", run, "--rows", "0"], 64, "Row 0 is not among the 180 examples (test)"),
      (["encode", run, "--output", "x.pdf"], 64, "--output 'x.pdf' has none of the endings"),
      (
        ["encode", run, "--output", folder.path("x.png")], 64,
        "x.png': encode writes numbers, as .npz, .npy, .csv or .tsv"
      ),
      (["encode", run, "--scale", "2"], 64, "--scale 2.0 needs --data"),
      (["encode", folder.path("nothing")], 66, "nothing' does not exist"),
      (["score", run, "--top", "-1"], 64, "--top is -1; it must be at least 0"),
      (["encode", run, "--output", "\(run)/checkpoints/latest/x.npz"], 74, "cannot be written"),
    ]
    for (arguments, status, words) in cases {
      let outcome = try Launch.alone("vae-dist", arguments, in: folder.path("."))
      #expect(outcome.status == status, "\(arguments): \(outcome.status) \(outcome.errors)")
      #expect(outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(arguments): \(outcome.errors)")
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: run)
    #expect(
      Set(names) == ["checkpoints", "config.yaml", "metrics.jsonl", "report.html"], "\(names)")
  }
}
