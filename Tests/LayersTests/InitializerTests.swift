import Layers
import TensorKernels
import TestSupport
import Testing

@Suite struct InitializerTests {
  static func filled(_ initializer: Initializer, seed: UInt64) -> [(ParameterTensor, [Float])] {
    var layout = ParameterLayout()
    var plan = ArenaPlan()
    let network = NetworkPlan(
      perceptron: "encoder", inputs: 300, hidden: [200], outputs: 20,
      heads: ["mean", "log_variance"])
    _ = LayerStack(
      network, activation: .tanh, capacity: 1, precision: .f32, layout: &layout, plan: &plan)
    let flat = FloatBuffer(count: layout.bufferCount)
    initializer.fill(flat, layout: layout, seed: seed)
    return layout.tensors.map { ($0, $0.read(from: flat)) }
  }

  /// The variance that each promises for a weight.
  static func variance(_ initializer: Initializer, _ tensor: ParameterTensor) -> Double {
    let (fanIn, fanOut) = (Double(tensor.fanIn), Double(tensor.fanOut))
    return switch initializer {
    case .glorotUniform, .glorotNormal: 2 / (fanIn + fanOut)
    case .heUniform, .heNormal: 2 / fanIn
    case .fanInUniform: 1 / (3 * fanIn)
    case .normal: 0.01
    }
  }

  @Test(arguments: Initializer.allCases) func weightsHaveThePromisedMoments(
    _ initializer: Initializer
  ) {
    for (tensor, values) in Self.filled(initializer, seed: 5) where !tensor.isBias {
      let variance = Self.variance(initializer, tensor)
      let count = Double(values.count)
      let mean = values.reduce(0) { $0 + Double($1) } / count
      let square = values.reduce(0) { $0 + Double($1) * Double($1) } / count
      #expect(abs(mean) < 4 * (variance / count).squareRoot(), "\(tensor.name)")
      // The variance of a squared normal is 2σ⁴, and less for a uniform.
      #expect(abs(square - variance) < 4 * variance * (2 / count).squareRoot(), "\(tensor.name)")
    }
  }

  @Test(arguments: Initializer.allCases) func biasesStartAtZeroUnlessTheSourceSaysOtherwise(
    _ initializer: Initializer
  ) {
    let startsBiases = initializer == .fanInUniform || initializer == .normal
    for (tensor, values) in Self.filled(initializer, seed: 5) where tensor.isBias {
      #expect(values.contains { $0 != 0 } == startsBiases, "\(tensor.name)")
    }
  }

  @Test func theSeedDecides() {
    func values(_ seed: UInt64) -> [[Float]] {
      Self.filled(.glorotUniform, seed: seed).map(\.1)
    }
    #expect(values(1) == values(1))
    #expect(values(1) != values(2))
    // Tensors of the same shape do not start alike.
    #expect(values(1)[2] != values(1)[4])
  }
}
