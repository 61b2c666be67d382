import Foundation
import TestSupport
import Testing
import Training

/// Runs that are asked to end: all ranks after the same step, with a checkpoint and status 0.
@Suite(.serialized) struct StopTests {
  // Starts a command, waits until a file is there, and sends a signal to it or to its first child.
  static func signal(
    _ name: String, toChild: Bool = false, _ command: [String], once path: String,
    in folder: TemporaryFolder
  ) throws -> Outcome {
    let script = """
      "$@" & id=$!
      for _ in $(seq 200); do [ -e '\(path)' ] && break; sleep 0.1; done
      sleep 0.3
      \(toChild ? "set -- $(cat /proc/$id/task/*/children)" : "set -- $id")
      kill -\(name) "$1"
      wait $id
      """
    return try Launch.run(
      ["sh", "-c", script, "sh"] + command, seconds: 60, folder.path,
      ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"])
  }

  static func flags(_ run: String) -> [String] {
    [
      "train", "--deterministic", "--hidden", "30", "--latent", "3", "--threads", "1", "--epochs",
      "1000000", "--run", run,
    ]
  }

  static func stoppedStep(_ output: String) throws -> Int {
    let words = try #require(
      output.split(separator: "\n").first { $0.hasPrefix("Stopped by a signal after step ") })
    let digits = words.dropFirst("Stopped by a signal after step ".count).prefix {
      $0.isNumber || $0 == ","
    }
    return try #require(Int(digits.filter(\.isNumber)))
  }

  @Test(arguments: ["TERM", "INT", "USR1"]) func aSignalEndsARunWithACheckpoint(
    _ name: String
  ) throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    // A shell that waits in the background would have SIGINT ignored: `env` puts it right.
    let outcome = try Self.signal(
      name, ["env", "--default-signal=INT", Launch.product("vae-dist")] + Self.flags(run),
      once: "\(run)/checkpoints/latest", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let step = try Self.stoppedStep(outcome.output)
    #expect(outcome.output.contains("to go on: vae-dist train --run \(run) --resume"))
    // As if nothing had happened.
    let more = ["--steps", "\(step + 7)"]
    let resumed = try Launch.alone("vae-dist", ["train", "--run", run, "--resume"] + more)
    #expect(resumed.status == 0, "\(resumed.errors)")
    let whole = try Launch.alone(
      "vae-dist",
      Self.flags(folder.path("whole")).dropLast(4) + more + ["--run", folder.path("whole")])
    #expect(whole.status == 0, "\(whole.errors)")
    #expect(
      try contents("\(run)/checkpoints/latest") == contents(folder.path("whole/checkpoints/latest"))
    )
  }

  @Test func signalsDoNotDisturbProducts() throws {
    // oneDNN keeps numbers below the stack pointer, where a handler on the same stack writes over them; a
    // quarter of the runs ended with a crash before handlers had a thread of their own.
    let folder = try TemporaryFolder()
    let rows = (0..<500).map { row in (0..<560).map { Float(($0 + row) % 7) / 7 } }
    let data = try folder.write(npy(rows), to: "x.npy")
    for number in 0..<10 {
      let run = folder.path("run-\(number)")
      let outcome = try Self.signal(
        number % 2 == 0 ? "TERM" : "USR1",
        [
          Launch.product("vae-dist"), "train", "--data", data, "--likelihood", "gaussian",
          "--threads",
          "\(1 + number % 2)", "--epochs", "1000000", "--checkpoint-every", "1000", "--run", run,
        ], once: "\(run)/metrics.jsonl", in: folder)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
  }

  @Test func ranksEndTogether() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    // One of them is enough.
    let outcome = try Self.signal(
      "USR1", toChild: true,
      ["mpirun", "--oversubscribe", "--bind-to", "none", "-np", "3", Launch.product("vae-dist")]
        + Self.flags(run),
      once: "\(run)/checkpoints/latest", in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let step = try Self.stoppedStep(outcome.output)
    let saved = try SavedModel(path: run)
    #expect(saved.progress.step == step)
  }

  @Test func timeIsUp() throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.alone(
      "vae-dist", Self.flags(folder.path("run")) + ["--walltime", "1s"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("Stopped at the end of --walltime after step "))
    let wrong = try Launch.alone("vae-dist", ["train", "--walltime", "soon"])
    #expect(wrong.status == 64)
    #expect(
      wrong.errors.contains("--walltime is 'soon'; it must be a time: 3h50m, 90m, 45s or 3600"))
  }

  @Test(arguments: [
    ("3h50m", 13_800), ("90m", 5400), ("45s", 45), ("1h1s", 3601), ("3600", 3600), ("0", nil),
    ("", nil), ("m", nil), ("3m2h", nil), ("3h5", nil), ("-3s", nil), ("3 h", nil), ("0h", nil),
    ("99999999999h", nil), ("1.5h", nil), ("٣h", nil),
  ]) func timesAreRead(_ text: String, _ seconds: Int?) {
    #expect(Duration(walltime: text) == seconds.map { .seconds($0) })
  }
}
