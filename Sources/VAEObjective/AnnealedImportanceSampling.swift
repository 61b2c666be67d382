internal import Layers
public import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// The draws of one example on their way from q(z|x) to p(z|x), in coordinates in which q is N(0, I):
/// z = μ + σ ⊙ u.
private struct Chains {
  let u: MatrixView  // [chains, latent]
  let gradient: MatrixView  // ∂(−log p(x, z))/∂u
  var logJoint: [Double]  // log p(x, z)
  var logPosterior: [Double]  // log q(z|x)

  init(_ count: Int, latent: Int) {
    let buffer = FloatBuffer(count: 2 * count * latent)
    u = buffer.matrix(rows: count, columns: latent)
    gradient = buffer.matrix(rows: count, columns: latent, offset: count * latent)
    logJoint = [Double](repeating: 0, count: count)
    logPosterior = logJoint
  }

  mutating func take(_ other: Chains, chain: Int) {
    _ = u.row(chain).update(fromContentsOf: other.u.row(chain))
    _ = gradient.row(chain).update(fromContentsOf: other.gradient.row(chain))
    logJoint[chain] = other.logJoint[chain]
    logPosterior[chain] = other.logPosterior[chain]
  }

  mutating func take(_ other: Chains) {
    u.copy(other.u)
    gradient.copy(other.gradient)
    logJoint = other.logJoint
    logPosterior = other.logPosterior
  }
}

extension VariationalAutoencoder {
  /// log p(x) of one example by annealed importance sampling.
  ///
  /// After ``preparePrior(parameters:)``. Each of K draws of q(z|x) is led to p(z|x) through T distributions ∝ q^(1−β) p(x, z)^β, β along a
  /// sigmoid, by one trajectory of Hamiltonian Monte Carlo at each; its weight is the product of what
  /// the density changes by from one to the next. The mean weight is p(x) in the mean, as without
  /// annealing, and varies less. The lengths of the trajectories' steps are found beforehand with other
  /// random numbers, so that they do not depend on the draws that count.
  ///
  /// - Shape: `data` is `[1, inputs]`, `labels` `[1]`.
  /// - Units: nats.
  /// - Parameters:
  ///   - data: One example.
  ///   - labels: Its class; nil where the model knows none.
  ///   - example: Its number, which keys the noise.
  ///   - sampling: K and T.
  ///   - noise: Where the noise comes from.
  ///   - parameters: The flat parameters.
  /// - Returns: The bound, and how evenly the draws count.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  /// - Source: Neal 2001; Wu, Burda, Salakhutdinov & Grosse 2017, section 3 and appendix, who begin at
  ///   p(z).
  public func annealedBound(
    of data: MatrixView, labels: UnsafeBufferPointer<UInt32>? = nil, example: UInt32,
    sampling: ImportanceSampling, noise: RandomStream, parameters: FloatBuffer
  ) throws(KernelError) -> ImportanceEstimate {
    precondition(
      data.rows == 1 && sampling.annealingSteps > 0, "One example and at least one step")
    let context = scoring(parameters)
    let posterior = FloatBuffer(count: 2 * configuration.latent)
      .matrix(rows: 1, columns: 2 * configuration.latent)
    posterior.copy(try encode(data, labels: labels, parameters: parameters))
    let problem = AnnealingProblem(
      data: data, labels: labels, example: example, posterior: posterior, context: context)
    let chunk = max(1, min(drawFigures.count, sampling.drawCount))

    let pilotSteps = max(20, sampling.annealingSteps / 10)
    var stepSizes = StepSizes(count: pilotSteps)
    _ = try anneal(
      problem, draws: 0..<min(16, chunk), steps: pilotSteps, noise.forPilot, &stepSizes)
    stepSizes.isFixed = true
    var mean = StreamingLogMeanExp()
    for first in stride(from: 0, to: sampling.drawCount, by: chunk) {
      let draws = first..<min(first + chunk, sampling.drawCount)
      let logWeights = try anneal(
        problem, draws: draws, steps: sampling.annealingSteps, noise, &stepSizes)
      for logWeight in logWeights { mean.add(logWeight) }
    }
    return ImportanceEstimate(bound: mean.value, effectiveSampleSize: mean.effectiveCount)
  }

