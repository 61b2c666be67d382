internal import Layers
internal import TensorKernels
internal import VAEObjective

#if canImport(Glibc)
internal import Glibc
#endif

/// What a rank will allocate, before it does: a request beyond the machine's memory ends the process
/// without a word.
enum MemoryEstimate {
  /// Bytes for parameters, gradients, optimizer state, activations and batches.
  ///
  /// In floating point, so that no extents overflow.
  static func byteCount(
    _ model: ModelConfiguration, examplesPerThread: Int, threadCount: Int
  ) -> Double {
    let draws = Double(model.draws)
    let latent = Double(model.latent)
    // In whole cache lines.
    let components =
      model.prior.isLearned ? Double(FloatBuffer.roundedUp(model.prior.components)) : 0
    let pseudoInputs = Double(model.prior.pseudoInputCount)
    let priorParameters =
      pseudoInputs > 0
      ? pseudoInputs * Double(model.encoder.input.count) : components * (2 * latent + 1)
    let parameters =
      model.encoder.parameterCount + model.decoder.parameterCount + priorParameters
    // The data, the encoder's inputs where they differ, the posterior's parameters and their gradient.
    let encoder =
      2 * Double(model.inputs)
      + Double(model.encoder.input.count) * (pseudoInputs > 0 ? 2 : 1)
      + model.encoder.activationCount + 4 * latent
    // The draws, their noise and their gradient, and what a learned prior says of each.
    let decoder =
      model.decoder.activationCount + 3 * latent + (components > 0 ? components + latent : 0)
      + (model.classes > 0 ? 2 * Double(model.decoder.input.count) : 0)
    let rows = Double(max(examplesPerThread, Evaluator.groupSize)) * Double(threadCount)
    // Parameters and at most two moments, and their copy for a checkpoint; a gradient a thread, and what
    // other ranks' parts arrive in.
    let states = 2 * (1 + 2) + Double(threadCount) + 1
    let activations =
      rows * (encoder + draws * decoder)
      + Double(threadCount) * (pseudoInputs * encoder + components * (4 * latent + 3))
    let single =
      4 * (parameters * states + activations)
      + 4 * Double(threadCount)
      * (model.encoder.convolutionCopyCount + model.decoder.convolutionCopyCount)
    if model.precision == .f32 { return single }
    // Each thread rounds the weights, and every layer's inputs and gradients, to two bytes.
    return single + 2 * (Double(threadCount) * parameters + activations)
  }

  /// Fails if the bytes cannot be had by each of the ranks of a node.
  static func require(_ byteCount: Double, nodeSize: Int) throws(TrainingError) {
    let page = Double(sysconf(Int32(_SC_PAGESIZE)))
    let physical = page * Double(sysconf(Int32(_SC_PHYS_PAGES)))
    var available = physical / Double(nodeSize)
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 {
      available = min(available, Double(limit.rlim_cur))
    }
    if byteCount > available {
      throw .tooLarge(gigabytes: byteCount / 1e9, available: available / 1e9)
    }
  }
}
