import Collectives
import DataLoading
import Foundation
import TestSupport
import Testing
import Training

/// Tables from file to run: what columns are, what they are standardized by, what is refused.
@Suite struct TableTrainingTests {
  static let ranks = Agreement(SoloCommunicator()) { _ in 64 }

  static func configuration(
    _ rows: [[Float]], _ columns: String, _ folder: TemporaryFolder
  ) throws
    -> TrainingConfiguration
  {
    var configuration = TrainingConfiguration()
    configuration.data = try folder.write(npy(rows), to: "x.npy")
    configuration.testFraction = 0.34
    configuration.likelihood = .table
    configuration.columns = columns
    return configuration
  }

  static let rows: [[Float]] = [
    [1, 0, 10, 3], [3, 1, .nan, 0], [.nan, 1, 1000, 2], [5, .nan, 100, 1],
  ]

  @Test func columnsAreStandardizedByWhatIsThere() throws {
    let folder = try TemporaryFolder()
    let configuration = try Self.configuration(
      Self.rows, "gaussian, bernoulli, log-normal, categorical 4", folder)
    try configuration.validate(worldSize: 1)
    let data = try PreparedData(configuration, agreement: Self.ranks)
    let resolved = configuration.resolved(for: data)
    let ten: Double = 10
    // Of the first three rows: the last is held out.
    #expect(data.train.rows == [0, 1, 2])
    #expect(
      resolved.columns
        == "gaussian center 2.0 scale 1.0, bernoulli, log-normal center \(Float(2 * log(ten)))"
        + " scale \(Float(log(ten))), categorical 4")
    // What is resolved stays so, whatever the data.
    var again = try Self.configuration(
      Self.rows + [[90, 0, 3, 0]], try #require(resolved.columns), folder)
    again = again.resolved(for: try PreparedData(again, agreement: Self.ranks))
    #expect(again.columns == resolved.columns)
    // 2 for each number, a logit each for truth and the four classes.
    #expect(try resolved.model(inputs: 4).decoder.output.count == 9)
  }

  static let wrong: [(columns: String, sentence: String)] = [
    ("4 gauss", "column '4 gauss' is none of gaussian, log-normal"),
    ("3 gaussian", "--columns describes 3 columns, but an example has 4 values"),
    ("gaussian, bernoulli, bernoulli, poisson", "has values from 10 to 1000 in column 3"),
    ("gaussian, log-normal, gaussian, poisson", "has values from 0 to 1 in column 2"),
    ("4 categorical", "needs its number of classes, from 2 to 65536: categorical 5"),
    (
      "2 gaussian, gaussian, categorical 3",
      "has values from 0 to 3 in column 4, which needs class numbers from 0 to 2"
    ),
    ("gaussian scale 2, 3 gaussian", "has one of center and scale"),
    ("gaussian center 1 scale 0, 3 gaussian", "has a center or a scale that is no usual number"),
    ("bernoulli center 1 scale 2, 3 gaussian", "has 'center', which it does not know"),
    ("0 gaussian", "begins with 0"),
    ("99999999999 gaussian", "a number of columns is from 1 to"),
    ("gaussian,", "column '' is none of"),
  ]

  @Test(arguments: wrong) func whatIsWrongIsNamed(_ columns: String, _ sentence: String) throws {
    let folder = try TemporaryFolder()
    let configuration = try Self.configuration(Self.rows, columns, folder)
    do {
      try configuration.validate(worldSize: 1)
      _ = try PreparedData(configuration, agreement: Self.ranks)
      Issue.record("'\(columns)' was accepted")
    } catch {
      let message = (error as? SharedFailure)?.message ?? "\(error)"
      #expect(message.contains(sentence), "\(message)")
    }
  }

