import Foundation
import TestSupport
import Testing

/// A table with texts, from inspection to results: names of columns and classes stay with the model.
@Suite(.serialized) struct TextTableTests {
  // Names of rows, a number, a class with a comma in its name, a truth value, missing values.
  static func table(rows: Int) -> String {
    var random = TestRandom(seed: 3)
    var text = "patient,age,\"where, exactly\",ill\n"
    for row in 0..<rows {
      let place = ["home", "\"ward, north\"", "icu"][Int(random.next() % 3)]
      let age = random.next() % 10 == 0 ? "" : "\(20 + random.next() % 60).5"
      text += "p\(row),\(age),\(place),\(random.next() % 2)\n"
    }
    return text
  }

  // What a command prints.
  @discardableResult
  static func call(_ arguments: [String], ranks: Int = 0) throws -> String {
    let outcome =
      ranks == 0
      ? try Launch.alone("vae-dist", arguments) : try Launch.ranks(ranks, "vae-dist", arguments)
    try #require(outcome.status == 0, "\(arguments): \(outcome.errors)")
    return outcome.output
  }

  struct Inspection: Decodable {
    struct Advice: Decodable { let command: String }
    let advice: Advice
  }

  @Test func namesGoThroughEveryCommand() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(Array(Self.table(rows: 300).utf8), to: "t.csv")
    let found = try JSONDecoder().decode(
      Inspection.self, from: Data(try Self.call(["inspect", data, "--json"]).utf8))
    #expect(
      found.advice.command.hasSuffix(
        "t.csv --likelihood table --columns \"gaussian, categorical 3, bernoulli\" --skip-columns patient"
      ),
      "\(found.advice.command)")
    let run = folder.path("run")
    let flags = [
      "--data", data, "--likelihood", "table", "--columns", "gaussian, categorical 3, bernoulli",
      "--skip-columns", "patient", "--hidden", "16", "--latent", "2", "--epochs", "2",
      "--no-report", "--threads", "1",
    ]
    try Self.call(["train", "--run", run] + flags + ["--labels", "\(data):where, exactly"])
    // From its own settings, on two ranks.
    let again = folder.path("again")
    try Self.call(
      ["train", "--run", again, "--config", "\(run)/config.yaml"], ranks: 2)
    #expect(
      try String(contentsOfFile: "\(again)/config.yaml", encoding: .utf8).contains("- patient"))
    try Self.call(["train", "--run", run, "--resume", "--epochs", "3"])

    // Other names for the same numbers are other data.
    let renamed = try folder.write(
      Array(Self.table(rows: 300).replacing("home", with: "house").utf8), to: "t.csv")
    let refused = try Launch.alone(
      "vae-dist", ["train", "--run", run, "--data", renamed, "--resume", "--epochs", "4"])
    #expect(
      refused.status == 65
        && refused.errors.contains("has 'house' in column 'where, exactly' of line "),
      "\(refused.errors)")
    _ = try folder.write(Array(Self.table(rows: 300).utf8), to: "t.csv")

    // Draws are a table like the first, and one to train on.
    let draws = folder.path("draws.csv")
    try Self.call([
      "sample", run, "--draw", "--values-only", "--count", "250", "--output", draws,
    ])
    let lines = try String(contentsOfFile: draws, encoding: .utf8).split(separator: "\n")
    #expect(lines[0] == "age,\"where, exactly\",ill" && lines.count == 251)
    #expect(
      lines.dropFirst().allSatisfy { line in
        ["home", "\"ward, north\"", "icu"].contains { line.contains(",\($0),") }
          && (line.hasSuffix(",0") || line.hasSuffix(",1"))
      })
    try Self.call([
      "train", "--run", folder.path("of-draws"), "--data", draws, "--likelihood", "table",
      "--columns",
      "gaussian, categorical 3, bernoulli", "--epochs", "1", "--no-report",
    ])
    try Self.call(["score", run, "--data", draws])

    // Fine-tuning reads other data by the names of the first: here without one of the classes, and turned round.
    let few = try folder.write(
      Array("ill,age,\"where, exactly\"\n".utf8)
        + (0..<60).flatMap {
          Array("\($0 % 2),\(20 + $0),\($0 % 3 == 0 ? "icu" : "\"ward, north\"")\n".utf8)
        },
      to: "few.csv")
    let tuned = folder.path("tuned")
    try Self.call([
      "train", "--config", "\(run)/config.yaml", "--data", few, "--initialize-from", run,
      "--learning-rate", "1e-30",
      "--steps", "1", "--global-batch-size", "10", "--run", tuned, "--no-report",
    ])
    #expect(
      try String(contentsOfFile: "\(tuned)/config.yaml", encoding: .utf8)
        .contains("\(few):where, exactly"))
    var scored: [[UInt8]] = []
    for model in [run, tuned] {
      try Self.call(["score", model, "--data", few, "--output", folder.path("s.csv")])
      scored.append(try contents(folder.path("s.csv")))
    }
    #expect(scored[0] == scored[1])
    // Its own test examples, too, are read so.
    try Self.call(["evaluate", tuned])
    try Self.call(["train", "--run", tuned, "--resume", "--steps", "2", "--no-report"])
    let unnamed = try folder.write(Array("1,2,3,4\n5,6,7,8\n".utf8), to: "unnamed.csv")
    let unread = try Launch.alone("vae-dist", ["score", run, "--data", unnamed])
    #expect(
      unread.status == 65
        && unread.errors.contains(
          "has 4 columns and no names in its first line, where the model reads 3: age,"),
      "\(unread.errors)")

    // Columns are found by name, whatever else there is and in which order.
    let plain = folder.path("plain.csv")
    let moved = folder.path("moved.csv")
    try Self.call(["score", run, "--data", data, "--output", plain])
    let columns = Self.table(rows: 300).split(separator: "\n").map { line in
      line.replacing("\"ward, north\"", with: "WARD").replacing("\"where, exactly\"", with: "WHERE")
        .split(separator: ",", omittingEmptySubsequences: false)
    }
    let other = try folder.write(
      Array(
        columns.map { "\($0[3]),9,\($0[2]),\($0[1])\n" }.joined()
          .replacing("ill,9", with: "ill,new").replacing("WARD", with: "\"ward, north\"")
          .replacing("WHERE", with: "\"where, exactly\"").utf8), to: "other.csv")
    try Self.call(["score", run, "--data", other, "--output", moved])
    let scores = try contents(plain)
    #expect(try contents(moved) == scores)
    #expect(String(decoding: scores.prefix(40), as: UTF8.self).hasPrefix("row,elbo,"))

    // Labels by their names.
    let encoded = folder.path("z.csv")
    try Self.call([
      "encode", run, "--data", data, "--labels", "\(data):where, exactly", "--output", encoded,
    ])
    let rows = try String(contentsOfFile: encoded, encoding: .utf8).split(separator: "\n")
    #expect(rows[0].hasPrefix("row,label,label_name,mean_0,"))
    #expect(
      rows.dropFirst().allSatisfy {
        $0.contains(",0,home,") || $0.contains(",1,icu,") || $0.contains(",2,\"ward, north\",")
      })
  }

  @Test(arguments: [
    (
      ["--likelihood", "gaussian"],
      "has texts (p0, p1, p10 and 47 more) in column 'patient'; --skip-columns leaves it out"
    ),
    (
      ["--likelihood", "table", "--columns", "3 gaussian", "--skip-columns", "patient"],
      "has texts (home, icu, ward, north) in column 'where, exactly', which needs categorical 3"
    ),
    (["--skip-columns", "patients"], "has no column 'patients'; its columns are patient, age"),
  ]) func whatDoesNotSuitIsSaidByItsName(_ flags: [String], _ sentence: String) throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(Array(Self.table(rows: 50).utf8), to: "t.csv")
    let outcome = try Launch.alone(
      "vae-dist", ["train", "--data", data, "--run", folder.path("run")] + flags)
    #expect(outcome.status == 65 && outcome.errors.contains(sentence), "\(outcome.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("run")))
  }

  // Conditional models know classes by name.
  @Test func classesOfConditionalModelsHaveNames() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(
      Array("v,kind\n".utf8)
        + (0..<60).flatMap { Array("\($0 % 7),\(["b", "t", "nk"][$0 % 3])\n".utf8) },
      to: "t.csv")
    let run = folder.path("run")
    try Self.call([
      "train", "--run", run, "--data", data, "--skip-columns", "kind", "--labels", "\(data):kind",
      "--condition", "labels", "--likelihood", "gaussian", "--hidden", "8", "--latent", "2",
      "--epochs", "1",
      "--no-report", "--global-batch-size", "20",
    ])
    let output = folder.path("s.csv")
    try Self.call(["sample", run, "--label", "t", "--count", "2", "--output", output])
    let rows = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    #expect(
      rows[0] == "v,z_0,z_1,label,label_name"
        && rows.dropFirst().allSatisfy { $0.hasSuffix(",2,t") })
    let wrong = try Launch.alone("vae-dist", ["sample", run, "--label", "T"])
    #expect(
      wrong.status == 64 && wrong.errors.contains("the model knows classes from 0 to 2: b, nk, t"))
    // Other data without one of the classes.
    let few = try folder.write(Array("kind,v\nt,3\nb,4\n".utf8), to: "few.csv")
    try Self.call([
      "score", run, "--data", few, "--labels", "\(few):kind", "--output", output,
    ])
    let scores = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    #expect(scores[1].hasPrefix("0,2,t,") && scores[2].hasPrefix("1,0,b,"))
    let strange = try folder.write(Array("kind,v\nx,3\n".utf8), to: "strange.csv")
    let outcome = try Launch.alone(
      "vae-dist", ["score", run, "--data", strange, "--labels", "\(strange):kind"])
    #expect(
      outcome.status == 65
        && outcome.errors.contains(
          "has the class 'x', which is none of those that there are: b, nk, t"),
      "\(outcome.errors)")
  }
}
