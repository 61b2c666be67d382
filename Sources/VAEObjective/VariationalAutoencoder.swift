public import Layers
public import TensorKernels

/// Encoder q(z|x), decoder p(x|z) and the objective that joins them.
///
/// `q(z|x) = N(μ(x), σ²(x))`, `z = μ + σ ⊙ ε`; `p(z)` is `N(0, I)` or learned. Parameters, gradients
/// and noise are arguments; the model holds the layout, the arena and the planned products. One thread
/// at a time; for several, several models of one configuration share the flat buffers.
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
  let prior: LearnedPrior?
  let encoderInputs: EncoderInputs
  private let encoderInputGradientSlot: ArenaSlot?
  let decoderInputSlot: ArenaSlot?
  let decoderInputGradientSlot: ArenaSlot?
  let latentSlot: ArenaSlot
  let latentGradientSlot: ArenaSlot
  private let posteriorGradientSlot: ArenaSlot
  let drawFigures: UnsafeMutableBufferPointer<Double>  // [capacity * draws], nats
  let exampleFigures: UnsafeMutableBufferPointer<Double>  // [capacity], nats
  let drawWeights: UnsafeMutableBufferPointer<Float>  // [capacity * draws]
  private let klWeights: FloatBuffer  // [latent]
  private let divergences: UnsafeMutableBufferPointer<Double>  // [latent], nats
  // Numbers that no example has, for what dropout does to pseudo-inputs.
  private let pseudoExamples: UnsafeMutableBufferPointer<UInt32>

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
    let pseudoInputCount = configuration.prior.pseudoInputCount
    encoderInputs = EncoderInputs(
      configuration, capacity: capacity, layout: &layout, plan: &plan)
    encoder = LayerStack(
      configuration.encoder, activation: configuration.activation,
      capacity: capacity + pseudoInputCount, precision: configuration.precision, layout: &layout,
      plan: &plan)
    prior = LearnedPrior(
      configuration.prior, latent: configuration.latent, capacity: capacity * draws,
      layout: &layout, plan: &plan)
    decoder = LayerStack(
      configuration.decoder, activation: configuration.activation, capacity: capacity * draws,
      precision: configuration.precision, layout: &layout, plan: &plan)
    scorer = LikelihoodScorer(likelihood, example: configuration.example, layout: &layout)
    encoderInputGradientSlot =
      pseudoInputCount > 0
      ? plan.reserve(
        capacity: capacity + pseudoInputCount, columns: configuration.encoder.input.count) : nil
    decoderInputSlot =
      configuration.classes > 0
      ? plan.reserve(capacity: capacity * draws, columns: configuration.decoder.input.count) : nil
    decoderInputGradientSlot =
      configuration.classes > 0
      ? plan.reserve(capacity: capacity * draws, columns: configuration.decoder.input.count) : nil
    latentSlot = plan.reserve(capacity: capacity * draws, columns: configuration.latent)
    latentGradientSlot = plan.reserve(capacity: capacity * draws, columns: configuration.latent)
    posteriorGradientSlot = plan.reserve(
      capacity: capacity + pseudoInputCount, columns: 2 * configuration.latent)
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
    pseudoExamples = .allocate(capacity: pseudoInputCount)
    _ = pseudoExamples.initialize(
      from: (0..<pseudoInputCount).lazy.map { UInt32.max - UInt32($0) })
  }

  deinit {
    pseudoExamples.deallocate()
    drawWeights.deallocate()
    divergences.deallocate()
    drawFigures.deallocate()
    exampleFigures.deallocate()
  }

  /// The ELBO of these examples.
  ///
  /// - Shape: `data` is `[examples, inputs]`, `labels` `[examples]`; `noise` is `[examples * draws,
  ///   latent]`, the draws of an example together.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func elbo(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, noise: MatrixView,
    parameters: FloatBuffer
  ) throws(KernelError) -> ELBO {
    try forward(data, labels: labels, noise: noise, parameters: parameters, gradient: nil).elbo
  }

  /// The two parts of each example's ELBO, as ``elbo(of:labels:noise:parameters:)`` adds them.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func scores(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, noise: MatrixView,
    parameters: FloatBuffer
  ) throws(KernelError) -> [ExampleScore] {
    _ = try forward(data, labels: labels, noise: noise, parameters: parameters, gradient: nil)
    return (0..<data.rows).map { exampleScore($0) }
  }

  // Of the latest forward pass.
  private func exampleScore(_ example: Int) -> ExampleScore {
    let draws = configuration.draws
    let scores = drawFigures[example * draws..<(example + 1) * draws]
    return ExampleScore(
      reconstructionLogLikelihood: scores.reduce(0, +) / Double(draws),
      klDivergence: exampleFigures[example])
  }

  /// The ELBO of these examples, and the gradient of its negative, summed over the examples.
  ///
  /// The SGVB estimator: the expectation over q is the mean over `draws` draws. The KL divergence from
  /// N(0, I) is exact; that from another prior has an exact E_q[log q(z|x)] and the mean of log p(z)
  /// over the draws.
  ///
  /// - Shape: `data` is `[examples, inputs]`, `labels` `[examples]`; `noise` is `[examples * draws,
  ///   latent]`.
  /// - Parameters:
  ///   - data: The examples.
  ///   - labels: Their classes; nil where the model knows none.
  ///   - noise: ε, standard normal.
  ///   - parameters: The flat parameters.
  ///   - gradient: The flat buffer that receives the gradient.
  ///   - klWeighting: How much each latent's KL divergence counts.
  ///   - dropout: What dropout draws from, a row an example; nil drops nothing.
  ///   - progress: Who is told of parts of the gradient as they are completed.
  /// - Returns: Sums over the examples.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func computeGradient(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, noise: MatrixView,
    parameters: FloatBuffer, into gradient: FloatBuffer,
    klWeighting: KLWeighting = .same(1), dropout: DropoutNoise? = nil,
    progress: BackwardProgress? = nil
  ) throws(KernelError) -> GradientOutcome {
    let clock = ContinuousClock()
    let start = clock.now
    let pass = try forward(
      data, labels: labels, noise: noise, parameters: parameters, gradient: gradient,
      dropout: dropout)
    let middle = clock.now
    if let range = scorer.range { progress?.didComplete(range) }
    let draws = configuration.draws
    findWeights(klWeighting, pass.posterior)
    // log p(x|z): `pass.decoded` now holds its negative gradient, times each draw's weight.
    let sink = BackwardSink(parameterGradient: gradient, progress: progress)
    let latentGradient = try differentiateDecoder(
      pass.decoded, pass.latents.rows, pass.decoderContext, sink)
    // log p(z), log q(z|x) and z = μ + σ ⊙ ε
    let posteriorGradient = arena.matrix(
      posteriorGradientSlot, rows: data.rows + configuration.prior.pseudoInputCount)
    let ofExamples = posteriorGradient.rows(0..<data.rows)
    if prior == nil && configuration.bound == .elbo && configuration.estimator == .standard {
      reparameterizeBackward(
        latentGradient: latentGradient, posterior: pass.posterior, noise: noise, draws: draws,
        klWeights: klWeights, into: ofExamples)
    } else {
      let weights = UnsafeBufferPointer(drawWeights)
      let beta = klWeights.base[0]
      drawGradient(
        latentGradient: latentGradient, posterior: pass.posterior, noise: noise,
        priorScores: prior?.scores(of: pass.latents, arena: arena) ?? pass.latents,
        weights: weights, draws: draws, estimator: configuration.estimator, beta: beta,
        into: ofExamples)
      prior?.backward(
        pass.latents, drawWeights: weights, scale: beta, arena: arena, into: gradient,
        posteriors: pseudoRows(of: posteriorGradient, data.rows))
      if let range = prior?.range { progress?.didComplete(range) }
    }
    let inputGradient = encoderInputGradientSlot.map {
      arena.matrix($0, rows: posteriorGradient.rows)
    }
    try encoder.backward(
      posteriorGradient, inputGradient: inputGradient, pass.encoderContext, sink)
    if let inputGradient, let range = encoderInputs.range {
      encoderInputs.storeGradient(inputGradient, into: gradient)
      progress?.didComplete(range)
    }
    var outcome = GradientOutcome()
    outcome.elbo = pass.elbo
    outcome.importanceWeightedBoundSum = pass.boundSum
    outcome.forwardSeconds = start.duration(to: middle) / .seconds(1)
    outcome.backwardSeconds = middle.duration(to: clock.now) / .seconds(1)
    return outcome
  }

  /// The matrix products of ``computeGradient(of:labels:noise:parameters:into:progress:)`` and nothing
  /// else: the least time that a step can take.
  ///
  /// The gradient is overwritten by something meaningless.
  ///
  /// - Shape: `data` is `[examples, inputs]`, `labels` `[examples]`.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func runProducts(
    _ data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, parameters: FloatBuffer,
    gradient: FloatBuffer
  ) throws(KernelError) {
    let context = LayerContext(
      parameters: parameters, arena: arena, precision: configuration.precision)
    let sink = BackwardSink(parameterGradient: gradient)
    let posteriorGradient = arena.matrix(
      posteriorGradientSlot, rows: data.rows + configuration.prior.pseudoInputCount)
    try encoder.runProducts(
      encoderInputs.prepare(data, labels: labels, parameters: parameters, arena: arena),
      gradient: posteriorGradient,
      inputGradient: encoderInputGradientSlot.map {
        arena.matrix($0, rows: posteriorGradient.rows)
      }, context, sink)
    let draws = data.rows * configuration.draws
    try decoder.runProducts(
      arena.matrix(decoderInputSlot ?? latentSlot, rows: draws), gradient: nil,
      inputGradient: arena.matrix(decoderInputGradientSlot ?? latentGradientSlot, rows: draws),
      context, sink)
  }

  private func findWeights(_ weighting: KLWeighting, _ posterior: MatrixView) {
    switch weighting {
    case .same(let weight):
      klWeights.mutableElements.update(repeating: weight)
    case .each(let weights):
      _ = klWeights.mutableElements.update(fromContentsOf: weights)
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
    _ data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, noise: MatrixView,
    parameters: FloatBuffer, gradient: FloatBuffer?, dropout: DropoutNoise? = nil
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
    let encoderContext = context(
      dropout?.with(extraRows: UnsafeBufferPointer(pseudoExamples)))
    let decoderContext = context(dropout?.with(draws: draws))
    let posterior = try encodeWithPrior(data, labels: labels, encoderContext)
    let latents = latentRows(noise.rows)
    reparameterize(
      posterior: posterior, noise: noise, draws: draws, into: latents, klDivergence: exampleFigures)
    estimateDivergences(posterior, latents)
    let decoded = try decode(latents, labels: labels, decoderContext)
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
    var elbo = ELBO(exampleCount: data.rows)
    for example in 0..<data.rows {
      let score = exampleScore(example)
      let own = score.reconstructionLogLikelihood - score.klDivergence
      elbo.reconstructionLogLikelihoodSum += score.reconstructionLogLikelihood
      elbo.klDivergenceSum += score.klDivergence
      elbo.squareSum += own * own
    }
    return Pass(
      elbo: elbo, boundSum: boundSum, encoderContext: encoderContext,
      decoderContext: decoderContext, posterior: posterior, latents: latents, decoded: decoded)
  }

  // KL(q ‖ p) of each example, where p(z) is no standard normal: E_q[log q(z|x)] and the draws' log p(z).
  private func estimateDivergences(_ posterior: MatrixView, _ latents: MatrixView) {
    guard let prior else { return }
    let logDensities = prior.density(of: latents, arena: arena)
    let (draws, latent) = (configuration.draws, configuration.latent)
    for example in 0..<posterior.rows {
      let logVariances = posterior.row(example)[latent...]
      let negativeEntropy =
        -0.5 * logVariances.reduce(Double(latent) * 2.8378770664093453) { $0 + Double($1) }
      let logDensity = logDensities[example * draws..<(example + 1) * draws].reduce(0, +)
      exampleFigures[example] = negativeEntropy - logDensity / Double(draws)
    }
  }
}
