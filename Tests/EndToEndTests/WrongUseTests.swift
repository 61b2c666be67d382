import Foundation
import TestSupport
import Testing

/// Wrong flags, files and labels: one sentence each, the right status, and nothing left behind.
@Suite(.serialized) struct WrongUseTests {
  static let wrong: [(String, [String], Int32, String)] = [
    ("no such command", ["trian"], 64, "Error: Unexpected argument 'trian'"),
    ("no such flag", ["train", "--epoch", "3"], 64, "Error: Unknown option '--epoch'"),
    (
      "no number", ["train", "--latent", "many"], 64,
      "Error: The value 'many' is invalid for '--latent"
    ),
    (
      "no such choice", ["train", "--activation", "reul"], 64,
      "Error: The value 'reul' is invalid for '--activation"
    ),
    (
      "both lengths", ["train", "--epochs", "2", "--steps", "3"], 64,
      "Error: --epochs 2 and --steps 3 are both given"
    ),
    ("zero", ["train", "--latent", "0"], 64, "Error: --latent is 0; it must be at least 1"),
    (
      "no such data", ["train", "--data", "minst"], 66,
      "Error: 'minst' is neither a file, a folder nor a known data set"
    ),
    (
      "messages in shared memory",
      ["train", "--all-reduce", "shared-memory", "--all-reduce-precision", "bf16"], 64,
      "Error: --all-reduce-precision is bf16; it must be f32 with --all-reduce shared-memory"
    ),
    (
      "no bucket", ["train", "--bucket-bytes", "0"], 64,
      "Error: --bucket-bytes is 0; it must be at least 1"
    ),
    (
      "a benchmark of epochs", ["benchmark", "--epochs", "3"], 64,
      "Error: benchmark trains for --rounds, not for --epochs or --steps"
    ),
    (
      "no rounds", ["benchmark", "--rounds", "0"], 64,
      "Error: --rounds is 0; it must be from 1 to 100000"
    ),
    ("no such file", ["train", "--data", "x/y.npy"], 66, "Error: 'x/y.npy' does not exist"),
    (
      "no such configuration", ["train", "--config", "no.yaml"], 66,
      "Error: 'no.yaml' does not exist"
    ),
    (
      "no number at all", ["train", "--scale", "nan"], 64,
      "Error: --scale is nan; it must be above 0"
    ),
    (
      "a negative number", ["train", "--epochs", "-1"], 64,
      "Error: --epochs is -1; it must be at least 1"
    ),
    (
      "too large", ["train", "--latent", "9223372036854775807"], 64,
      "Error: --latent is 9223372036854775807; it must be at most"
    ),
    (
      "beyond the memory", ["train", "--hidden", "9000000,9000000"], 64,
      "Error: A rank needs about "
    ),
    ("an empty folder name", ["train", "--run", ""], 64, "Error: --run is empty"),
    (
      "a scale for the run's data", ["evaluate", "x", "--scale", "2"], 64,
      "Error: --scale 2.0 needs --data"
    ),
    (
      "a device", ["train", "--data", "/dev/null"], 66,
      "Error: '/dev/null' cannot be read: it is not a regular file"
    ),
    ("resume of nothing", ["train", "--resume"], 64, "Error: --resume needs --run"),
    ("no argument", ["evaluate"], 64, "Error: Missing expected argument '<run>'"),
    (
      "a wrong K", ["evaluate", "x", "--importance-samples", "0"], 64,
      "Error: --importance-samples is 0; it must be from 1"
    ),
    (
      "annealing of nothing", ["evaluate", "x", "--annealing-steps", "10"], 64,
      "Error: --annealing-steps 10 needs --importance-samples"
    ),
    (
      "labels of the run's data", ["evaluate", "x", "--labels", "y.npy"], 64,
      "Error: --labels 'y.npy' needs --data"
    ),
    (
      "labels of reports that are not there", ["train", "--labels", "y.npy"], 66,
      "Error: 'y.npy' does not exist"
    ),
    (
      "classes that there are not", ["train", "--condition", "labels", "--classes", "4"], 65,
      "Error: 'digits' has class 4 for example 4, but the 4 classes are numbered from 0 to 3"
    ),
    (
      "components of the standard normal", ["train", "--prior-components", "5"], 64,
      "Error: --prior-components is 5; it must be left out with --prior standard"
    ),
    (
      "divergences that there are not", ["train", "--prior", "mixture", "--free-bits", "0.1"], 64,
      "Error: --prior is mixture; it must be standard with --free-bits or --kl-capacity"
    ),
    (
      "more pseudo-inputs than examples",
      ["train", "--prior", "vamp", "--prior-components", "1618"], 64,
      "Error: --prior-components is 1618; it must be at most the 1617 training examples"
    ),
    (
      "pieces of nothing", ["train", "--micro-batch-size", "8"], 64,
      "Error: --micro-batch-size is 8; it must be left out without --deterministic"
    ),
    (
      "exact sums of rounded numbers",
      ["train", "--deterministic", "--all-reduce-precision", "bf16"], 64,
      "Error: --all-reduce-precision is bf16; it must be f32 with --deterministic"
    ),
    ("no checkpoint", ["inspect", "no.safetensors"], 66, "Error: 'no.safetensors' does not exist"),
  ]

