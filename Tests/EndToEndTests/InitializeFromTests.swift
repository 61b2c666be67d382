import Checkpointing
import Foundation
import TestSupport
import Testing

/// `--initialize-from`: a run starts where another, or a file of the same tensors, had come to.
@Suite(.serialized) struct InitializeFromTests {
  @Test func runsStartFromRunsAndFiles() throws {
    let folder = try TemporaryFolder()
    let first = folder.path("first")
    let network = ["--hidden", "30", "--latent", "3", "--no-report", "--threads", "1"]
    try #require(
      try Launch.alone("vae-dist", ["train", "--run", first, "--epochs", "3"] + network).status == 0
    )
    try #require(
      try Launch.alone("vae-dist", ["export", first, "--format", "safetensors"]).status == 0)
    // A learning rate next to nothing leaves the parameters where they start.
    for (name, source) in [("a", first), ("b", "\(first)/model.safetensors")] {
      let run = folder.path(name)
      let flags =
        ["train", "--run", run, "--initialize-from", source, "--steps", "1", "--optimizer", "sgd"]
        + ["--learning-rate", "1e-30"] + network
      let outcome =
        name == "a" ? try Launch.alone("vae-dist", flags) : try Launch.ranks(2, "vae-dist", flags)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let (own, other) = (
        try SafetensorsFile(path: "\(run)/checkpoints/latest"),
        try SafetensorsFile(path: "\(first)/checkpoints/latest")
      )
      for entry in own.entries where !entry.name.hasPrefix("sgd.") {
        #expect(
          try own.floats(named: entry.name, shape: entry.shape)
            == other.floats(named: entry.name, shape: entry.shape), "\(entry.name)")
      }
      // What a run goes on with is its own, whatever has become of the file.
      if name == "b" { try FileManager.default.removeItem(atPath: source) }
      let more = try Launch.alone(
        "vae-dist", ["train", "--run", run, "--resume", "--steps", "2", "--no-report"])
      #expect(more.status == 0, "\(more.errors)")
    }
    for (flags, status, words) in [
      (
        ["--initialize-from", first, "--hidden", "20"], Int32(65),
        "Tensor 'encoder.0.weight' is [30, 64]"
      ),
      (
        ["--initialize-from", first, "--hidden", "none"], 65,
        "has a tensor 'decoder.0.bias', which the model does not have; the network must be that of --initialize-from, whose settings --config \(first)/config.yaml gives"
      ),
      (["--initialize-from", "none"], 66, "'none' does not exist"),
      (["--initialize-from", "\(first)/config.yaml"], 65, "is not a whole safetensors file"),
    ] {
      let outcome = try Launch.alone(
        "vae-dist", ["train", "--run", folder.path("c"), "--latent", "3", "--no-report"] + flags)
      #expect(outcome.status == status && outcome.errors.contains(words), "\(outcome.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder.path("c/checkpoints")))
    }
  }
}
