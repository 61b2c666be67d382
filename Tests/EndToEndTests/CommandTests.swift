import Foundation
import TestSupport
import Testing

/// What a person sees: the built program's words and exit statuses.
@Suite(.serialized) struct CommandTests {
  @Test func helpNamesEveryCommandAndStatus() throws {
    let outcome = try Launch.alone("vae-dist", ["--help"])
    #expect(outcome.status == 0)
    for word in [
      "train", "evaluate", "inspect", "benchmark", "EXIT STATUS", "78  ranks", "mpirun -np 4",
    ] {
      #expect(outcome.output.contains(word), "\(word)")
    }
    #expect(try Launch.alone("vae-dist", []).output.contains("USAGE: vae-dist"))
    #expect(try Launch.alone("vae-dist", ["--version"]).output.hasPrefix("0."))
    let train = try Launch.alone("vae-dist", ["train", "--help"]).output
    for flag in ["--global-batch-size", "--likelihood", "--resume", "--config", "--test-fraction"] {
      #expect(train.contains(flag), "\(flag)")
    }
  }

  @Test func aModelThatDoesWithoutLatentsIsWarnedOf() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    let outcome = try Launch.alone(
      "vae-dist",
      ["train", "--run", run, "--epochs", "20", "--hidden", "20", "--latent", "4", "--beta", "50"])
    #expect(outcome.status == 0)
    #expect(
      outcome.errors.hasPrefix("Warning: posterior collapse: the 4 latents together carry 0."),
      "\(outcome.errors)")
    #expect(outcome.errors.contains("; a smaller --beta lets the latents tell more\n"))
    let evaluation = try Launch.alone("vae-dist", ["evaluate", run, "--importance-samples", "20"])
    for word in ["active units                   0 of 4", "effective sample size", "Warning: "] {
      #expect(evaluation.output.contains(word), "\(evaluation.output)")
    }
    let json = try Launch.alone("vae-dist", ["evaluate", run, "--json"])
    for word in ["\"posterior_collapsed\" : true", "\"active_units\" : 0"] {
      #expect(json.output.contains(word), "\(json.output)")
    }
  }

  @Test func quietRunsSayNothingAndVerboseOnesMore() throws {
    let folder = try TemporaryFolder()
    func train(_ name: String, _ flags: [String]) throws -> Outcome {
      try Launch.alone(
        "vae-dist",
        ["train", "--run", folder.path(name), "--epochs", "2", "--hidden", "20"] + flags)
    }
    let quiet = try train("quiet", ["--quiet"])
    #expect(quiet.status == 0 && quiet.output == "" && quiet.errors == "", "\(quiet)")
    #expect(FileManager.default.fileExists(atPath: folder.path("quiet/report.html")))
    let verbose = try train("verbose", ["--verbose", "--no-report"])
    #expect(verbose.output.contains("\ncheckpoint of step 34\n"), "\(verbose.output)")
    #expect(verbose.output.contains("oneDNN ") && verbose.output.contains("data SHA-256 "))
    #expect(!FileManager.default.fileExists(atPath: folder.path("verbose/report.html")))
    let both = try train("both", ["--quiet", "--verbose"])
    #expect(both.status == 64 && both.errors.hasPrefix("Error: --quiet and --verbose are both"))
    // Colours are for terminals, and for those who want them.
    for (variable, isPainted) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
      let command = "\(Launch.product("vae-dist")) train --data nowhere"
      let outcome = try Launch.run(
        ["env", variable, "TERM=xterm", "script", "-qec", command, "/dev/null"], seconds: 20)
      #expect(outcome.output.contains("\u{1b}[1;31mError:") == isPainted, "\(outcome.output)")
    }
  }

  @Test func eightBitDataAreScoredInBitsPerDimension() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    let outcome = try Launch.alone(
      "vae-dist",
      [
        "train", "--run", run, "--epochs", "2", "--hidden", "20", "--likelihood",
        "discretized-logistic",
      ])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let text = try Launch.alone("vae-dist", ["evaluate", run, "--json"]).output
    let figures = try #require(
      JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let elbo = try #require(figures["elbo"] as? Double)
    let bits = try #require(figures["bits_per_dimension"] as? Double)
    #expect(abs(bits + elbo / (64 * log(2.0))) < 1e-9 * bits && bits > 0)
  }

  @Test func aRunFromBeginningToEnd() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("r")
    let outcome = try Launch.alone("vae-dist", ["train", "--run", run, "--epochs", "4"])
    #expect(outcome.status == 0)
    #expect(outcome.errors == "")
    #expect(
      outcome.output.contains("1,617 training and 180 test examples of 64 values from 0 to 1"))
    #expect(outcome.output.contains("Done: test ELBO -"))
    #expect(!outcome.output.contains("\u{1b}"))

    // Again: refused, complete, extended.
    let again = try Launch.alone("vae-dist", ["train", "--run", run])
    #expect(again.status == 64)
    #expect(
      again.errors
        == "Error: '\(run)' already holds a run; add --resume to go on with it, or name another folder\n"
    )
    let complete = try Launch.alone("vae-dist", ["train", "--run", run, "--resume"])
    #expect(complete.status == 0)
    #expect(complete.output.contains("is complete at step 68; more --epochs or --steps extend it"))
    let extended = try Launch.alone(
      "vae-dist", ["train", "--run", run, "--resume", "--epochs", "5"])
    #expect(extended.status == 0)
    #expect(extended.output.contains("Going on after step 68"))

    // What evaluate says is what the run's own last evaluation said.
    let json = try Launch.alone("vae-dist", ["evaluate", run, "--json"]).output
    let report = try #require(
      JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    let lines = String(decoding: try contents("\(run)/metrics.jsonl"), as: UTF8.self)
      .split(separator: "\n")
    let last = try #require(lines.last { $0.contains("\"evaluate\"") })
    let event = try #require(
      JSONSerialization.jsonObject(with: Data(last.utf8)) as? [String: Any])
    for key in ["elbo", "reconstruction_log_likelihood", "kl_divergence"] {
      #expect(report[key] as? Double == event[key] as? Double, "\(key)")
    }
    let inspected = try Launch.alone("vae-dist", ["inspect", run]).output
    #expect(inspected.contains("Run \(run), complete"))
    #expect(inspected.contains("step-00000085.safetensors  latest, best"))
    let checkpoint = try Launch.alone("vae-dist", ["inspect", "\(run)/checkpoints/latest"]).output
    #expect(checkpoint.contains("encoder.0.weight"))
    #expect(checkpoint.contains("[500, 64]"))
    #expect(checkpoint.contains(", whole\n"))
    let data = try Launch.alone("vae-dist", ["inspect", "digits", "--json"]).output
    #expect(data.contains("\"shape\""))
    for arguments in [
      ["inspect", run, "--json"], ["inspect", "\(run)/checkpoints/best", "--json"],
    ] {
      let text = try Launch.alone("vae-dist", arguments).output
      #expect(try JSONSerialization.jsonObject(with: Data(text.utf8)) is [String: Any])
    }
  }

  @Test func eitherLengthExtendsARun() throws {
    let folder = try TemporaryFolder()
    let train = { (flags: [String]) in
      try Launch.alone("vae-dist", ["train", "--run", folder.path("r"), "--resume"] + flags)
    }
    #expect(try train(["--steps", "20"]).output.contains("Done"))
    #expect(try train([]).output.contains("is complete at step 20"))
    #expect(try train(["--epochs", "2"]).output.contains("after 34 steps"))
    #expect(try train(["--steps", "40"]).output.contains("after 40 steps"))
    let settings = String(decoding: try contents(folder.path("r/config.yaml")), as: UTF8.self)
    #expect(settings.contains("steps: 40"))
    #expect(!settings.contains("epochs:"))
  }

  @Test func theConfigurationOfARunRepeatsIt() throws {
    let folder = try TemporaryFolder()
    let arguments = [
      "--epochs", "2", "--hidden", "30,20", "--latent", "4", "--activation", "relu", "--seed", "9",
      "--binarize", "static", "--optimizer", "adamw", "--weight-decay", "0.01", "--threads", "1",
    ]
    let first = try Launch.alone("vae-dist", ["train", "--run", folder.path("a")] + arguments)
    #expect(first.status == 0, "\(first.errors)")
    let second = try Launch.alone(
      "vae-dist",
      ["train", "--run", folder.path("b"), "--config", folder.path("a/config.yaml")])
    #expect(second.status == 0, "\(second.errors)")
    #expect(
      try contents(folder.path("a/checkpoints/latest"))
        == contents(folder.path("b/checkpoints/latest")))
    // Flags win over the file.
    let third = try Launch.alone(
      "vae-dist",
      [
        "train", "--run", folder.path("c"), "--config", folder.path("a/config.yaml"), "--latent",
        "3",
      ])
    #expect(third.output.contains("64-30-20-3-20-30-64"))
  }

  @Test func damagedCheckpointsAreSkippedWithASentence() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("r")
    _ = try Launch.alone("vae-dist", ["train", "--run", run, "--epochs", "3"])
    let newest = "\(run)/checkpoints/step-00000051.safetensors"
    let bytes = try contents(newest)
    try Data(bytes.dropLast(100)).write(to: URL(filePath: newest))
    let outcome = try Launch.alone("vae-dist", ["train", "--run", run, "--resume"])
    #expect(outcome.status == 0)
    #expect(
      outcome.errors.hasPrefix("Skipped a checkpoint: '\(newest)' is not a whole safetensors file"))
    #expect(outcome.output.contains("Going on after step 34"))
    // The run is whole again, with the same bytes.
    #expect(try contents(newest) == bytes)
  }

  @Test func runsDoNotDependOnConfigYAMLOrTheCurrentFolder() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(
      npy((0..<60).map { [Float($0) / 60, 0.3333333, 0.5] }), to: "x.npy")
    let flags = [
      "--hidden", "8", "--test-fraction", "0.3333333333333333", "--weight-decay",
      "0.0006184291898577613",
    ]
    let first = try Launch.alone(
      "vae-dist", ["train", "--data", "x.npy", "--run", "r", "--epochs", "2"] + flags,
      in: folder.path)
    #expect(first.status == 0, "\(first.errors)")
    try Data([0xff, 0xfe, 0x00]).write(to: URL(filePath: folder.path("r/config.yaml")))
    // From another folder, with a damaged config.yaml: the checkpoint knows all.
    let second = try Launch.alone(
      "vae-dist", ["train", "--run", folder.path("r"), "--resume", "--epochs", "3"], in: "/")
    #expect(second.status == 0, "\(second.errors)")
    let settings = String(decoding: try contents(folder.path("r/config.yaml")), as: UTF8.self)
    #expect(settings.contains("weight-decay: 0.0006184291898577613"))
    #expect(settings.contains("data: \(folder.path)/x.npy"))
    #expect(try Launch.alone("vae-dist", ["evaluate", folder.path("r")], in: "/").status == 0)
  }

  @Test func evaluationUsesTheScaleOfTheRun() throws {
    // Bytes up to 200 in training, up to 1 in what is scored: still divided by 255.
    let folder = try TemporaryFolder()
    let bytes = { (values: [UInt8]) in
      npy("{'descr': '|u1', 'fortran_order': False, 'shape': (\(values.count / 2), 2), }", values)
    }
    _ = try folder.write(bytes((0..<80).map { UInt8($0 * 5 / 2) }), to: "train.npy")
    _ = try folder.write(bytes((0..<80).map { UInt8($0 % 2) }), to: "small.npy")
    _ = try folder.write(
      npy((0..<40).map { _ in [0, 1 / 255] }), to: "same.npy")
    _ = try Launch.alone(
      "vae-dist", ["train", "--data", "train.npy", "--run", "r", "--epochs", "1"], in: folder.path)
    func elbo(_ arguments: [String]) throws -> Double {
      let text = try Launch.alone(
        "vae-dist", ["evaluate", "r", "--json"] + arguments, in: folder.path
      ).output
      let report = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
      #expect(report?["examples"] as? Int == 40)
      return try #require(report?["elbo"] as? Double)
    }
    let small = try elbo(["--data", "small.npy"])
    #expect(abs(small - (try elbo(["--data", "same.npy", "--scale", "1"]))) < 1e-6)
    #expect(abs(small - (try elbo(["--data", "small.npy", "--scale", "1"]))) > 1e-3)
  }

  @Test func aFullDiskUnderTheOutputIsToldByTheStatus() throws {
    let command = "exec \(Launch.product("vae-dist")) inspect digits > /dev/full"
    let outcome = try Launch.run(["sh", "-c", command], seconds: 20)
    #expect(outcome.status == 74)
    #expect(
      outcome.errors == "Error: Standard output cannot be written; what was printed is not whole\n")
  }

  @Test func killedRunsGoOnWhereTheyWere() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("r")
    let arguments = ["train", "--epochs", "40", "--threads", "1", "--run"]
    let whole = try Launch.alone("vae-dist", arguments + [folder.path("whole")])
    #expect(whole.status == 0)
    // Killed at several moments, as a cluster does it, and started again with the same command.
    for delay in ["0.08", "0.2", "0.15"] {
      _ = try Launch.run(
        ["timeout", "-s", "KILL", delay, Launch.product("vae-dist")] + arguments + [
          run, "--resume",
        ],
        seconds: 30)
    }
    let last = try Launch.alone("vae-dist", arguments + [run, "--resume"])
    #expect(last.status == 0, "\(last.errors)")
    #expect(
      try contents("\(run)/checkpoints/latest")
        == contents(folder.path("whole/checkpoints/latest")))
  }
}
