internal import Layers
public import TensorKernels

// From p(z) to what p(x|z) says.

extension VariationalAutoencoder {
  /// Draws latents from p(z).
  ///
  /// - Shape: `latents` is `[rows, latent]`.
  /// - Parameters:
  ///   - rows: The number of each draw, which keys its noise.
  ///   - seed: What keys the noise besides.
  ///   - temperature: What deviations from the mean (of a component) are multiplied by.
  ///   - parameters: The flat parameters.
  ///   - latents: Receives z.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func drawLatents(
    _ rows: UnsafeBufferPointer<UInt32>, seed: UInt64, temperature: Float,
    parameters: FloatBuffer, into latents: MatrixView
  ) throws(KernelError) {
    RandomStream(seed: seed, purpose: .priorDraw).fillNormal(latents, examples: rows)
    guard let prior else {
      for value in latents.elements.indices { latents.elements[value] *= temperature }
      return
    }
    try preparePrior(parameters: parameters)
    let uniforms = FloatBuffer(count: rows.count).matrix(rows: rows.count, columns: 1)
    RandomStream(seed: seed, purpose: .priorComponent).fillUniform(uniforms, examples: rows)
    for row in 0..<latents.rows {
      prior.draw(
        uniform: uniforms.row(row)[0], normals: latents.row(row), temperature: temperature,
        into: latents.row(row))
    }
  }

  /// What p(x|z) says of some latents.
  ///
  /// - Shape: `latents` is `[rows, latent]`, rows at most the draws of ``capacity`` examples; `values` is
  ///   `[rows, inputs]`.
  /// - Units: Those of the data as the model sees them, after the scale; of a table, its own.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func observe(
    _ latents: MatrixView, query: ObservationQuery, parameters: FloatBuffer,
    into values: MatrixView
  ) throws(KernelError) {
    precondition(
      latents.columns == configuration.latent && values.columns == configuration.inputs
        && query.rows.count == latents.rows && values.rows == latents.rows,
      "Latents \(latents.shape) and values \(values.shape) do not fit \(configuration)")
    let outputs = try query.labels.withUnsafeBufferPointer { labels throws(KernelError) in
      try decode(latents, labels: labels.isEmpty ? nil : labels, scoring(parameters))
    }
    var uniforms: MatrixView?
    if query.observation == .draw {
      let each = ObservationModel.uniformsPerValue
      let numbers = FloatBuffer(count: latents.rows * each * values.columns).matrix(
        rows: latents.rows * each, columns: values.columns)
      query.rows.withUnsafeBufferPointer {
        RandomStream(seed: query.seed, purpose: .observation).fillUniform(
          numbers, examples: $0, draws: each)
      }
      uniforms = numbers
    }
    scorer.observe(
      outputs, totals: query.totals, uniforms: uniforms, parameters: parameters, into: values)
  }
}
