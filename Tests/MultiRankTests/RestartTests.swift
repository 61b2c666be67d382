import Foundation
import TestSupport
import Testing
import Training

/// Runs that lose a rank: who it was, and `launch/run --max-restarts`.
@Suite(.serialized) struct RestartTests {
  static let launcher = packageRoot.appending(path: "launch/run").path

  // Waits for a checkpoint, then sends a signal to a rank of `vae-dist train --run r`.
  static func hurt(
    rank: Int, with signal: String, _ command: [String], in folder: TemporaryFolder
  ) throws -> Outcome {
    let script = """
      "$@" & id=$!
      for _ in $(seq 200); do [ -e r/checkpoints/latest ] && break; sleep 0.1; done
      sleep 0.5
      for process in $(pgrep -f 'vae-dist train'); do
        [ "$(readlink /proc/$process/cwd)" = "$PWD" ] || continue
        tr '\\0' '\\n' < /proc/$process/environ | grep -qx 'OMPI_COMM_WORLD_RANK=\(rank)' &&
          case $(readlink /proc/$process/exe) in */vae-dist) kill -\(signal) $process ;; esac
      done
      wait $id
      """
    return try Launch.run(
      ["setsid", "--wait", "sh", "-c", script, "sh"] + command, seconds: 90, folder.path,
      [
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "VAE_DIST": Launch.product("vae-dist"), "SWIFT_BACKTRACE": "enable=no",
      ])
  }

  static let flags = [
    "train", "--run", "r", "--deterministic", "--hidden", "30", "--latent", "3", "--seed", "4",
    "--steps", "3000", "--checkpoint-every-steps", "50", "--hang-timeout", "2",
  ]

  @Test(arguments: [(1, "KILL", "is gone"), (0, "STOP", "has been stopped by a signal")])
  func theOthersSayWhoIsLost(_ rank: Int, _ signal: String, _ reason: String) throws {
    let folder = try TemporaryFolder()
    let outcome = try Self.hurt(
      rank: rank, with: signal,
      ["mpirun", "--quiet", "--oversubscribe", "--bind-to", "none", "-np", "3"]
        + [Launch.product("vae-dist")] + Self.flags.map { $0 == "3000" ? "100000000" : $0 }
        + ["--threads", "1"],
      in: folder)
    #expect(outcome.status == (signal == "KILL" ? 137 : 75), "\(outcome.errors)")
    #expect(outcome.errors.contains("Error: Rank \(rank) (host "), "\(outcome.errors)")
    #expect(outcome.errors.contains(reason))
    #expect(outcome.errors.contains("; with --resume the run goes on from its newest checkpoint"))
  }

  @Test func aRunThatLostARankIsStartedAgain() throws {
    let folder = try TemporaryFolder()
    let outcome = try Self.hurt(
      rank: 1, with: "KILL", [Self.launcher, "-np", "3", "--max-restarts", "2"] + Self.flags,
      in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("Starting again (1 of 2) with 3 ranks, after status 137"))
    #expect(outcome.output.contains("Going on after step "))
    // As if nothing had happened.
    let whole = try Launch.alone(
      "vae-dist", Self.flags.map { $0 == "r" ? "whole" : $0 } + ["--threads", "1"],
      in: folder.path)
    #expect(whole.status == 0, "\(whole.errors)")
    #expect(
      try contents(folder.path("r/checkpoints/latest"))
        == contents(folder.path("whole/checkpoints/latest")))
  }

  @Test func fewerCoresAreFewerRanks() throws {
    let folder = try TemporaryFolder()
    // What asks for the cores is told 2, and 1 once there is a checkpoint.
    let bin = folder.path("bin")
    try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
    for (name, text) in [
      ("nproc", "[ -e r/checkpoints/latest ] && echo 1 || echo 2"), ("lscpu", ":"),
    ] {
      let path = try folder.write(Array("#!/bin/sh\n\(text)\n".utf8), to: "bin/\(name)")
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }
    let outcome = try Self.hurt(
      rank: 1, with: "KILL",
      ["env", "PATH=\(bin):\(ProcessInfo.processInfo.environment["PATH"] ?? "")", Self.launcher]
        + ["-np", "2", "--max-restarts", "1"] + Self.flags, in: folder)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors.contains("Starting again (1 of 1) with 1 rank, after status 137"))
    #expect(outcome.output.contains("\n1 rank of 1 thread, "), "\(outcome.output)")
  }

  @Test func whatCannotBeStartedAgainIsRefused() throws {
    for (arguments, sentence) in [
      (["--max-restarts", "x", "train"], "--max-restarts is 'x'"),
      (["--max-restarts", "1", "evaluate", "r"], "--max-restarts is for train"),
      (["--max-restarts", "1", "train"], "--max-restarts needs train --run FOLDER"),
    ] {
      let outcome = try Launch.run(
        [Self.launcher, "-np", "2"] + arguments, seconds: 30, nil,
        ["VAE_DIST": Launch.product("vae-dist")])
      #expect(outcome.status == 64)
      #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
    }
  }
}
