import Foundation
import TestSupport
import Testing

/// `vae-dist reproduce`, with a few images in the place of MNIST and at a tiny scale.
@Suite(.serialized) struct ReproduceCommandTests {
  struct Results: Decodable {
    struct Run: Decodable {
      let run: String
      let scale: Double
      let examplesSeen: Int
      let testBound: Double?
      let paperTestBound: Double?
      let negativeLogLikelihood: Double?
      let paperNegativeLogLikelihood: Double?
      let standardError: Double?
      let activeUnits: Int?
    }
    let experiment: String
    let results: [Run]
  }

  static func results(_ folder: String) throws -> Results {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      Results.self, from: Data(contentsOf: URL(filePath: "\(folder)/results.json")))
  }

  /// 1,797 images of 28×28 of which a tenth is held out.
  static func images(_ folder: TemporaryFolder, width: Int = 784) throws -> String {
    let rows = (0..<1797).map { row in
      (0..<width).map { Float(($0 * 7 + row * 13) % 29 < row % 17 ? 1 : 0) }
    }
    return try folder.write(npy(rows), to: "images-\(width).npy")
  }

  @Test func curvesAreDrawnBesideThePapers() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("fig2")
    let flags = [
      "reproduce", "aevb-fig2", "--mnist", try Self.images(folder), "--only", "mnist-3, mnist-20",
      "--scale",
      "0.0001", "--run", run,
    ]
    let outcome = try Launch.alone("vae-dist", flags)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let results = try Self.results(run)
    #expect(results.experiment == "aevb-fig2")
    #expect(results.results.map(\.scale) == [0.0001, 0.0001])
    #expect(results.results.map(\.run) == ["mnist-3", "mnist-20"])
    for result in results.results {
      // Whole batches, and the short one at the end of each epoch of 1,617 examples.
      #expect((10_000..<10_100).contains(result.examplesSeen))
      #expect(result.testBound?.isFinite == true)
      #expect(result.paperTestBound == nil, "The paper's curves begin at a million")
      #expect(outcome.output.contains("\(result.run): "))
    }
    #expect(outcome.output.contains("test: paper"))
    let figure = try String(contentsOfFile: "\(run)/figure.svg", encoding: .utf8)
    #expect(figure.hasPrefix("<svg ") && figure.hasSuffix("</svg>\n"))
    #expect(figure.components(separatedBy: "<polyline").count == 1 + 2 * 4)
    #expect(figure.contains("MNIST, 20 latents"))
    // What is done is not done again.
    let metrics = try Data(contentsOf: URL(filePath: "\(run)/mnist-3/metrics.jsonl"))
    let again = try Launch.alone("vae-dist", flags)
    #expect(again.status == 0 && again.output.contains("is complete at step 105"))
    #expect(try Data(contentsOf: URL(filePath: "\(run)/mnist-3/metrics.jsonl")) == metrics)
    #expect(try Self.results(run).results.map(\.testBound) == results.results.map(\.testBound))
  }

  // Long runs are asked for one at a time, perhaps on several days.
  @Test func callsAddUp() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("fig2")
    let images = try Self.images(folder)
    func reproduce(_ name: String, _ scale: String) throws -> Outcome {
      try Launch.alone(
        "vae-dist",
        [
          "reproduce", "aevb-fig2", "--mnist", images, "--only", name, "--scale", scale, "--run",
          run,
        ])
    }
    #expect(try reproduce("mnist-5", "0.00002").status == 0)
    #expect(try reproduce("mnist-3", "0.00001").status == 0)
    let results = try Self.results(run).results
    #expect(results.map(\.run) == ["mnist-3", "mnist-5"])
    #expect(results.map(\.scale) == [0.00001, 0.00002])
    let figure = try String(contentsOfFile: "\(run)/figure.svg", encoding: .utf8)
    #expect(figure.contains("MNIST, 3 latents") && figure.contains("MNIST, 5 latents"))
    // Longer is more of the same; shorter is not what was asked for.
    #expect(try reproduce("mnist-3", "0.00002").status == 0)
    #expect(try Self.results(run).results.map(\.scale) == [0.00002, 0.00002])
    let shorter = try reproduce("mnist-5", "0.00001")
    #expect(shorter.status == 64)
    #expect(shorter.errors.contains("is a run with --steps=21, and --scale 1e-05 asks for"))
  }

  @Test func logLikelihoodsStandBesideThePapers() throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.ranks(
      2, "vae-dist",
      [
        "reproduce", "iwae-table1", "--mnist", try Self.images(folder), "--only", "vae-1,iwae-5",
        "--scale",
        "0.0006", "--importance-samples", "20", "--run", folder.path("table"), "--threads", "1",
      ])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let results = try Self.results(folder.path("table")).results
    #expect(results.map(\.paperNegativeLogLikelihood) == [86.76, 85.54])
    for result in results {
      #expect(result.examplesSeen == 2 * 1617)
      #expect(try #require(result.negativeLogLikelihood) > 0)
      #expect(try #require(result.standardError) > 0)
      #expect(result.activeUnits != nil)
    }
    #expect(outcome.output.contains("NLL: paper"))
  }

  @Test(arguments: [
    (["aevb-fig2"], "no run has its data; give --frey-face or --mnist"),
    (["aevb-fig2", "--mnist", "digits", "--scale", "0"], "--scale is 0.0; it must be above 0"),
    (["aevb-fig2", "--mnist", "digits", "--scale", "nan"], "--scale is nan; it must be above 0"),
    (["aevb-fig2", "--mnist", "digits", "--only", "mnist-4"], "--only names 'mnist-4'; the runs"),
    (
      ["aevb-fig2", "--mnist", "digits", "--only", "frey-face-2"],
      "--only names frey-face-2, whose data are missing; give --frey-face"
    ),
    (["aevb-fig2", "--mnist", "digits", "--only", ""], "--only names ''"),
    (["aevb-fig2", "--mnist", "digits", "--run", ""], "--run is empty"),
    (["aevb-fig2", "--mnist", "", "--frey-face", "x"], "--mnist is empty"),
    (
      ["iwae-table1", "--mnist", "digits", "--importance-samples", "0"], "--importance-samples is 0"
    ),
    (["aevb-fig3"], "aevb-fig3"),
    (
      ["aevb-fig2", "--mnist", "digits"],
      "'digits' has examples of 64 values, and MNIST of 784; --mnist says where MNIST is"
    ),
    (
      ["aevb-fig2", "--mnist", "digits", "--importance-samples", "9"],
      "--importance-samples 9 belongs to iwae-table1"
    ),
  ]) func wrongUseIsNamed(_ arguments: [String], sentence: String) throws {
    let outcome = try Launch.alone("vae-dist", ["reproduce"] + arguments)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
  }

  @Test(arguments: ["aevb-fig2-mnist", "aevb-fig2-frey-face", "iwae-table1"])
  func presetsAreConfigurationFiles(_ name: String) throws {
    let folder = try TemporaryFolder()
    let preset = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../Sources/VAEDistCommand/Presets/\(name).yaml").path
    let outcome = try Launch.alone(
      "vae-dist",
      ["train", "--config", preset, "--steps", "3", "--run", folder.path("run")])
    #expect(outcome.status == 0, "\(outcome.errors)")
  }
}
