internal import DataLoading
internal import VAEObjective

extension BatchReader {
  /// Reads examples with what a model takes of them; the views are valid until the next call.
  func batch(_ indices: UnsafeBufferPointer<UInt32>, epoch: Int?) -> ExampleBatch {
    ExampleBatch(
      indices: indices, values: read(indices, epoch: epoch), labels: readLabels(indices))
  }
}