  // The logarithms of the draws' weights.
  private func anneal(
    _ problem: AnnealingProblem, draws: Range<Int>, steps: Int, _ noise: RandomStream,
    _ stepSizes: inout StepSizes
  ) throws(KernelError) -> [Double] {
    let latent = configuration.latent
    var chains = Chains(draws.count, latent: latent)
    var proposal = Chains(draws.count, latent: latent)
    let momenta = FloatBuffer(count: draws.count * latent)
      .matrix(rows: draws.count, columns: latent)
    let uniforms = FloatBuffer(count: draws.count).matrix(rows: draws.count, columns: 1)
    noise.fillNormal(chains.u, example: problem.example, draws: draws)
    try evaluate(&chains, problem)
    var logWeights = [Double](repeating: 0, count: draws.count)
    for step in 1...steps {
      let (before, now) = (temperature(step - 1, of: steps), temperature(step, of: steps))
      for chain in logWeights.indices {
        logWeights[chain] +=
          (now - before) * (chains.logJoint[chain] - chains.logPosterior[chain])
      }
      // A move at the end would change no weight.
      if step == steps { break }
      noise.with(purpose: .annealingMomenta, part: step)
        .fillNormal(momenta, example: problem.example, draws: draws)
      noise.with(purpose: .annealingDecisions, part: step)
        .fillUniform(uniforms, example: problem.example, draws: draws)
      let stepSize = stepSizes.size(at: step, of: steps)
      proposal.take(chains)
      let energies = energies(chains, momenta, now)
      try move(&proposal, momenta, temperature: now, stepSize: stepSize, problem)
      let newEnergies = self.energies(proposal, momenta, now)
      var acceptance = 0.0
      for chain in logWeights.indices {
        // NaN is refused.
        let ratio = exp(min(energies[chain] - newEnergies[chain], 0))
        acceptance += ratio.isFinite ? ratio : 0
        if Double(uniforms.row(chain)[0]) < ratio { chains.take(proposal, chain: chain) }
      }
      stepSizes.adapt(to: acceptance / Double(draws.count), at: step, of: steps)
    }
    return logWeights
  }

  // A leapfrog trajectory; momenta are overwritten.
  private func move(
    _ chains: inout Chains, _ momenta: MatrixView, temperature: Double, stepSize: Float,
    _ problem: AnnealingProblem
  ) throws(KernelError) {
    let beta = Float(temperature)
    func push(_ length: Float) {
      for index in 0..<momenta.count {
        let slope =
          (1 - beta) * chains.u.elements[index] + beta * chains.gradient.elements[index]
        momenta.elements[index] -= length * slope
      }
    }
    push(0.5 * stepSize)
    for leap in 1...AnnealingProblem.leapCount {
      for index in 0..<momenta.count {
        chains.u.elements[index] += stepSize * momenta.elements[index]
      }
      try evaluate(&chains, problem)
      push(leap == AnnealingProblem.leapCount ? 0.5 * stepSize : stepSize)
    }
  }

  // −log of q^(1−β) p(x, z)^β and the momenta's ½ p².
  private func energies(
    _ chains: Chains, _ momenta: MatrixView, _ temperature: Double
  ) -> [Double] {
    (0..<momenta.rows).map { chain in
      momenta.row(chain).reduce(0) { $0 + 0.5 * Double($1) * Double($1) }
        - (1 - temperature) * chains.logPosterior[chain] - temperature * chains.logJoint[chain]
    }
  }

  // β of a step: a sigmoid from 0 to 1.
  private func temperature(_ step: Int, of count: Int) -> Double {
    func sigmoid(_ step: Int) -> Double { 1 / (1 + exp(4 - 8 * Double(step) / Double(count))) }
    return (sigmoid(step) - sigmoid(0)) / (sigmoid(count) - sigmoid(0))
  }