  @Test(arguments: [
    ([[Float]]([[.nan, 1], [.nan, 2], [.nan, 3]]), "has no value at all in column 1"),
    ([[1, .infinity], [2, 1], [3, 1]], "has infinite values"),
  ]) func valuesThatAreNone(_ rows: [[Float]], _ sentence: String) throws {
    let folder = try TemporaryFolder()
    let configuration = try Self.configuration(rows, "2 gaussian", folder)
    do {
      _ = try PreparedData(configuration, agreement: Self.ranks)
      Issue.record("\(rows) was accepted")
    } catch let failure as SharedFailure {
      #expect(failure.message.contains(sentence), "\(failure.message)")
    }
  }

  // What a column is to 64-bit floats it must be to 32-bit ones.
  @Test func digitsThatAreLostAreNamed() throws {
    let folder = try TemporaryFolder()
    var configuration = try Self.configuration(Self.rows, "gaussian", folder)
    let times = (0..<20).map { 1.7e9 + 0.1 * Double($0) }
    configuration.data = try folder.write(
      npy(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (20, 1), }",
        times.withUnsafeBytes { Array($0) }), to: "times.npy")
    do {
      _ = try PreparedData(configuration, agreement: Self.ranks)
      Issue.record("Times were accepted")
    } catch let failure as SharedFailure {
      #expect(failure.message.contains("hardly tells apart"), "\(failure.message)")
    }
  }

  // A column that was learned may be missing in what is scored.
  @Test func missingColumnsAreScored() throws {
    let folder = try TemporaryFolder()
    var configuration = try Self.configuration(
      Self.rows, "gaussian, bernoulli, log-normal, categorical 4", folder)
    configuration = configuration.resolved(
      for: try PreparedData(configuration, agreement: Self.ranks))
    for rows in [[[Float]]([[.nan, 1, .nan, 2]]), [[.nan, .nan, .nan, .nan]]] {
      configuration.data = try folder.write(npy(rows), to: "y.npy")
      let data = try PreparedData(configuration, agreement: Self.ranks, holdsOut: false)
      #expect(data.test.count == 1)
    }
  }

  /// A table of two kinds of rows, a fifth of whose values are missing.
  static func rows(_ count: Int) -> [[Float]] {
    var random = TestRandom(seed: 6)
    return (0..<count).map { _ in
      let kind = random.uniform(1)[0] > 0
      let noise = random.normal(2)
      var row: [Float] = [
        Float((kind ? 70 : 20) + 5 * noise[0]), Float(exp((kind ? 9 : 11) + 0.3 * noise[1])),
        random.uniform(1, in: 0...1)[0] < (kind ? 0.9 : 0.1) ? 1 : 0, kind ? 3 : 1,
        kind ? 0 : 2,
      ]
      for index in row.indices where random.uniform(1, in: 0...1)[0] < 0.2 { row[index] = .nan }
      return row
    }
  }

  @Test func oneLearnsAndManyAgree() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(npy(Self.rows(900)), to: "table.npy")
    let arguments = [
      "train", "--data", path, "--likelihood", "table", "--columns",
      "gaussian, log-normal, bernoulli, poisson, categorical 3", "--hidden", "20", "--latent", "2",
      "--epochs", "15", "--global-batch-size", "50", "--threads", "1", "--run",
    ]
    let local = try Launch.alone("vae-dist", arguments + [folder.path("local")])
    #expect(local.status == 0, "\(local.errors)")
    let many = try Launch.ranks(3, "vae-dist", arguments + [folder.path("many")])
    #expect(many.status == 0, "\(many.errors)")
    func figures(_ run: String) throws -> [Double] {
      try contents("\(folder.path(run))/metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
        try JSONDecoder().decode(MetricsEvent.self, from: Data($0))
      }.filter { $0.event == "evaluate" }.compactMap(\.elbo)
    }
    let (one, other) = (try figures("local"), try figures("many"))
    #expect(one.count == 15 && other.count == 15)
    #expect(try #require(one.last) > #require(one.first) + 1)
    for (a, b) in zip(one, other) { #expect(abs(a - b) < 1e-4 * abs(a)) }
  }
}
