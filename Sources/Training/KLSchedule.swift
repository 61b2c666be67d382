internal import TensorKernels
internal import VAEObjective

/// How the KL divergence counts at each step: β and its warm-up, free bits, capacity.
///
/// Free bits and capacity depend on the KL divergence over the whole global batch, so that ranks must
/// agree on it between forward and backward: one small all-reduce a step.
public struct KLSchedule: Sendable {
  private let configuration: TrainingConfiguration
  private let totalSteps: Int

  /// The schedule of a run of `totalSteps` updates.
  public init(_ configuration: TrainingConfiguration, totalSteps: Int) {
    self.configuration = configuration
    self.totalSteps = totalSteps
  }

  /// What the KL divergence is multiplied by at a step, counted from 0.
  ///
  /// - Source: Bowman et al. 2016 (a linear rise); Fu et al. 2019 (cycles, each a rise over its first
  ///   half and then β).
  public func weight(step: Int) -> Double {
    let beta = configuration.beta
    if configuration.klCycles > 0 {
      let length = Double(totalSteps) / Double(configuration.klCycles)
      let position = (Double(step) / length).truncatingRemainder(dividingBy: 1)
      return beta * min(2 * position, 1)
    }
    if step >= configuration.klWarmupSteps { return beta }
    return beta * Double(step) / Double(configuration.klWarmupSteps)
  }

  /// C of a step, nats: it rises linearly from 0.
  ///
  /// - Source: Burgess et al. 2018, equation 8.
  public func capacity(step: Int) -> Double? {
    configuration.klCapacity.map {
      step >= configuration.klCapacitySteps
        ? $0 : $0 * Double(step) / Double(configuration.klCapacitySteps)
    }
  }

  /// Whether ranks must agree on divergences in the middle of a step.
  public var needsDivergences: Bool {
    configuration.freeBits > 0 || configuration.klCapacity != nil
  }

  /// What the objective takes off for the divergences of a step, and how much each latent's counts in
  /// its gradient.
  ///
  /// - Parameters:
  ///   - divergences: The mean of each latent over the global batch, nats.
  ///   - step: Counted from 0.
  /// - Returns: What is taken off, in nats per example, and a weight for each latent.
  public func penalty(_ divergences: [Double], step: Int) -> (nats: Double, weights: [Float]) {
    let weight = weight(step: step)
    if let capacity = capacity(step: step) {
      let excess = divergences.reduce(0, +) - capacity
      let sign: Double = excess < 0 ? -1 : 1
      return (
        weight * abs(excess), [Float](repeating: Float(sign * weight), count: divergences.count)
      )
    }
    // Kingma et al. 2016, equation 15: a group's divergence counts only beyond λ.
    let groups = configuration.freeBitsGroups ?? divergences.count
    var nats = 0.0
    var weights = [Float](repeating: 0, count: divergences.count)
    for group in 0..<groups {
      let range =
        group * divergences.count / groups..<(group + 1) * divergences.count / groups
      let sum = divergences[range].reduce(0, +)
      nats += weight * max(sum, configuration.freeBits)
      if sum > configuration.freeBits {
        for latent in range { weights[latent] = Float(weight) }
      }
    }
    return (nats, weights)
  }
}
