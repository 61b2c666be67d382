internal import Checkpointing
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// A copy of parameters and optimizer state, for whoever writes them while training goes on.
///
/// Sound to send: the writer reads it only while nobody copies into it.
final class ModelSnapshot: @unchecked Sendable {
  private let layout: ParameterLayout
  private let parts: [(prefix: String, source: FloatBuffer, copy: FloatBuffer)]

  /// Allocates as much again as there is to copy.
  init(_ replica: any Replica, _ optimizer: Optimizer) {
    layout = replica.layout
    parts = ([("", replica.parameters)] + optimizer.state.map { ("\($0.name).", $0.buffer) })
      .map { prefix, buffer in (prefix, buffer, FloatBuffer(count: buffer.count)) }
  }

  /// Copies what there is now.
  func take() {
    for part in parts { part.copy.base.update(from: part.source.base, count: part.copy.count) }
  }

  /// What was copied: parameters by their paths, optimizer state behind its own name.
  var tensors: [TensorSource] {
    parts.flatMap { part in
      layout.tensors.map { tensor in
        TensorSource(name: part.prefix + tensor.name, shape: tensor.shape) {
          tensor.read(from: part.copy)
        }
      }
    }
  }
}
