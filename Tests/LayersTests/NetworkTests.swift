import Layers
import TensorKernels
import Testing

/// Descriptions of networks: what they say, and what is wrong with them.
@Suite struct NetworkTests {
  @Test(arguments: [
    "dense 256", "dense 7x7x64 layer-norm", "conv 32 kernel 4 stride 2 padding 1 group-norm 8",
    "conv kernel 3 stride 1 padding 1",
    "transposed-conv 5 kernel 3 stride 2 padding 1 output-padding 1",
    "transposed-conv kernel 4 stride 2 padding 0 output-padding 0x1", "residual 64 kernel 5",
    "dropout 0.25",
  ]) func textReadsBackAsTheSameLayer(_ text: String) throws {
    let layer = try LayerDescription(text)
    #expect(layer.description == text)
    #expect(try LayerDescription(layer.description) == layer)
  }

  @Test func whatIsLeftOutIsUsual() throws {
    #expect(
      try LayerDescription.list(" conv 32  kernel 4 stride 2,residual 8")
        == [
          .convolution(channels: 32, Window(kernel: 4, stride: 2, padding: 1), .none),
          .residual(channels: 8, kernel: 3, .none),
        ])
  }

  @Test(arguments: [
    ("", "begins with none of dense, conv, transposed-conv, residual, dropout"),
    ("pool 3", "begins with none of"), ("dense", "needs its outputs"),
    ("dense 0", "needs its outputs"),
    ("dense 3x", "needs its outputs"), ("conv 32", "needs the pixels along its window"),
    ("conv 0 kernel 3", "has 0 channels"), ("conv 32 kernel x", "has kernel x"),
    ("conv 32 kernel 3 stride 0", "has stride 0"), ("conv 3 kernel 3 padding 3", "more padding"),
    ("conv 3 kernel 3 stide 2", "has 'stide', which it does not know"),
    ("conv 3 kernel 3 stride", "has 'stride', which it does not know or which lacks its value"),
    ("conv 3 kernel 3 kernel 5", "has 'kernel'"),
    ("conv 3 kernel 3 layer-norm group-norm 3", "has two normalizations"),
    ("residual", "needs its channels"), ("residual 4 kernel 2", "needs an odd kernel"),
    ("dropout 1", "needs a probability"), ("dropout -0.5", "needs a probability"),
    ("transposed-conv 3 kernel 3 output-padding 1x1x1", "has output-padding 1x1x1"),
    ("conv 99999999999999999999 kernel 3", "channels"),
    ("conv 3 kernel 16777215", "has kernel 16777215; it must be a number from 1 to 65535"),
    ("dense 16777215x16777215x16777215", "needs its outputs"),
  ]) func wrongLayersAreNamed(_ text: String, sentence: String) {
    do {
      _ = try LayerDescription(text)
      Issue.record("'\(text)' was read")
    } catch {
      #expect(error.description.hasPrefix("layer '\(text)' "), "\(error)")
      #expect(error.description.contains(sentence), "\(error)")
    }
  }

  @Test(arguments: [
    (
      "conv 4 kernel 9 padding 0",
      "has a window of 9x9 pixels and inputs of 6x6; convolutions are for images"
    ),
    ("dense 1000, residual 16777215", "has more than 2147483647 weights"),
    (
      "conv 16777215 kernel 3 stride 1, conv 3 kernel 20 padding 18",
      "has more than 2147483647 weights"
    ),
    ("residual 40000 kernel 65535", "has more than 2147483647 weights"),
    ("conv kernel 3, dense 4", "only the last layer has those of the data"),
    ("conv 6 kernel 3 group-norm 4", "has 6 channels, which do not make 4 groups"),
    (
      "transposed-conv 6 kernel 3 stride 2 output-padding 2", "as much output-padding as its stride"
    ),
    ("conv kernel 3 stride 2", "gives 3x3 pixels; what it is to give has 6x6"),
    ("conv kernel 3 layer-norm", "which are not normalized"),
    ("transposed-conv 4 kernel 3 stride 65000", "outputs"),
    ("dense 40000x40000, transposed-conv 3 kernel 2 stride 2", "outputs"),
  ]) func layersThatDoNotFitAreNamed(_ text: String, sentence: String) throws {
    let layers = try LayerDescription.list(text)
    do {
      _ = try NetworkPlan(
        path: "decoder", layers: layers, input: Extents(height: 6, width: 6, channels: 1),
        output: Extents(height: 6, width: 6, channels: 1), heads: ["logits"])
      Issue.record("'\(text)' fits")
    } catch {
      #expect(error.description.contains(sentence), "\(error)")
      #expect(error.description.contains("of decoder."), "\(error)")
    }
  }

  @Test func sizesAreThoseOfTheLayout() throws {
    let plan = try NetworkPlan(
      path: "decoder",
      layers: LayerDescription.list(
        "dense 8 layer-norm, dense 3x3x6, dropout 0.5, residual 4 group-norm 2, "
          + "transposed-conv kernel 4 stride 2"), input: Extents(vector: 5),
      output: Extents(height: 6, width: 6, channels: 2), heads: ["mean", "log_variance"])
    var layout = ParameterLayout()
    var arena = ArenaPlan()
    _ = LayerStack(
      plan, activation: .gelu, capacity: 10, precision: .f32, layout: &layout, plan: &arena)
    #expect(plan.parameterCount == Double(layout.parameterCount))
    // What is said to be kept is no less than what is.
    #expect(10 * plan.activationCount >= 0.9 * Double(arena.count))
    #expect(10 * plan.activationCount <= 2 * Double(arena.count))
    let products = [5 * 8, 8 * 54, 9 * 9 * 6 * 4, 9 * 9 * 4 * 4, 9 * 6 * 4, 9 * 16 * 4 * 4]
    #expect(plan.multiplications == Double(products.reduce(0, +)))
    #expect(plan.firstMultiplications == 40)
    #expect(
      layout.tensors.map(\.name) == [
        "decoder.0.weight", "decoder.0.bias", "decoder.0.norm.weight", "decoder.0.norm.bias",
        "decoder.1.weight", "decoder.1.bias", "decoder.3.0.weight", "decoder.3.0.bias",
        "decoder.3.0.norm.weight", "decoder.3.0.norm.bias", "decoder.3.1.weight",
        "decoder.3.1.bias", "decoder.3.1.norm.weight", "decoder.3.1.norm.bias",
        "decoder.3.skip.weight", "decoder.3.skip.bias", "decoder.mean.weight", "decoder.mean.bias",
        "decoder.log_variance.weight", "decoder.log_variance.bias",
      ])
  }
}
