public import TensorKernels

/// An activation and its derivative in `Double`.
public struct ReferenceScalars {
  private let model: ReferenceVAE

  public init(_ activation: Activation) {
    model = ReferenceVAE(
      inputs: 1, hidden: [], latent: 1, activation: activation.rawValue, likelihood: "bernoulli")
  }

  public func value(_ a: Double) -> Double { model.activate(a) }
  public func derivative(_ a: Double) -> Double { model.derivative(a) }
}
