internal import Layers
internal import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// p(z).
public enum Prior: Sendable, Equatable {
  /// N(0, I).
  case standardNormal
  /// Gaussians with means, variances and weights that are learned.
  case mixture(components: Int)
  /// The mean of q(z|u) over learned pseudo-inputs u (Tomczak & Welling 2018, equation 9).
  case vamp(components: Int)

  /// Whether it has parameters.
  public var isLearned: Bool { self != .standardNormal }

  /// How many Gaussians it is a mixture of.
  public var components: Int {
    switch self {
    case .standardNormal: 1
    case .mixture(let components), .vamp(let components): components
    }
  }

  /// How many inputs of its own the encoder reads.
  public var pseudoInputCount: Int {
    if case .vamp(let components) = self { return components }
    return 0
  }
}

/// A mixture of Gaussians as a prior, with the room that scoring takes; one a thread.
///
/// Its Gaussians are parameters of their own, or what the encoder makes of pseudo-inputs.
final class LearnedPrior {
  private let mixture: GaussianMixture
  private let own: (means: Int, logVariances: Int, logits: Int)?  // offsets
  private let responsibilitySlot: ArenaSlot
  private let scoreSlot: ArenaSlot
  private let logDensities: UnsafeMutableBufferPointer<Double>  // [capacity], nats

  /// What is complete of the flat gradient once the draws have been differentiated.
  let range: Range<Int>?

  /// Takes its places in the layout and the arena; nil where nothing is learned.
  ///
  /// - Parameters:
  ///   - prior: What it is.
  ///   - latent: Dimensions of z.
  ///   - capacity: The most draws of one call.
  ///   - layout: Grows by the parameters.
  ///   - plan: Grows by what scoring takes.
  init?(
    _ prior: Prior, latent: Int, capacity: Int, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    if !prior.isLearned { return nil }
    let components = prior.components
    mixture = GaussianMixture(components: components, latent: latent)
    if case .mixture = prior {
      let start = layout.bufferCount
      layout.addFree(
        name: "prior.mean", rows: components, extents: Extents(vector: latent),
        start: .normal(deviation: Self.initialDeviation))
      let logVariances = layout.bufferCount
      layout.addFree(
        name: "prior.log_variance", rows: components, extents: Extents(vector: latent),
        start: .constant(0))
      let logits = layout.bufferCount
      layout.addFree(
        name: "prior.logits", extents: Extents(vector: components), initialValue: 0)
      own = (start, logVariances, logits)
      range = start..<layout.bufferCount
    } else {
      own = nil
      range = nil
    }
    responsibilitySlot = plan.reserve(capacity: capacity, columns: mixture.stride)
    scoreSlot = plan.reserve(capacity: capacity, columns: latent)
    logDensities = .allocate(capacity: capacity)
    logDensities.initialize(repeating: 0)
  }

  deinit {
    logDensities.deallocate()
  }

  // Near the standard normal, and apart enough for each component to find its own.
  private static let initialDeviation: Float = 0.5

  /// Takes the components of this call.
  ///
  /// - Parameters:
  ///   - parameters: The flat parameters.
  ///   - posteriors: What the encoder made of the pseudo-inputs, `[components, 2 * latent]`; nil where
  ///     components are parameters.
  func prepare(parameters: FloatBuffer, posteriors: MatrixView?) {
    if let posteriors {
      let (means, logVariances) = halves(posteriors)
      mixture.set(means: means, logVariances: logVariances, logits: nil)
    } else if let own {
      let (means, logVariances) = tensors(of: own, in: parameters)
      mixture.set(
        means: means, logVariances: logVariances,
        logits: UnsafeBufferPointer(
          rebasing: parameters.elements[own.logits..<own.logits + mixture.components]))
    }
  }

  /// Draws z from the components that were taken last.
  func draw(
    uniform: Float, normals: UnsafeMutableBufferPointer<Float>, temperature: Float,
    into latents: UnsafeMutableBufferPointer<Float>
  ) {
    mixture.draw(uniform: uniform, normals: normals, temperature: temperature, into: latents)
  }

  /// log p(z) of each draw, nats, until the next call.
  func density(of latents: MatrixView, arena: Arena) -> UnsafeBufferPointer<Double> {
    mixture.density(
      of: latents, responsibilities: arena.matrix(responsibilitySlot, rows: latents.rows),
      into: logDensities)
    return logDensityOfDraws(latents.rows)
  }

  /// What ``density(of:arena:)`` found last.
  func logDensityOfDraws(_ rows: Int) -> UnsafeBufferPointer<Double> {
    UnsafeBufferPointer(rebasing: logDensities[..<rows])
  }

  /// −∂log p(z)/∂z of the draws of the latest ``density(of:arena:)``.
  func scores(of latents: MatrixView, arena: Arena) -> MatrixView {
    let scores = arena.matrix(scoreSlot, rows: latents.rows)
    mixture.scores(
      of: latents, responsibilities: arena.matrix(responsibilitySlot, rows: latents.rows),
      into: scores)
    return scores
  }

  /// The gradient of −scale · Σ weight · log p(z) with respect to the components.
  ///
  /// - Parameters:
  ///   - latents: The draws of the latest ``density(of:arena:)``.
  ///   - drawWeights: How much each draw counts.
  ///   - scale: What all of these are multiplied by.
  ///   - arena: Where the latest densities left their notes.
  ///   - gradient: The flat gradient.
  ///   - posteriors: Receives the gradient in place of it where the encoder made the components.
  func backward(
    _ latents: MatrixView, drawWeights: UnsafeBufferPointer<Float>, scale: Float, arena: Arena,
    into gradient: FloatBuffer, posteriors: MatrixView?
  ) {
    let responsibilities = arena.matrix(responsibilitySlot, rows: latents.rows)
    if let posteriors {
      let (means, logVariances) = halves(posteriors)
      mixture.gradient(
        of: latents, responsibilities: responsibilities, drawWeights: drawWeights, scale: scale,
        means: means, logVariances: logVariances, logits: nil)
    } else if let own {
      let (means, logVariances) = tensors(of: own, in: gradient)
      mixture.gradient(
        of: latents, responsibilities: responsibilities, drawWeights: drawWeights, scale: scale,
        means: means, logVariances: logVariances,
        logits: UnsafeMutableBufferPointer(
          rebasing: gradient.mutableElements[own.logits..<own.logits + mixture.components]))
    }
  }

  private func halves(_ posteriors: MatrixView) -> (MatrixView, MatrixView) {
    let latent = mixture.latent
    return (posteriors.columns(0..<latent), posteriors.columns(latent..<2 * latent))
  }

  private func tensors(
    of own: (means: Int, logVariances: Int, logits: Int), in flat: FloatBuffer
  ) -> (MatrixView, MatrixView) {
    let (rows, columns) = (mixture.components, mixture.latent)
    return (
      flat.matrix(rows: rows, columns: columns, offset: own.means),
      flat.matrix(rows: rows, columns: columns, offset: own.logVariances)
    )
  }
}
