import Layers
import TensorKernels
import TestSupport
import Testing

@Suite struct ParameterLayoutTests {
  static func layout(hidden: [Int] = [6, 5]) -> ParameterLayout {
    var layout = ParameterLayout()
    var plan = ArenaPlan()
    let network = NetworkPlan(
      perceptron: "encoder", inputs: 9, hidden: hidden, outputs: 4,
      heads: ["mean", "log_variance"])
    _ = LayerStack(
      network, activation: .tanh, capacity: 1, precision: .f32, layout: &layout, plan: &plan)
    return layout
  }

  @Test func namesAndShapesAreThoseOfPyTorch() {
    let tensors = Self.layout().tensors
    #expect(
      tensors.map(\.name) == [
        "encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias",
        "encoder.mean.weight", "encoder.mean.bias", "encoder.log_variance.weight",
        "encoder.log_variance.bias",
      ])
    #expect(tensors.map(\.shape) == [[6, 9], [6], [5, 6], [5], [4, 5], [4], [4, 5], [4]])
    #expect(Self.layout().parameterCount == 54 + 6 + 30 + 5 + 2 * (20 + 4))
  }

  @Test(arguments: [[6, 5], [15, 100]]) func tensorsDoNotOverlapAndReadBack(_ hidden: [Int]) {
    let layout = Self.layout(hidden: hidden)
    let flat = FloatBuffer(count: layout.bufferCount)
    var next: Float = 1
    var written: [String: [Float]] = [:]
    for tensor in layout.tensors {
      let values = (0..<tensor.count).map { next + Float($0) }
      next += Float(tensor.count)
      written[tensor.name] = values
      tensor.write(values, into: flat)
    }
    for tensor in layout.tensors { #expect(tensor.read(from: flat) == written[tensor.name]) }
    // What is left are the gaps, still zero.
    #expect(flat.values.count { $0 != 0 } == layout.parameterCount)
  }

  @Test func oneConfigurationGivesOneLayout() {
    #expect(Self.layout() == Self.layout())
    #expect(Self.layout() != Self.layout(hidden: [5, 6]))
    #expect(Self.layout().summary.contains("encoder.0.weight [6, 9]"))
  }
}
