internal import TensorKernels
internal import VAEObjective

// With `--deterministic`: the same bits for any number of ranks and threads.
//
// The global batch is cut into pieces that depend on nothing else. One thread computes the gradient of
// a whole piece, with the same shapes whoever it is, and adds it in fixed point to what its other
// pieces gave. Whole numbers add up to the same sum in any order; it is converted to floats once.

extension DataParallelStep {
  /// This rank's pieces of a step, and the sums over all ranks.
  ///
  /// Collective.
  ///
  /// - Returns: The sums, and the penalty for the divergences, nats, where the batch decides.
  /// - Throws: ``SharedFailure`` where numbers are lost; `KernelError` or `CollectiveError`.
  func computeExactly(
    _ batch: ExampleBatch, noise: RandomStream, number: Int, penalties: KLSchedule
  ) throws -> (Sums, penalty: Double?) {
    let unit = configuration.unitSize
    let pieces = stride(from: 0, to: batch.count, by: unit).map {
      $0..<min($0 + unit, batch.count)
    }
    let (weighting, penalty) = try exactWeighting(
      batch, pieces: pieces, penalties: penalties, step: number - 1)
    let pieceCount = (configuration.globalBatchSize + unit - 1) / unit
    var scale: FixedPointScale? = .usual
    while let attempt = scale {
      let limit = attempt.limit(ofEach: pieceCount)
      let outcome = try computePieces(
        batch, pieces, noise: noise, weighting: weighting, scale: attempt)
      reduction.didComputeGradient(scale: attempt)
      // NaN is no misfit less than infinity.
      let misfitCount = Double(outcome.largest.count { !($0 <= limit) })
      let sums = try total(
        outcome.sums, misfitCount: misfitCount, batch, noise, step: number)
      if sums.misfitCount == 0 { return (sums, penalty) }
      scale = attempt.coarser
    }
    try failGradient(batch, noise, step: number)
  }

  private func computePieces(
    _ batch: ExampleBatch, _ pieces: [Range<Int>], noise: RandomStream, weighting: KLWeighting,
    scale: FixedPointScale
  ) throws -> (sums: GradientOutcome, largest: [Float]) {
    let fixedSums = reduction.fixedSums
    var largest = [Float](repeating: 0, count: pieces.count)
    var seconds = 0.0  // of the first thread
    let outcomes = try largest.withUnsafeMutableBufferPointer { buffer in
      let largest = buffer
      return try replica.computeGradients(
        of: batch, pieces: pieces, noise: noise, klWeighting: weighting
      ) { gradient, thread, piece in
        let start = ContinuousClock.now
        largest[piece] = fixedSums[thread].take(
          gradient, scale: scale, adds: piece >= fixedSums.count)
        if thread == 0 { seconds += start.secondsUntilNow }
      }
    }
    for idle in fixedSums.dropFirst(pieces.count) { idle.elements.update(repeating: 0) }
    var sums = GradientOutcome()
    for (piece, outcome) in outcomes.enumerated() {
      sums.elbo.reconstructionLogLikelihoodSum += exact(
        outcome.elbo.reconstructionLogLikelihoodSum)
      sums.elbo.klDivergenceSum += exact(outcome.elbo.klDivergenceSum)
      sums.elbo.exampleCount += outcome.elbo.exampleCount
      sums.importanceWeightedBoundSum += exact(outcome.importanceWeightedBoundSum)
      if piece % fixedSums.count == 0 {
        times.forward += outcome.forwardSeconds
        times.backward += outcome.backwardSeconds
      }
    }
    times.optimizer += seconds
    return (sums, largest)
  }

  // How much each latent's divergence counts. What depends on the whole batch is found by a pass of the
  // encoder of its own, in single precision and with nothing dropped.
  private func exactWeighting(
    _ batch: ExampleBatch, pieces: [Range<Int>], penalties: KLSchedule, step: Int
  ) throws -> (KLWeighting, penalty: Double?) {
    if !penalties.needsDivergences { return (.same(Float(penalties.weight(step: step))), nil) }
    var sums = [Double](repeating: 0, count: model.latent)
    for piece in try replica.summarizePosteriors(batch, groups: pieces) {
      for latent in sums.indices { sums[latent] += exact(piece.divergences[latent]) }
    }
    let (nats, weights) = try agreeOnPenalty(
      sums, exampleCount: batch.count, penalties, step: step)
    return (.each(weights), nats)
  }

  // To multiples of 2⁻²⁴, which add up to the same sum in any order while it stays below 2²⁹.
  private func exact(_ sum: Double) -> Double { (sum * 0x1p24).rounded() * 0x1p-24 }
}
