import Checkpointing
import Foundation
import TensorKernels
import TestSupport
import Testing
import Training

/// Data parallelism is invisible: any number of ranks gives the run of one.
@Suite(.serialized) struct EquivalenceTests {
  static func events(_ run: String, _ kind: String) throws -> [MetricsEvent] {
    try contents("\(run)/metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode(MetricsEvent.self, from: Data($0))
    }.filter { $0.event == kind }
  }

  // 1,617 examples in batches of 101: the last is one example, so most ranks have none of it.
  static let arguments = [
    "train", "--steps", "51", "--hidden", "40", "--latent", "5", "--global-batch-size", "101",
    "--binarize", "dynamic", "--draws", "2", "--seed", "11", "--threads", "1", "--run",
  ]

  @Test func everyWorldSizeGivesTheSameCurve() throws {
    let folder = try TemporaryFolder()
    let local = try Launch.alone("vae-dist", Self.arguments + [folder.path("local")])
    #expect(local.status == 0, "\(local.errors)")
    for worldSize in 1...4 {
      let run = folder.path("np\(worldSize)")
      let outcome = try Launch.ranks(worldSize, "vae-dist", Self.arguments + [run])
      #expect(outcome.status == 0, "\(outcome.errors)")
      for kind in ["train", "evaluate"] {
        let one = try Self.events(folder.path("local"), kind)
        let many = try Self.events(run, kind)
        #expect(many.count == 3)
        for (a, b) in zip(one, many) {
          // 51 steps on sums of floats whose order differs: 10⁻⁵ of the ELBO leaves a factor of
          // about ten over what is seen.
          #expect(try abs(#require(a.elbo) - #require(b.elbo)) < 1e-5 * abs(#require(a.elbo)))
          #expect(try abs(#require(a.klDivergence) - #require(b.klDivergence)) < 1e-4)
          #expect(a.examplesSeen == b.examplesSeen)
        }
      }
    }
    // One rank under mpirun is local mode to the byte.
    #expect(
      try contents(folder.path("local/checkpoints/latest"))
        == contents(folder.path("np1/checkpoints/latest")))
  }

  // Clipping, so that the norm of the sum is needed too; a size that cuts layers into many buckets;
  // and threads, which must have added up their part before it leaves.
  @Test(arguments: [
    ["--all-reduce", "shared-memory"], ["--all-reduce", "shared-memory", "--threads", "2"],
    ["--all-reduce", "overlapped"], ["--all-reduce", "overlapped", "--bucket-bytes", "1"],
    ["--all-reduce", "overlapped", "--bucket-bytes", "4000", "--threads", "2"],
    ["--all-reduce", "blocking"], ["--all-reduce", "blocking", "--threads", "2"],
  ])
  func everyWayOfAddingGradientsGivesTheSameCurve(_ flags: [String]) throws {
    let folder = try TemporaryFolder()
    for clipping in [[], ["--clip-gradient-norm", "30"]] {
      let name = clipping.isEmpty ? "free" : "clipped"
      let common = Array(Self.arguments.dropLast()) + clipping
      let local = try Launch.alone("vae-dist", common + ["--run", folder.path("local-\(name)")])
      #expect(local.status == 0, "\(local.errors)")
      let run = folder.path(name)
      let outcome = try Launch.ranks(3, "vae-dist", common + flags + ["--run", run])
      #expect(outcome.status == 0, "\(outcome.errors)")
      let one = try Self.events(folder.path("local-\(name)"), "evaluate")
      let many = try Self.events(run, "evaluate")
      #expect(many.count == 3)
      for (a, b) in zip(one, many) {
        #expect(try abs(#require(a.elbo) - #require(b.elbo)) < 1e-5 * abs(#require(a.elbo)))
      }
    }
  }

  // Parameters that belong to no layer: dispersions, and one scale for all. Objectives on which ranks
  // agree in the middle of a step, and those that weigh draws.
  @Test(
    arguments: [
      ["--free-bits", "0.2", "--free-bits-groups", "2"],
      ["--kl-capacity", "3", "--kl-capacity-steps", "20", "--beta", "5"],
      ["--bound", "iwae", "--draws", "3", "--gradient-estimator", "dreg"],
      ["--likelihood", "zero-inflated-negative-binomial", "--library-size", "observed"],
      ["--likelihood", "laplace", "--observation-scale", "shared"],
      ["--prior", "mixture", "--prior-components", "7", "--condition", "labels"],
      ["--prior", "vamp", "--prior-components", "30", "--kl-warmup-steps", "20"],
      [
        "--encoder", "conv 4 kernel 3 stride 2 group-norm 2, residual 6, dropout 0.2, dense 10",
        "--decoder",
        "dense 10 layer-norm, dropout 0.1, dense 4x4x4, transposed-conv kernel 4 stride 2",
      ],
      [
        "--encoder", "conv 4 kernel 3 stride 2, dropout 0.2, dense 10", "--decoder", "dense 10",
        "--condition", "labels", "--prior", "vamp", "--prior-components", "9",
      ],
    ], ["shared-memory", "overlapped"])
  func likelihoodsAndObjectives(_ flags: [String], _ method: String) throws {
    let folder = try TemporaryFolder()
    let widths = flags.contains("--encoder") ? [] : ["--hidden", "30"]
    let common =
      ["train", "--steps", "40", "--latent", "5", "--seed", "3"] + widths + flags
    let local = try Launch.alone(
      "vae-dist", common + ["--threads", "2", "--run", folder.path("local")])
    #expect(local.status == 0, "\(local.errors)")
    let outcome = try Launch.ranks(
      3, "vae-dist",
      common + [
        "--threads", "1", "--all-reduce", method, "--bucket-bytes", "4000", "--run",
        folder.path("ranks"),
      ])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let one = try Self.events(folder.path("local"), "evaluate")
    let many = try Self.events(folder.path("ranks"), "evaluate")
    #expect(many.count == one.count && !many.isEmpty)
    let objectives = try [folder.path("local"), folder.path("ranks")].map {
      try Self.events($0, "train").map { $0.objective ?? 0 }
    }
    for (a, b) in zip(objectives[0], objectives[1]) { #expect(abs(a - b) <= 1e-4 * abs(a)) }
    let plain = ["--likelihood", "--encoder", "--condition"]
    let hasOwn = !flags.contains { plain.contains($0) }
    #expect((objectives[0].first != 0) == hasOwn)
    for (a, b) in zip(one, many) {
      #expect(try abs(#require(a.elbo) - #require(b.elbo)) < 1e-4 * abs(#require(a.elbo)))
    }
  }

  @Test(arguments: ["overlapped", "blocking"])
  func gradientsInBFloat16ChangeTheCurveALittle(_ method: String) throws {
    let folder = try TemporaryFolder()
    let local = try Launch.alone("vae-dist", Self.arguments + [folder.path("local")])
    #expect(local.status == 0, "\(local.errors)")
    let run = folder.path("run")
    let flags = [
      "--all-reduce", method, "--all-reduce-precision", "bf16", "--bucket-bytes", "4000",
    ]
    let outcome = try Launch.ranks(
      3, "vae-dist", Array(Self.arguments.dropLast()) + flags + ["--run", run])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let one = try Self.events(folder.path("local"), "evaluate")
    let many = try Self.events(run, "evaluate")
    for (a, b) in zip(one, many) {
      // Gradients that are wrong by 2⁻⁹ each: seen is 10⁻³ of the ELBO, and not nothing.
      let difference = try abs(#require(a.elbo) - #require(b.elbo))
      #expect(difference < 1e-2 * abs(try #require(a.elbo)))
      #expect(difference > 0)
    }
  }

  @Test(.enabled(if: processorHasBFloat16), arguments: ["shared-memory", "overlapped"])
  func productsInBFloat16ChangeTheCurveALittle(_ method: String) throws {
    let folder = try TemporaryFolder()
    // 100 outputs: rows that lie apart, and further apart in bfloat16.
    let flags = ["--hidden", "100,30"]
    let local = try Launch.alone("vae-dist", Self.arguments + [folder.path("local")] + flags)
    #expect(local.status == 0, "\(local.errors)")
    let run = folder.path("run")
    let outcome = try Launch.ranks(
      2, "vae-dist",
      Self.arguments + [run, "--precision", "bf16", "--all-reduce", method] + flags)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let one = try Self.events(folder.path("local"), "evaluate")
    let many = try Self.events(run, "evaluate")
    #expect(many.count == one.count && !many.isEmpty)
    for (a, b) in zip(one, many) {
      // Operands that are wrong by 2⁻⁹ each.
      let difference = try abs(#require(a.elbo) - #require(b.elbo))
      #expect(difference < 1e-2 * abs(try #require(a.elbo)))
      #expect(difference > 0)
    }
  }

  // A rank alone, ranks that share memory and ranks that send messages leave the same state behind.
  @Test func resumeAcrossWaysOfAddingGradients() throws {
    let folder = try TemporaryFolder()
    let whole = try Launch.alone("vae-dist", Self.arguments + [folder.path("whole")])
    #expect(whole.status == 0, "\(whole.errors)")
    let run = folder.path("run")
    let start = ["train", "--steps", "20"] + Self.arguments[3...] + [run]
    #expect(try Launch.ranks(2, "vae-dist", start).status == 0)
    let goOn = ["train", "--run", run, "--resume", "--steps"]
    #expect(
      try Launch.ranks(3, "vae-dist", goOn + ["35", "--all-reduce", "overlapped"]).status == 0)
    #expect(try Launch.alone("vae-dist", goOn + ["42", "--threads", "2"]).status == 0)
    #expect(
      try Launch.ranks(3, "vae-dist", goOn + ["51", "--all-reduce", "shared-memory"]).status == 0)
    let (a, b) = (
      try Self.events(folder.path("whole"), "evaluate"), try Self.events(run, "evaluate")
    )
    let (last, other) = (try #require(a.last?.elbo), try #require(b.last?.elbo))
    #expect(abs(last - other) < 1e-5 * abs(last))
  }

  @Test func resumeOnAnotherNumberOfRanks() throws {
    let folder = try TemporaryFolder()
    let whole = try Launch.alone("vae-dist", Self.arguments + [folder.path("whole")])
    #expect(whole.status == 0, "\(whole.errors)")
    // Two epochs and a half on three ranks, then the rest on two, with checkpoints within epochs.
    let run = folder.path("run")
    let first = try Launch.ranks(
      3, "vae-dist",
      ["train", "--steps", "42", "--checkpoint-every-steps", "5"] + Self.arguments[3...] + [run])
    #expect(first.status == 0, "\(first.errors)")
    let second = try Launch.ranks(
      2, "vae-dist", ["train", "--run", run, "--resume", "--steps", "51"])
    #expect(second.status == 0, "\(second.errors)")
    #expect(second.output.contains("Going on after step 42"))
    let a = try SavedModel(path: folder.path("whole"))
    let b = try SavedModel(path: run)
    #expect(b.progress.step == 51)
    for name in ["encoder.0.weight", "decoder.logits.bias", "adam.second_moment.encoder.0.weight"] {
      let shape = try #require(a.file.entries.first { $0.name == name }).shape
      expectClose(
        try b.file.floats(named: name, shape: shape), try a.file.floats(named: name, shape: shape),
        within: 1e-3, name)
    }
    #expect(abs(a.progress.epochELBO.exampleCount - b.progress.epochELBO.exampleCount) == 0)
  }

  @Test(arguments: [
    ["--importance-samples", "20", "--split", "train"],
    ["--importance-samples", "3", "--annealing-steps", "4"],
  ]) func evaluationDoesNotDependOnRanksOrThreads(_ flags: [String]) throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    _ = try Launch.alone("vae-dist", Self.arguments + [run])
    let arguments = ["evaluate", run, "--json"] + flags
    let alone = try Launch.alone("vae-dist", arguments + ["--threads", "1"])
    #expect(alone.status == 0, "\(alone.errors)")
    #expect(try Launch.alone("vae-dist", arguments + ["--threads", "3"]).output == alone.output)
    for worldSize in 2...4 {
      let ranks = try Launch.ranks(worldSize, "vae-dist", arguments + ["--threads", "1"])
      #expect(ranks.output == alone.output)
    }
  }
}
