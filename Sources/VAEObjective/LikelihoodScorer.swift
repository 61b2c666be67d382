internal import Layers
internal import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

func naturalLogarithm(of value: Double) -> Double { log(value) }

/// A likelihood with its own parameters' place and the room that scoring takes; one a thread.
final class LikelihoodScorer {
  private let likelihood: Likelihood
  private let width: Int
  private let free: Likelihood.FreeParameter?
  private let offset: Int  // of the free parameter
  private let freeValues: FloatBuffer?  // [width]
  private let freeGradient: FloatBuffer?  // [width]
  private let shares: FloatBuffer?  // [width]

  /// What is complete when the likelihood has been scored: the end of the flat buffers.
  let range: Range<Int>?

  /// Takes the place of what is learned beside the decoder, behind everything else.
  init(_ likelihood: Likelihood, example: Extents, layout: inout ParameterLayout) {
    self.likelihood = likelihood
    let inputs = example.count
    width = inputs
    free = likelihood.freeParameter(inputs: inputs)
    offset = layout.bufferCount
    if let free {
      layout.addFree(
        name: free.name, extents: free.count == 1 ? Extents(vector: 1) : example,
        initialValue: free.initialValue)
    }
    range = free == nil ? nil : offset..<layout.bufferCount
    let isFixed = likelihood.hasSpread && likelihood.spread == .fixed
    freeValues = free != nil || isFixed ? FloatBuffer(count: inputs) : nil
    freeGradient = freeValues == nil ? nil : FloatBuffer(count: inputs)
    shares = likelihood.usesLibrarySize ? FloatBuffer(count: inputs) : nil
    if isFixed { freeValues?.mutableElements.update(repeating: likelihood.logSpread) }
  }

  private func takeFree(_ parameters: FloatBuffer) {
    guard let freeValues, let free else { return }
    let own = parameters.elements[offset..<offset + free.count]
    for index in 0..<width {
      freeValues.base[index] = own[offset + (free.count == 1 ? 0 : index)]
    }
  }

  /// What p(x|z) says of each row.
  ///
  /// - Shape: `outputs` is `[rows, heads * width]`, `values` `[rows, width]`.
  /// - Parameters:
  ///   - outputs: The decoder's.
  ///   - totals: What means of counts add up to in each row; empty where they are no shares of a total.
  ///   - uniforms: What draws take, `[rows * ObservationModel.uniformsPerValue, width]`; nil for means.
  ///   - parameters: The flat parameters.
  ///   - values: Receives means or draws.
  func observe(
    _ outputs: MatrixView, totals: [Float], uniforms: MatrixView?, parameters: FloatBuffer,
    into values: MatrixView
  ) {
    takeFree(parameters)
    let model = ObservationModel(likelihood, width: width)
    let each = ObservationModel.uniformsPerValue
    for row in 0..<outputs.rows {
      model.fill(
        values.row(row), outputs: UnsafeBufferPointer(outputs.row(row)), free: freeValues?.elements,
        total: totals.isEmpty ? 1 : Double(totals[row]),
        uniforms: uniforms.map { $0.rows(row * each..<(row + 1) * each) })
    }
  }

  /// log p(x|z) of each row, and where wanted the gradient of −log p.
  ///
  /// - Shape: As `LikelihoodScoring.run`.
  /// - Parameters:
  ///   - data: The examples.
  ///   - outputs: The decoder's; overwritten by the gradient where one is wanted.
  ///   - draws: Draws per example.
  ///   - parameters: The flat parameters.
  ///   - gradient: The flat gradient; nil if none is wanted.
  ///   - differentiates: Whether the outputs' gradient is wanted.
  ///   - scale: What the gradient is multiplied by.
  ///   - rowScales: What that of each draw is multiplied by besides; nil for 1.
  ///   - logLikelihood: Receives log p(x|z) of each draw, nats.
  func score(
    _ data: MatrixView, outputs: MatrixView, draws: Int, parameters: FloatBuffer,
    gradient: FloatBuffer? = nil, differentiates: Bool = false, scale: Float = 1,
    rowScales: UnsafeBufferPointer<Float>? = nil,
    into logLikelihood: UnsafeMutableBufferPointer<Double>
  ) {
    var scoring = LikelihoodScoring(
      likelihood.family, draws: draws,
      gradientScale: gradient != nil || differentiates ? scale : nil)
    scoring.rowScales = rowScales
    takeFree(parameters)
    if let freeValues, let freeGradient {
      freeGradient.mutableElements.update(repeating: 0)
      scoring.free = (freeValues, freeGradient)
    }
    scoring.floor = likelihood.spread == .fixed ? 0 : likelihood.spreadFloor
    scoring.sigmoidLocation = likelihood.sigmoidLocation
    scoring.shares = shares
    scoring.run(data, outputs: outputs, into: logLikelihood)
    guard let gradient, let free, let freeGradient else { return }
    if free.count == 1 {
      gradient.base[offset] = Float(freeGradient.elements.reduce(0.0) { $0 + Double($1) })
    } else {
      (gradient.base + offset).update(from: freeGradient.base, count: width)
    }
  }
}
