internal import Layers
internal import Synchronization
internal import TensorKernels

/// The update rule with its state, one flat buffer like the parameters for each kind of state.
final class Optimizer {
  /// What is the same for all parameters in one update.
  struct Update {
    /// What makes the gradient sum a mean, clipping included.
    let gradientScale: Float
    /// α of this step.
    let learningRate: Float
    /// The number of this update, from 1.
    let number: Int
  }

  /// State that a checkpoint holds: `adam.first_moment` and the buffer.
  let state: [(name: String, buffer: FloatBuffer)]
  private let configuration: TrainingConfiguration
  private let isBroken = Atomic<Bool>(false)

  /// Whether a parameter that this rank has updated is no longer a number.
  ///
  /// It stays so. A ReLU makes 0 of NaN, so that the ELBO need not show it.
  var hasLostNumbers: Bool { isBroken.load(ordering: .relaxed) }

  /// - Parameters:
  ///   - configuration: The settings.
  ///   - buffers: Zeros, as many as ``stateNames(of:)``.
  init(_ configuration: TrainingConfiguration, buffers: [FloatBuffer]) {
    self.configuration = configuration
    state = Array(zip(Self.stateNames(of: configuration.optimizer), buffers))
  }

  /// What the rule keeps from step to step.
  static func stateNames(of kind: OptimizerKind) -> [String] {
    switch kind {
    case .adam, .adamw: ["adam.first_moment", "adam.second_moment"]
    case .adagrad: ["adagrad.squared_sum"]
    case .sgd: ["sgd.velocity"]
    }
  }

  /// Forgets that numbers were lost, once parameters and state have been read from a checkpoint.
  func restart() { isBroken.store(false, ordering: .relaxed) }

  /// Updates a range of the parameters by the sum of some gradients.
  ///
  /// Different threads and ranks may update different ranges at the same time.
  func update(
    _ range: Range<Int>, of parameters: FloatBuffer, gradients: GradientSum, _ update: Update
  ) {
    gradients.forEachBlock(of: range) { block, gradient in
      if !apply(update, block, parameters, gradient) {
        isBroken.store(true, ordering: .relaxed)
      }
    }
  }

  private func apply(
    _ update: Update, _ range: Range<Int>, _ parameters: FloatBuffer,
    _ gradient: UnsafePointer<Float>
  ) -> Bool {
    let weightDecay = Float(configuration.weightDecay)
    switch configuration.optimizer {
    case .adam, .adamw:
      return AdamUpdate(
        gradientScale: update.gradientScale, learningRate: update.learningRate,
        step: update.number, weightDecay: weightDecay,
        decouplesDecay: configuration.optimizer == .adamw
      ).apply(
        to: parameters, range, gradient: gradient, firstMoment: state[0].buffer,
        secondMoment: state[1].buffer)
    case .adagrad:
      return adagradUpdate(
        range, parameters: parameters, gradient: gradient, squaredSum: state[0].buffer,
        gradientScale: update.gradientScale, learningRate: update.learningRate,
        weightDecay: weightDecay)
    case .sgd:
      return momentumUpdate(
        range, parameters: parameters, gradient: gradient, velocity: state[0].buffer,
        gradientScale: update.gradientScale, learningRate: update.learningRate,
        momentum: Float(configuration.momentum), weightDecay: weightDecay)
    }
  }
}
