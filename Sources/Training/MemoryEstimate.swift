internal import DataLoading
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
    _ configuration: TrainingConfiguration, inputs: Int, examplesPerThread: Int, threadCount: Int
  ) -> Double {
    let model = configuration.model(inputs: inputs)
    let outputs = model.likelihood.decoderOutputs(inputs: inputs)
    let down =
      [model.likelihood.encoderInputs(inputs: inputs)] + configuration.hidden + [
        2 * configuration.latent
      ]
    let up = [configuration.latent] + configuration.hidden.reversed() + [outputs]
    let parameters = [down, up].reduce(0.0) { sum, widths in
      sum + zip(widths, widths.dropFirst()).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    }
    let draws = Double(configuration.draws)
    let hidden = configuration.hidden.reduce(0.0) { $0 + 2 * Double($1) }
    let encoder = hidden + 4 * Double(configuration.latent)
    let decoder = hidden + 3 * Double(configuration.latent) + Double(outputs)
    let rows = Double(max(examplesPerThread, Evaluator.groupSize)) * Double(threadCount)
    // Parameters, at most two moments, a gradient a thread, and what other ranks' parts arrive in.
    let states = 1 + 2 + Double(threadCount) + 1
    let single =
      4 * (parameters * states + rows * (encoder + draws * decoder + 2 * Double(inputs)))
    if configuration.precision == .f32 { return single }
    // Each thread rounds the weights, and every layer's inputs and gradients, to two bytes.
    return single + 2 * (Double(threadCount) * parameters + rows * (encoder + draws * decoder))
  }

  /// Fails if the bytes cannot be had.
  static func require(_ byteCount: Double) throws(TrainingError) {
    let page = Double(sysconf(Int32(_SC_PAGESIZE)))
    let physical = page * Double(sysconf(Int32(_SC_PHYS_PAGES)))
    var available = physical
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 {
      available = min(physical, Double(limit.rlim_cur))
    }
    if byteCount > available {
      throw .tooLarge(gigabytes: byteCount / 1e9, available: available / 1e9)
    }
  }
}
