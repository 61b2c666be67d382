import DataLoading
import Foundation
import TestSupport
import Testing

/// What goes wrong on several ranks: one sentence, the right status, no hang.
@Suite(.serialized) struct FailureTests {
  static func sentences(_ outcome: Outcome) -> [String] {
    outcome.errors.split(separator: "\n").filter { $0.hasPrefix("Error: ") }.map(String.init)
  }

  static let cases: [(String, [String], Int32, String)] = [
    ("an unknown flag", ["train", "--latnet", "3"], 64, "Error: Unknown option '--latnet'"),
    (
      "a batch smaller than the ranks", ["train", "--run", "r", "--global-batch-size", "2"], 64,
      "Error: --global-batch-size is 2, which 3 ranks cannot share; use at least 3"
    ),
    (
      "missing data", ["train", "--run", "r", "--data", "no.npy"], 66,
      "Error: 'no.npy' does not exist"
    ),
    (
      "an unwritable folder", ["train", "--run", "/proc/r"], 74,
      "Error: '/proc/r' cannot be written: "
    ),
    ("a missing checkpoint", ["evaluate", "no"], 66, "Error: 'no' does not exist"),
    ("nothing to inspect", ["inspect", "no.safetensors"], 66, "Error: 'no.safetensors' does not"),
  ]