  // Densities and gradients where the chains are.
  private func evaluate(
    _ chains: inout Chains, _ problem: AnnealingProblem
  ) throws(KernelError) {
    let (latent, count) = (configuration.latent, chains.u.rows)
    let posterior = problem.posterior.row(0)
    let deviations = posterior[latent...].map { exp(0.5 * $0) }
    let latents = latentRows(count)
    for chain in 0..<count {
      let (u, z) = (chains.u.row(chain), latents.row(chain))
      for index in 0..<latent { z[index] = posterior[index] + deviations[index] * u[index] }
    }
    let outputs = try decode(latents, labels: problem.labels, problem.context)
    scorer.score(
      problem.data, outputs: outputs, draws: count, parameters: problem.context.parameters,
      differentiates: true, into: drawFigures)
    let ofLikelihood = try differentiateDecoder(
      outputs, count, problem.context, BackwardSink(parameterGradient: nil))
    let logPriors = prior?.density(of: latents, arena: arena)
    let ofPrior = prior?.scores(of: latents, arena: arena) ?? latents
    let halfLogTwoPi = 0.5 * log(2 * Double.pi)
    let logVolume = posterior[latent...].reduce(0) { $0 + 0.5 * Double($1) }
    for chain in 0..<count {
      let (u, gradient) = (chains.u.row(chain), chains.gradient.row(chain))
      let (one, other) = (ofLikelihood.row(chain), ofPrior.row(chain))
      let z = latents.row(chain)
      var (logStandard, logQ) = (0.0, -logVolume)
      for index in 0..<latent {
        gradient[index] = deviations[index] * (one[index] + other[index])
        logStandard -= halfLogTwoPi + 0.5 * Double(z[index]) * Double(z[index])
        logQ -= halfLogTwoPi + 0.5 * Double(u[index]) * Double(u[index])
      }
      chains.logJoint[chain] = drawFigures[chain] + (logPriors?[chain] ?? logStandard)
      chains.logPosterior[chain] = logQ
    }
  }
}

/// What stays the same along the way.
private struct AnnealingProblem {
  let data: MatrixView
  let labels: UnsafeBufferPointer<UInt32>?
  let example: UInt32
  let posterior: MatrixView  // [1, 2 * latent]
  let context: LayerContext

  /// Steps of a trajectory.
  static let leapCount = 10
}

/// The length of a trajectory's steps at each temperature.
private struct StepSizes {
  var isFixed = false
  private var sizes: [Float]
  private var logSize = log(0.2)

  init(count: Int) {
    sizes = [Float](repeating: 0.2, count: count + 1)
  }

  private func place(_ step: Int, _ count: Int) -> Int { step * (sizes.count - 1) / count }

  func size(at step: Int, of count: Int) -> Float { sizes[place(step, count)] }

  // Towards two accepted of three (Neal 2011, section 5.4.4.3).
  mutating func adapt(to acceptance: Double, at step: Int, of count: Int) {
    if isFixed { return }
    logSize += 0.4 * (acceptance - 0.65)
    for index in place(step, count)..<sizes.count { sizes[index] = Float(exp(min(logSize, 0.5))) }
  }
}

extension RandomStream {
  /// Other numbers of the same kind.
  fileprivate var forPilot: RandomStream { with(purpose: .annealingMomenta, part: 1 << 30) }

  fileprivate func fillNormal(_ values: MatrixView, example: UInt32, draws: Range<Int>) {
    withUnsafePointer(to: example) {
      fillNormal(
        values, examples: UnsafeBufferPointer(start: $0, count: 1), firstDraw: draws.lowerBound,
        draws: draws.count)
    }
  }

  fileprivate func fillUniform(_ values: MatrixView, example: UInt32, draws: Range<Int>) {
    withUnsafePointer(to: example) {
      fillUniform(
        values, examples: UnsafeBufferPointer(start: $0, count: 1), firstDraw: draws.lowerBound,
        draws: draws.count)
    }
  }
}