  @Test(arguments: wrong) func wrongUseGetsOneSentence(
    _ what: String, arguments: [String], status: Int32, sentence: String
  ) throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.alone("vae-dist", arguments, in: folder.path)
    #expect(outcome.status == status, "\(what): \(outcome.errors)")
    #expect(outcome.errors.hasPrefix(sentence), "\(what): \(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    #expect(outcome.output == "")
    // Nothing is left behind.
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
  }

  static let badFiles: [(String, String)] = [
    ("latnet: 20", "line 1, column 1: There is no setting 'latnet'; did you mean 'latent'?"),
    ("seed: 1\nlatnet:", "line 2, column 1: There is no setting 'latnet'; did you mean 'latent'?"),
    (
      "seed: 1\nlikelihood: table\ncolumns: [gausian]",
      "line 3, column 10: column 'gausian' is none of"
    ),
    (
      "encoder: [dens 3]\ndecoder: [dense 3]",
      "line 1, column 10: layer 'dens 3' begins with none of"
    ),
    ("lr: 1", "There is no setting 'lr'; did you mean 'learning-rate'?"),
    ("global_batch_size: 1", "did you mean 'global-batch-size'?"),
    ("quark: 1", "There is no setting 'quark'; vae-dist config prints all of them"),
    ("epochs: 3\nlatent: many", "line 2, column 9: The value 'many' is invalid for 'latent'"),
    ("epochs: 3\nlatent: -1", "line 2, column 9: --latent is -1; it must be at least 1"),
    ("latent: 3\nlatent: 4", "line 1, column 1: settings are given twice: latent"),
    ("quiet: maybe", "line 1, column 8: 'quiet' is 'maybe'; it must be true or false"),
    ("- 1\n- 2", "settings are lines of the form 'latent: 20'"),
    ("latent: {a: 1}", "'latent' is neither a value nor a list of values"),
    ("resume: true", "line 1, column 1: 'resume' belongs on the command line"),
    ("a: [1", "is not YAML"),
  ]

  // libhdf5 1.10 crashes in this file; other versions may refuse it.
  @Test(arguments: [1, 2]) func crashesOfLibrariesGetOneSentence(_ ranks: Int) throws {
    let folder = try TemporaryFolder()
    let arguments = ["train", "--run", "r", "--data", golden("hdf5/damaged.h5")]
    let outcome =
      try ranks == 1
      ? Launch.alone("vae-dist", arguments, in: folder.path)
      : Launch.ranks(ranks, "vae-dist", arguments, seconds: 20, in: folder.path)
    #expect(outcome.status == 65)
    let sentences = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("Error: '") }
    #expect(sentences.count == 1, "\(outcome.errors)")
    #expect(sentences.first?.contains("damaged.h5' is damaged: libhdf5 ") == true)
    #expect(!outcome.errors.contains("Backtrac"))
  }

  @Test(arguments: badFiles) func badConfigurationFilesNameTheLine(
    text: String, sentence: String
  ) throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(Array(text.utf8), to: "run.yaml")
    let outcome = try Launch.alone(
      "vae-dist", ["train", "--config", "run.yaml"], in: folder.path)
    #expect(outcome.status == 64)
    #expect(outcome.errors.hasPrefix("Error: 'run.yaml' "), "\(outcome.errors)")
    #expect(outcome.errors.contains(sentence), "\(outcome.errors)")
  }

  // What is there or not is heard from a file, too; the command line's values are its own.
  @Test func switchesOfConfigurationFilesCount() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(
      Array("no-report: true\ntensorboard: true\nquiet: true\nlatent: 0\nhidden: [8]\n".utf8),
      to: "run.yaml")
    let outcome = try Launch.alone(
      "vae-dist",
      ["train", "--config", "run.yaml", "--latent", "2", "--epochs", "1", "--run", "r"],
      in: folder.path)
    #expect(outcome.status == 0 && outcome.output.isEmpty, "\(outcome)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path("r"))
    #expect(
      Set(names) == ["checkpoints", "config.yaml", "metrics.jsonl", "tensorboard"], "\(names)")
    let wrong = try Launch.alone(
      "vae-dist", ["train", "--config", "run.yaml", "--latent", "-2"], in: folder.path)
    #expect(wrong.errors.hasPrefix("Error: --latent is -2"), "\(wrong.errors)")
    // The command line wins, also where it asks for the opposite.
    let loud = try Launch.alone(
      "vae-dist",
      [
        "train", "--config", "run.yaml", "--latent", "2", "--epochs", "1", "--verbose", "--run",
        "v",
      ],
      in: folder.path)
    #expect(loud.status == 0 && loud.output.contains("data SHA-256"), "\(loud)")
  }

  // A conditional model scores other data with their own labels, and the label matters.
  @Test func conditionalModelsReadLabels() throws {
    let folder = try TemporaryFolder()
    let run = folder.path("run")
    let outcome = try Launch.alone(
      "vae-dist",
      [
        "train", "--run", run, "--epochs", "4", "--hidden", "40", "--latent", "4", "--condition",
        "labels",
      ])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let configuration = try String(contentsOfFile: "\(run)/config.yaml", encoding: .utf8)
    #expect(configuration.contains("condition: labels\nclasses: 10\n"))
    let rows: [[Float]] = (0..<20).map { row in (0..<64).map { Float(($0 * row) % 5) / 4 } }
    let data = try folder.write(npy(rows), to: "x.npy")
    func labels(_ name: String, _ values: [UInt8]) throws -> String {
      try folder.write(
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (20,), }", values), to: name)
    }
    func elbo(_ flags: [String]) throws -> Outcome {
      try Launch.alone("vae-dist", ["evaluate", run, "--data", data, "--scale", "1"] + flags)
    }
    let zeros = try elbo(["--labels", try labels("zeros.npy", [UInt8](repeating: 0, count: 20))])
    let ones = try elbo(["--labels", try labels("ones.npy", [UInt8](repeating: 1, count: 20))])
    #expect(zeros.status == 0 && ones.status == 0 && zeros.output != ones.output)
    let none = try elbo([])
    #expect(none.status == 65)
    #expect(none.errors.contains("There are no labels beside '\(data)'"), "\(none.errors)")
    let eleventh = try elbo(["--labels", try labels("many.npy", (0..<20).map { $0 })])
    #expect(eleventh.status == 65)
    #expect(eleventh.errors.contains("has class 10 for example 10"), "\(eleventh.errors)")
    // Of a folder, the labels of what is scored are enough.
    _ = try folder.write(npy(rows + rows), to: "train.npy")
    _ = try folder.write(npy(rows), to: "test.npy")
    let scored = try Launch.alone(
      "vae-dist",
      [
        "evaluate", run, "--data", folder.path, "--scale", "1", "--labels",
        folder.path("zeros.npy"),
      ])
    #expect(scored.status == 0, "\(scored.errors)")
    #expect(
      scored.output.split(separator: "\n").dropFirst(2)
        == zeros.output.split(separator: "\n").dropFirst(2))
    let unread = try Launch.alone(
      "vae-dist",
      [
        "train", "--condition", "labels", "--test-labels", "y.npy", "--run", folder.path("no"),
      ])
    #expect(unread.status == 65)
    #expect(unread.errors.contains("--test-labels is 'y.npy', but there are no test examples"))
  }
}
