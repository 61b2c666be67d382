public import Layers
public import TensorKernels

/// Encoder q(z|x), decoder p(x|z) and the objective that joins them.
///
/// `q(z|x) = N(μ(x), σ²(x))`, `z = μ + σ ⊙ ε`, `p(z) = N(0, I)`. Parameters, gradients and noise
/// are arguments; the model holds the layout, the arena and the planned products. One thread at a
/// time; for several, several models of one configuration share the flat buffers.
///
/// - Source: Kingma & Welling 2014, equations 7 and 10 and appendix C.
public final class VariationalAutoencoder {
  /// What the model is.
  public let configuration: ModelConfiguration
  /// Where its parameters lie in a flat buffer.
  public let layout: ParameterLayout
  /// The most examples of one call.
  public let capacity: Int

  let encoder: LayerStack
  let decoder: LayerStack
  let arena: Arena
  let scorer: LikelihoodScorer
  private let encoderInputSlot: ArenaSlot?
  private let latentSlot: ArenaSlot
  private let latentGradientSlot: ArenaSlot
  private let posteriorGradientSlot: ArenaSlot
  let drawFigures: UnsafeMutableBufferPointer<Double>  // [capacity * draws], nats
  let exampleFigures: UnsafeMutableBufferPointer<Double>  // [capacity], nats
  let drawWeights: UnsafeMutableBufferPointer<Float>  // [capacity * draws]
  private let klWeights: FloatBuffer  // [latent]
  private let divergences: UnsafeMutableBufferPointer<Double>  // [latent], nats

  /// Plans the layers and allocates every activation.
  ///
  /// - Parameters:
  ///   - configuration: What the model is.
  ///   - capacity: The most examples of one call.
  public init(_ configuration: ModelConfiguration, capacity: Int) {
    self.configuration = configuration
    self.capacity = capacity
    let draws = configuration.draws
    var layout = ParameterLayout()
    var plan = ArenaPlan()
    let likelihood = configuration.likelihood
    encoder = LayerStack(
      configuration.encoder, activation: configuration.activation, capacity: capacity,
      precision: configuration.precision, layout: &layout, plan: &plan)
    decoder = LayerStack(
      configuration.decoder, activation: configuration.activation, capacity: capacity * draws,
      precision: configuration.precision, layout: &layout, plan: &plan)
    scorer = LikelihoodScorer(likelihood, inputs: configuration.inputs, layout: &layout)
    encoderInputSlot =
      if case .data = likelihood.encoderInput {
        nil
      } else {
        plan.reserve(capacity: capacity, columns: configuration.encoder.input.count)
      }
    latentSlot = plan.reserve(capacity: capacity * draws, columns: configuration.latent)
    latentGradientSlot = plan.reserve(capacity: capacity * draws, columns: configuration.latent)
    posteriorGradientSlot = plan.reserve(capacity: capacity, columns: 2 * configuration.latent)
    self.layout = layout
    arena = Arena(plan)
    drawFigures = .allocate(capacity: capacity * draws)
    exampleFigures = .allocate(capacity: capacity)
    drawFigures.initialize(repeating: 0)
    exampleFigures.initialize(repeating: 0)
    drawWeights = .allocate(capacity: capacity * draws)
    drawWeights.initialize(repeating: 1 / Float(draws))
    klWeights = FloatBuffer(count: configuration.latent)
    divergences = .allocate(capacity: configuration.latent)
    divergences.initialize(repeating: 0)
  }

  deinit {
    drawWeights.deallocate()
    divergences.deallocate()
    drawFigures.deallocate()
    exampleFigures.deallocate()
  }

  /// Room for `rows` latents.
  func latentRows(_ rows: Int) -> MatrixView { arena.matrix(latentSlot, rows: rows) }

