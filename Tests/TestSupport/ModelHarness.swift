import Layers
package import TensorKernels
package import VAEObjective

/// A model with parameters by name, for comparing with the reference.
package final class ModelHarness {
  package let model: VariationalAutoencoder
  package let parameters: FloatBuffer
  package let gradient: FloatBuffer

  package init(_ configuration: ModelConfiguration, capacity: Int) {
    MatrixProduct.useCallingThreadOnly()
    model = VariationalAutoencoder(configuration, capacity: capacity)
    parameters = FloatBuffer(count: model.layout.bufferCount)
    gradient = FloatBuffer(count: model.layout.bufferCount)
  }

  package convenience init(_ reference: ReferenceVAE, capacity: Int) {
    self.init(
      ModelConfiguration(
        inputs: reference.inputs, hidden: reference.hidden, latent: reference.latent,
        activation: Activation(rawValue: reference.activation) ?? .identity,
        likelihood: reference.observed.likelihood, draws: reference.draws),
      capacity: capacity)
  }

  /// Sets every parameter.
  package func set(_ tensors: [String: [Double]]) {
    for tensor in model.layout.tensors {
      tensor.write((tensors[tensor.name] ?? []).map { Float($0) }, into: parameters)
    }
  }

  /// A flat buffer's tensors by name.
  package func tensors(_ buffer: FloatBuffer) -> [String: [Float]] {
    Dictionary(
      uniqueKeysWithValues: model.layout.tensors.map { ($0.name, $0.read(from: buffer)) })
  }
}

/// Rows as one matrix.
package func matrix(_ rows: [[Double]], columns: Int) -> MatrixView {
  FloatBuffer(rows.flatMap { $0 }).matrix(rows: rows.count, columns: columns)
}
