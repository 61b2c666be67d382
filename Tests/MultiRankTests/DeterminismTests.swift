import Foundation
import TestSupport
import Testing

/// `--deterministic`: the same bytes, whoever computes.
@Suite(.serialized) struct DeterminismTests {
  static func checkpoint(_ run: String) throws -> [UInt8] {
    try contents("\(run)/checkpoints/latest")
  }

  static let networks: [[String]] = [
    ["--hidden", "50", "--binarize", "dynamic", "--clip-gradient-norm", "20"],
    [
      "--hidden", "30", "--likelihood", "negative-binomial", "--free-bits", "0.1", "--optimizer",
      "adagrad", "--learning-rate", "0.01",
    ],
    [
      "--hidden", "30", "--prior", "vamp", "--prior-components", "20", "--bound", "iwae",
      "--draws", "3", "--micro-batch-size", "7",
    ],
    [
      "--encoder", "conv 8 kernel 4 stride 2 group-norm 2, residual 12, dropout 0.2, dense 30",
      "--decoder", "dense 30, dense 4x4x8 layer-norm, transposed-conv kernel 4 stride 2",
      "--condition", "labels",
    ],
    // Gradients beyond what the usual scale holds.
    [
      "--hidden", "30", "--likelihood", "gaussian", "--observation-scale", "fixed",
      "--observation-scale-value", "0.00001",
    ],
  ]

  @Test(arguments: networks) func ranksAndThreadsLeaveTheSameBytes(_ flags: [String]) throws {
    let folder = try TemporaryFolder()
    // The last batch of an epoch is one example.
    let arguments =
      [
        "train", "--deterministic", "--steps", "19", "--latent", "4", "--global-batch-size", "101",
        "--seed", "7",
      ] + flags
    let local = try Launch.alone(
      "vae-dist", arguments + ["--threads", "1", "--run", folder.path("local")])
    #expect(local.status == 0, "\(local.errors)")
    let expected = try Self.checkpoint(folder.path("local"))
    let threads = try Launch.alone(
      "vae-dist", arguments + ["--threads", "3", "--run", folder.path("threads")])
    #expect(threads.status == 0, "\(threads.errors)")
    #expect(try Self.checkpoint(folder.path("threads")) == expected)
    for (ranks, more) in [
      (2, ["--threads", "1"]), (3, ["--threads", "2"]), (5, ["--threads", "1"]),
      (3, ["--threads", "1", "--all-reduce", "blocking"]),
    ] {
      let run = folder.path("\(ranks)\(more.count)")
      let outcome = try Launch.ranks(ranks, "vae-dist", arguments + more + ["--run", run])
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try Self.checkpoint(run) == expected, "\(ranks) ranks \(more)")
    }
  }

  @Test func resumeOnOtherRanksLeavesTheSameBytes() throws {
    let folder = try TemporaryFolder()
    func flags(_ steps: Int, _ run: String) -> [String] {
      [
        "train", "--deterministic", "--steps", "\(steps)", "--hidden", "40", "--latent", "4",
        "--global-batch-size", "100", "--threads", "1", "--run", folder.path(run), "--resume",
      ]
    }
    #expect(try Launch.alone("vae-dist", flags(40, "whole")).status == 0)
    #expect(try Launch.ranks(3, "vae-dist", flags(11, "parts")).status == 0)
    #expect(try Launch.alone("vae-dist", flags(25, "parts")).status == 0)
    #expect(try Launch.ranks(2, "vae-dist", flags(40, "parts")).status == 0)
    #expect(
      try Self.checkpoint(folder.path("parts")) == Self.checkpoint(folder.path("whole")))
  }

  // Exact sums change the curve by rounding alone.
  @Test func theCurveIsTheUsualOne() throws {
    let folder = try TemporaryFolder()
    var last: [Double] = []
    for (name, flags) in [("usual", []), ("exact", ["--deterministic"])] {
      let outcome = try Launch.alone(
        "vae-dist",
        ["train", "--epochs", "3", "--hidden", "40", "--latent", "4", "--run", folder.path(name)]
          + flags)
      #expect(outcome.status == 0, "\(outcome.errors)")
      last.append(
        try #require(
          try EquivalenceTests.events(folder.path(name), "evaluate").last?.elbo))
    }
    #expect(abs(last[0] - last[1]) < 1e-4 * abs(last[0]))
  }
}