  /// Means and log variances of q(z|x).
  ///
  /// - Shape: `data` is `[examples, inputs]`; the result is `[examples, 2 * latent]`, in the arena
  ///   until the next call.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func encode(
    _ data: MatrixView, parameters: FloatBuffer
  ) throws(KernelError) -> MatrixView {
    try encoder.forward(prepare(data), scoring(parameters))
  }

  /// How layers run where nothing is learned: in single precision, nothing dropped.
  func scoring(_ parameters: FloatBuffer) -> LayerContext {
    LayerContext(parameters: parameters, arena: arena, precision: .f32)
  }

  /// What the posteriors of these examples are like.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func summarizePosteriors(
    of data: MatrixView, parameters: FloatBuffer
  ) throws(KernelError) -> PosteriorSums {
    let posterior = try encode(data, parameters: parameters)
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

  // What the encoder reads; in the arena until the next call unless it is the data themselves.
  private func prepare(_ data: MatrixView) -> MatrixView {
    guard let encoderInputSlot else { return data }
    let prepared = arena.matrix(encoderInputSlot, rows: data.rows)
    switch configuration.likelihood.encoderInput {
    case .data: return data
    case .log1p: log1p(of: data, into: prepared)
    case .oneHot(let classes): oneHot(data, classes: classes, into: prepared)
    }
    return prepared
  }

  /// The ELBO of these examples.
  ///
  /// - Shape: `data` is `[examples, inputs]`; `noise` is `[examples * draws, latent]`, the draws of
  ///   an example together.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func elbo(
    of data: MatrixView, noise: MatrixView, parameters: FloatBuffer
  ) throws(KernelError) -> ELBO {
    try forward(data, noise: noise, parameters: parameters, gradient: nil).elbo
  }

  /// The ELBO of these examples, and the gradient of its negative, summed over the examples.
  ///
  /// The SGVB estimator: the expectation over q is the mean over `draws` draws, the KL divergence
  /// is exact.
  ///
  /// - Shape: `data` is `[examples, inputs]`; `noise` is `[examples * draws, latent]`.
  /// - Parameters:
  ///   - data: The examples.
  ///   - noise: ε, standard normal.
  ///   - parameters: The flat parameters.
  ///   - gradient: The flat buffer that receives the gradient.
  ///   - klWeighting: How much each latent's KL divergence counts.
  ///   - dropout: What dropout draws from, a row an example; nil drops nothing.
  ///   - progress: Who is told of parts of the gradient as they are completed.
  /// - Returns: Sums over the examples.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func computeGradient(
    of data: MatrixView, noise: MatrixView, parameters: FloatBuffer, into gradient: FloatBuffer,
    klWeighting: KLWeighting = .same(1), dropout: DropoutNoise? = nil,
    progress: BackwardProgress? = nil
  ) throws(KernelError) -> GradientOutcome {
    let clock = ContinuousClock()
    let start = clock.now
    let pass = try forward(
      data, noise: noise, parameters: parameters, gradient: gradient, dropout: dropout)
    let middle = clock.now
    if let range = scorer.range { progress?.didComplete(range) }
    let draws = configuration.draws
    findWeights(klWeighting, pass.posterior)
    // log p(x|z): `pass.decoded` now holds its negative gradient, times each draw's weight.
    let latentGradient = arena.matrix(latentGradientSlot, rows: pass.latents.rows)
    let sink = BackwardSink(parameterGradient: gradient, progress: progress)
    try decoder.backward(
      pass.decoded, inputGradient: latentGradient, pass.decoderContext, sink)
    // z = μ + σ ⊙ ε, and the KL divergence
    let posteriorGradient = arena.matrix(posteriorGradientSlot, rows: data.rows)
    if configuration.bound == .elbo && configuration.estimator == .standard {
      reparameterizeBackward(
        latentGradient: latentGradient, posterior: pass.posterior, noise: noise, draws: draws,
        klWeights: klWeights, into: posteriorGradient)
    } else {
      drawGradient(
        latentGradient: latentGradient, posterior: pass.posterior, noise: noise,
        latents: pass.latents, weights: UnsafeBufferPointer(drawWeights), draws: draws,
        estimator: configuration.estimator, beta: klWeights.base[0], into: posteriorGradient)
    }
    try encoder.backward(posteriorGradient, inputGradient: nil, pass.encoderContext, sink)
    return GradientOutcome(
      elbo: pass.elbo, importanceWeightedBoundSum: pass.boundSum,
      forwardSeconds: start.duration(to: middle) / .seconds(1),
      backwardSeconds: middle.duration(to: clock.now) / .seconds(1))
  }

  /// The matrix products of ``computeGradient(of:noise:parameters:into:progress:)`` and nothing
  /// else: the least time that a step can take.
  ///
  /// The gradient is overwritten by something meaningless.
  ///
  /// - Shape: `data` is `[examples, inputs]`.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func runProducts(
    _ data: MatrixView, parameters: FloatBuffer, gradient: FloatBuffer
  ) throws(KernelError) {
    let latents = latentRows(data.rows * configuration.draws)
    let context = LayerContext(
      parameters: parameters, arena: arena, precision: configuration.precision)
    let sink = BackwardSink(parameterGradient: gradient)
    try encoder.runProducts(
      prepare(data), gradient: arena.matrix(posteriorGradientSlot, rows: data.rows),
      inputGradient: nil, context, sink)
    try decoder.runProducts(
      latents, gradient: nil,
      inputGradient: arena.matrix(latentGradientSlot, rows: latents.rows), context, sink)
  }

  private func findWeights(_ weighting: KLWeighting, _ posterior: MatrixView) {
    switch weighting {
    case .same(let weight):
      klWeights.mutableElements.update(repeating: weight)
    case .bySums(let weights):
      divergences.update(repeating: 0)
      addDivergences(of: posterior, to: divergences)
      _ = klWeights.mutableElements.update(fromContentsOf: weights(divergences))
    }
  }

  private struct Pass {
    let elbo: ELBO
    let boundSum: Double  // of the importance-weighted bound
    let encoderContext: LayerContext
    let decoderContext: LayerContext
    let posterior: MatrixView  // [examples, 2 * latent]
    let latents: MatrixView  // [examples * draws, latent]
    let decoded: MatrixView  // [examples * draws, heads * inputs], or its gradient
  }

  private func forward(
    _ data: MatrixView, noise: MatrixView, parameters: FloatBuffer, gradient: FloatBuffer?,
    dropout: DropoutNoise? = nil
  ) throws(KernelError) -> Pass {
    let draws = configuration.draws
    precondition(
      data.columns == configuration.inputs && noise.rows == data.rows * draws,
      "Data \(data.shape) and noise \(noise.shape) do not fit \(configuration)")
    // Scores are always those of the parameters as they are.
    let context = { (dropout: DropoutNoise?) in
      LayerContext(
        parameters: parameters, arena: self.arena,
        precision: gradient == nil ? .f32 : self.configuration.precision, dropout: dropout)
    }
    let encoderContext = context(dropout)
    let decoderContext = context(dropout?.with(draws: draws))
    let posterior = try encoder.forward(prepare(data), encoderContext)
    let latents = latentRows(noise.rows)
    reparameterize(
      posterior: posterior, noise: noise, draws: draws, into: latents, klDivergence: exampleFigures)
    let decoded = try decoder.forward(latents, decoderContext)
    var boundSum = 0.0
    if gradient != nil && configuration.bound == .iwae {
      // How much a draw counts depends on the scores of all: once for those, once for the gradient.
      scorer.score(
        data, outputs: decoded, draws: draws, parameters: parameters, into: drawFigures)
      boundSum = weighDraws(posterior: posterior, noise: noise, latents: latents)
      scorer.score(
        data, outputs: decoded, draws: draws, parameters: parameters, gradient: gradient,
        rowScales: UnsafeBufferPointer(drawWeights), into: drawFigures)
    } else {
      scorer.score(
        data, outputs: decoded, draws: draws, parameters: parameters, gradient: gradient,
        scale: 1 / Float(draws), into: drawFigures)
    }
    let elbo = ELBO(
      reconstructionLogLikelihoodSum: drawFigures[..<noise.rows].reduce(0, +) / Double(draws),
      klDivergenceSum: exampleFigures[..<data.rows].reduce(0, +), exampleCount: data.rows)
    return Pass(
      elbo: elbo, boundSum: boundSum, encoderContext: encoderContext,
      decoderContext: decoderContext, posterior: posterior, latents: latents, decoded: decoded)
  }
}
