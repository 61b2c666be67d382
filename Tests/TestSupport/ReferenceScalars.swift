package import TensorKernels

/// An activation and its derivative in `Double`.
package struct ReferenceScalars {
  private let model: ReferenceVAE

  package init(_ activation: Activation) {
    model = ReferenceVAE(
      inputs: 1, hidden: [], latent: 1, activation: activation.rawValue, likelihood: "bernoulli")
  }

  package func value(_ a: Double) -> Double { model.activate(a) }
  package func derivative(_ a: Double) -> Double { model.derivative(a) }
}
