internal import Layers
public import TensorKernels

// From examples to posteriors and from latents to outputs, with what stands beside either: labels,
// pseudo-inputs, the components of the prior.

extension VariationalAutoencoder {
  /// Room for `rows` latents.
  func latentRows(_ rows: Int) -> MatrixView { arena.matrix(latentSlot, rows: rows) }

  /// Means and log variances of q(z|x).
  ///
  /// - Shape: `data` is `[examples, inputs]`, `labels` `[examples]`; the result is `[examples, 2 *
  ///   latent]`, in the arena until the next call.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func encode(
    _ data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, parameters: FloatBuffer
  ) throws(KernelError) -> MatrixView {
    try encoder.forward(
      encoderInputs.prepare(data, labels: labels, parameters: nil, arena: arena),
      scoring(parameters))
  }

  /// Means and log variances of q(z|x), with everything prepared that p(z) takes.
  func encodeWithPrior(
    _ data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    let inputs = encoderInputs.prepare(
      data, labels: labels, parameters: context.parameters, arena: arena)
    let posteriors = try encoder.forward(inputs, context)
    prior?.prepare(
      parameters: context.parameters, posteriors: pseudoRows(of: posteriors, data.rows))
    return posteriors.rows(0..<data.rows)
  }

  /// Prepares what p(z) takes for ``importanceWeightedBound(of:labels:example:drawCount:noise:parameters:scratch:)``
  /// and ``annealedBound(of:labels:example:sampling:noise:parameters:)``, as long as the parameters
  /// stay as they are.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func preparePrior(parameters: FloatBuffer) throws(KernelError) {
    guard let prior else { return }
    guard let inputs = encoderInputs.pseudoInputs(parameters) else {
      return prior.prepare(parameters: parameters, posteriors: nil)
    }
    prior.prepare(
      parameters: parameters, posteriors: try encoder.forward(inputs, scoring(parameters)))
  }

  /// What stands behind the rows of the examples.
  func pseudoRows(of matrix: MatrixView, _ examples: Int) -> MatrixView? {
    configuration.prior.pseudoInputCount > 0 ? matrix.rows(examples..<matrix.rows) : nil
  }

  /// The decoder's outputs for some draws, with the label of each one's example.
  func decode(
    _ latents: MatrixView, labels: UnsafeBufferPointer<UInt32>?,
    _ context: LayerContext
  ) throws(KernelError) -> MatrixView {
    guard let decoderInputSlot, let labels else { return try decoder.forward(latents, context) }
    let inputs = arena.matrix(decoderInputSlot, rows: latents.rows)
    join(latents, labels, classes: configuration.classes, pixelCount: 1, into: inputs)
    return try decoder.forward(inputs, context)
  }

  /// Has pseudo-inputs start as examples, from number `first` on.
  ///
  /// - Shape: `data` is `[examples, inputs]`, `labels` `[examples]`.
  func setPseudoInputs(
    from data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, first: Int,
    parameters: FloatBuffer
  ) {
    encoderInputs.setPseudoInputs(
      from: data, labels: labels, first: first, parameters: parameters, arena: arena)
  }

  /// How layers run where nothing is learned: in single precision, nothing dropped.
  func scoring(_ parameters: FloatBuffer) -> LayerContext {
    LayerContext(parameters: parameters, arena: arena, precision: .f32)
  }

  /// What the posteriors of these examples are like.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func summarizePosteriors(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, parameters: FloatBuffer
  ) throws(KernelError) -> PosteriorSums {
    let posterior = try encode(data, labels: labels, parameters: parameters)
    var sums = PosteriorSums(latent: configuration.latent)
    sums.exampleCount = data.rows
    sums.divergences.withUnsafeMutableBufferPointer { addDivergences(of: posterior, to: $0) }
    for row in 0..<data.rows {
      for (latent, mean) in posterior.row(row).prefix(configuration.latent).enumerated() {
        sums.means[latent] += Double(mean)
        sums.squares[latent] += Double(mean) * Double(mean)
      }
    }
    return sums
  }

  /// From the gradient of the decoder's outputs to ∂/∂z, `[draws, latent]`, in the arena until the
  /// next call.
  func differentiateDecoder(
    _ outputGradient: MatrixView, _ draws: Int, _ context: LayerContext, _ sink: BackwardSink
  ) throws(KernelError) -> MatrixView {
    let latentGradient = arena.matrix(latentGradientSlot, rows: draws)
    let inputGradient =
      decoderInputGradientSlot.map { arena.matrix($0, rows: draws) } ?? latentGradient
    try decoder.backward(outputGradient, inputGradient: inputGradient, context, sink)
    if decoderInputGradientSlot != nil {
      for row in 0..<latentGradient.rows {
        _ = latentGradient.row(row).update(
          fromContentsOf: inputGradient.row(row)[..<configuration.latent])
      }
    }
    return latentGradient
  }
}