  @Test(arguments: cases) func allRanksFailAlikeAndTheRootSpeaks(
    _ what: String, arguments: [String], status: Int32, sentence: String
  ) throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.ranks(3, "vae-dist", arguments, seconds: 30, in: folder.path)
    #expect(outcome.status == status, "\(what): \(outcome.errors)")
    let said = Self.sentences(outcome)
    #expect(said.count == 1, "\(what): \(said)")
    #expect(said.first?.hasPrefix(sentence) == true, "\(said)")
    #expect(outcome.output == "")
  }

  @Test func helpIsPrintedOnce() throws {
    let outcome = try Launch.ranks(3, "vae-dist", ["--help"], seconds: 30)
    #expect(outcome.status == 0)
    #expect(outcome.output.components(separatedBy: "USAGE:").count == 2)
  }

  @Test func ranksStartedDifferentlyAreNamed() throws {
    let folder = try TemporaryFolder()
    let program = Launch.product("vae-dist")
    let outcome = try Launch.mpirun(
      [
        "-np", "2", program, "train", "--run", "r", "--latent", "7", ":", "-np", "1", program,
        "train", "--run", "r", "--latent", "8",
      ], seconds: 30, in: folder.path)
    #expect(outcome.status == 78)
    #expect(
      Self.sentences(outcome) == [
        "Error: Ranks disagree before step 1: rank 0 has --latent 7, rank 2 has 8; start all ranks"
          + " with the same program, command and data"
      ])
    #expect(!FileManager.default.fileExists(atPath: folder.path("r")))
  }

  @Test(arguments: [["inspect", "digits"], ["train", "--help"], ["evaluate", "r"]])
  func ranksStartedWithDifferentCommandsAreNamed(other: [String]) throws {
    let folder = try TemporaryFolder()
    let program = Launch.product("vae-dist")
    let outcome = try Launch.mpirun(
      ["-np", "1", program, "train", "--run", "r", ":", "-np", "1", program] + other,
      seconds: 20, in: folder.path)
    #expect(outcome.status == 78)
    #expect(
      Self.sentences(outcome).first?.contains("rank 0 has the command train, rank 1 has") == true)
  }

  @Test func threadsMayBeGivenOnSomeRanksOnly() throws {
    let folder = try TemporaryFolder()
    let rank = ["-np", "1", Launch.product("vae-dist"), "train", "--run", "r", "--epochs", "1"]
    let outcome = try Launch.mpirun(
      rank + ["--threads", "1", ":"] + rank, seconds: 20, in: folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  @Test func oneRankAloneWithAWrongFlagIsNamed() throws {
    let folder = try TemporaryFolder()
    let program = Launch.product("vae-dist")
    let outcome = try Launch.mpirun(
      ["-np", "1", program, "train", "--run", "r", ":", "-np", "1", program, "train", "--x"],
      seconds: 30, in: folder.path)
    #expect(outcome.status == 64)
    #expect(
      Self.sentences(outcome).first?.hasPrefix("Error: [rank 1 of 2] Unknown option '--x'") == true)
  }

  static let values = npy([[Float]](repeating: [0.25, 0.5], count: 50))

  // The same name and shape in two folders, as on nodes with files of their own: other values, and
  // an order of elements that must be loaded where the other file can be mapped.
  static let others = [
    "values": npy([[Float]](repeating: [0.75, 0.5], count: 50)),
    "order": npy(
      "{'descr': '<f4', 'fortran_order': True, 'shape': (50, 2), }", values.suffix(50 * 2 * 4)),
  ]

  @Test(arguments: ["values", "order"])
  func ranksWithDifferentDataAreNoticed(_ difference: String) throws {
    let folder = try TemporaryFolder()
    let other = try #require(Self.others[difference])
    for (name, contents) in [("a", Self.values), ("b", other)] {
      try FileManager.default.createDirectory(
        atPath: folder.path(name), withIntermediateDirectories: true)
      _ = try folder.write(contents, to: "\(name)/x.npy")
    }
    let program = Launch.product("vae-dist")
    let rank = { (name: String) in
      [
        "-np", "1", "--wdir", folder.path(name), program, "train", "--run", folder.path("r"),
        "--data", "x.npy",
      ]
    }
    let outcome = try Launch.mpirun(rank("a") + [":"] + rank("b"), seconds: 30, in: folder.path)
    #expect(outcome.status == 78)
    #expect(
      Self.sentences(outcome).first?.contains("rank 0 has training data float32 [50, 2]") == true)
  }

  @Test func aBenchmarkThatFailsOnTheRootAloneEndsAllRanks() throws {
    // 30 batches of 10: the ranks together take 0 to 9 and 20 to 29, the root alone takes 10 to 19
    // too, and one of those cannot be scored.
    let sampler = EpochSampler(exampleCount: 300, globalBatchSize: 10, seed: 1)
    var rows = [[Float]](repeating: [0.25, 0.5], count: 300)
    rows[Int(sampler.order(ofEpoch: 0)[150])] = [1e30, 1e30]
    let folder = try TemporaryFolder()
    _ = try folder.write(npy(rows), to: "x.npy")
    _ = try folder.write(Self.values, to: "test.npy")
    let outcome = try Launch.ranks(
      2, "vae-dist",
      [
        "benchmark", "--data", "x.npy", "--test-data", "test.npy", "--likelihood", "gaussian",
        "--global-batch-size", "10", "--seed", "1", "--rounds", "1", "--hidden", "4", "--latent",
        "1",
      ], seconds: 30, in: folder.path)
    #expect(outcome.status == 1)
    #expect(Self.sentences(outcome).count == 1)
    #expect(
      Self.sentences(outcome).first?.hasPrefix("Error: The ELBO is not finite at step 16") == true)
  }

  // In process namespaces of their own ranks cannot open each other's memory, and Open MPI's own
  // shared memory does not work either.
  static let canSeparateRanks =
    (try? Launch.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], seconds: 10))?.status
    == 0

  @Test(.enabled(if: canSeparateRanks)) func ranksThatCannotShareMemorySendMessages() throws {
    let folder = try TemporaryFolder()
    func train(_ flags: [String]) throws -> Outcome {
      try Launch.mpirun(
        [
          "--quiet", "--mca", "btl", "tcp,self", "-np", "2", "unshare", "--pid", "--fork",
          "--mount-proc", Launch.product("vae-dist"), "train", "--steps", "3", "--threads", "1",
        ] + flags)
    }
    let automatic = try train(["--run", folder.path("a")])
    #expect(automatic.status == 0, "\(automatic.errors)")
    let asked = try train(["--all-reduce", "shared-memory", "--run", folder.path("b")])
    #expect(asked.status == 64)
    #expect(
      asked.errors.contains(
        "Error: --all-reduce is shared-memory, but the system does not let ranks share memory"))
  }
}
