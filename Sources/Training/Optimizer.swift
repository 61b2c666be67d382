internal import Layers
internal import TensorKernels

/// The update rule with its state, one flat buffer like the parameters for each kind of state.
final class Optimizer {
  /// State that a checkpoint holds: `adam.first_moment` and the buffer.
  let state: [(name: String, buffer: FloatBuffer)]
  private let configuration: TrainingConfiguration

  init(_ configuration: TrainingConfiguration, bufferCount: Int) {
    self.configuration = configuration
    let names =
      switch configuration.optimizer {
      case .adam, .adamw: ["adam.first_moment", "adam.second_moment"]
      case .adagrad: ["adagrad.squared_sum"]
      case .sgd: ["sgd.velocity"]
      }
    state = names.map { ($0, FloatBuffer(count: bufferCount)) }
  }

  /// Updates the parameters.
  ///
  /// - Parameters:
  ///   - parameters: The flat parameters.
  ///   - gradient: The flat gradient sum over the global batch.
  ///   - gradientScale: What makes it a mean, clipping included.
  ///   - learningRate: α of this step.
  ///   - step: The number of this update, from 1.
  func update(
    _ parameters: FloatBuffer, gradient: FloatBuffer, gradientScale: Float, learningRate: Float,
    step: Int
  ) {
    let weightDecay = Float(configuration.weightDecay)
    switch configuration.optimizer {
    case .adam, .adamw:
      AdamUpdate(
        gradientScale: gradientScale, learningRate: learningRate, step: step,
        weightDecay: weightDecay, decouplesDecay: configuration.optimizer == .adamw
      ).apply(
        to: parameters, gradient: gradient, firstMoment: state[0].buffer,
        secondMoment: state[1].buffer)
    case .adagrad:
      adagradUpdate(
        parameters: parameters, gradient: gradient, squaredSum: state[0].buffer,
        gradientScale: gradientScale, learningRate: learningRate, weightDecay: weightDecay)
    case .sgd:
      momentumUpdate(
        parameters: parameters, gradient: gradient, velocity: state[0].buffer,
        gradientScale: gradientScale, learningRate: learningRate,
        momentum: Float(configuration.momentum), weightDecay: weightDecay)
    }
  }
}
