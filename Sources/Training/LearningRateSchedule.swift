#if canImport(Glibc)
internal import Glibc
#endif

/// The learning rate as a function of the step.
///
/// Over the warm-up it rises linearly; then it stays, falls along half a cosine to zero at the end of
/// the run, or falls to a tenth in stages of growing length.
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
      return peak * 0.5 * (1 + cos(Double.pi * position(of: step)))
    case .stages:
      // Stage i is 3ⁱ of 3280 parts long.
      let parts = position(of: step) * 3280
      var (stage, end, length) = (0, 1.0, 1.0)
      while parts >= end && stage < 7 {
        stage += 1
        length *= 3
        end += length
      }
      return peak * pow(10, -Double(stage) / 7)
    }
  }

  // How much of what follows the warm-up is over, from 0 to 1.
  private func position(of step: Int) -> Double {
    min(Double(step - warmupSteps) / Double(max(totalSteps - warmupSteps, 1)), 1)
  }
}
