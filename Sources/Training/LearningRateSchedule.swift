#if canImport(Glibc)
internal import Glibc
#endif

/// The learning rate as a function of the step.
///
/// Over the warm-up it rises linearly; then it stays, or falls along half a cosine to zero at the
/// end of the run.
public struct LearningRateSchedule: Sendable {
  private let peak: Double
  private let kind: ScheduleKind
  private let warmupSteps: Int
  private let totalSteps: Int

  /// The schedule of a run of `totalSteps` updates.
  public init(_ configuration: TrainingConfiguration, totalSteps: Int) {
    peak = configuration.learningRate
    kind = configuration.learningRateSchedule
    warmupSteps = configuration.warmupSteps
    self.totalSteps = totalSteps
  }

  /// α of a step, counted from 0.
  public func learningRate(step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step + 1) / Double(warmupSteps) }
    switch kind {
    case .constant: return peak
    case .cosine:
      let length = max(totalSteps - warmupSteps, 1)
      let position = min(Double(step - warmupSteps) / Double(length), 1)
      return peak * 0.5 * (1 + cos(Double.pi * position))
    }
  }
}
