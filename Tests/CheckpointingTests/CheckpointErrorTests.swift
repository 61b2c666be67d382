import Checkpointing
import Testing

/// The catalogue of messages: read it aloud.
@Suite struct CheckpointErrorTests {
  static let table: [(CheckpointError, String)] = [
    (.missing(path: "a"), "'a' does not exist"),
    (.unreadable(path: "a", reason: "Permission denied"), "'a' cannot be read: Permission denied"),
    (
      .unwritable(path: "a", reason: "No space left on device"),
      "'a' cannot be written: No space left on device"
    ),
    (
      .malformed(path: "a", reason: "it is empty"),
      "'a' is not a whole safetensors file: it is empty"
    ),
    (
      .digestMismatch(path: "a"),
      "'a' is damaged: its contents do not have the SHA-256 that was stored with them"
    ),
    (
      .missingTensor(path: "a", name: "encoder.0.weight"),
      "'a' has no tensor 'encoder.0.weight', which the model needs"
    ),
    (
      .wrongShape(path: "a", name: "t", actual: [400, 784], expected: [500, 784]),
      "Tensor 't' is [400, 784] in 'a' and [500, 784] in the model"
    ),
    (
      .wrongType(path: "a", name: "t", type: "BF16"),
      "Tensor 't' of 'a' has the type BF16; checkpoints hold F32"
    ),
    (
      .wrongMetadata(path: "a", key: "step", value: nil),
      "'a' has no metadata 'step'; it was not written by vae-dist train"
    ),
    (
      .wrongMetadata(path: "a", key: "step", value: "x"),
      "'a' has the unusable metadata 'step': 'x'"
    ),
    (.noneUsable(folder: "c", skipped: 0), "'c' holds no checkpoint"),
    (
      .noneUsable(folder: "c", skipped: 2),
      "'c' holds no usable checkpoint; 2 damaged ones were skipped"
    ),
  ]

  @Test(arguments: table) func words(_ error: CheckpointError, sentence: String) {
    #expect(error.description == sentence)
  }
}
