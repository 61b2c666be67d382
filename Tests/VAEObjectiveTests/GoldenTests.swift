import Checkpointing
import Foundation
import Layers
import TensorKernels
import TestSupport
import Testing
import VAEObjective

/// Activations, gradients, ELBO parts and optimizer steps of PyTorch, from files.
@Suite struct GoldenTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let file: String
    let configuration: ModelConfiguration
    var testDescription: String { file }
  }

  static let cases = [
    Case(
      file: "bernoulli-tanh",
      configuration: ModelConfiguration(
        inputs: 11, hidden: [7, 5], latent: 3, activation: .tanh, likelihood: .bernoulli)),
    Case(
      file: "gaussian-relu",
      configuration: ModelConfiguration(
        inputs: 11, hidden: [8], latent: 3, activation: .relu,
        likelihood: .gaussian(sigmoidMean: false), draws: 2)),
    Case(
      file: "gaussian-sigmoid-gelu",
      configuration: ModelConfiguration(
        inputs: 11, hidden: [6], latent: 3, activation: .gelu,
        likelihood: .gaussian(sigmoidMean: true))),
    Case(
      file: "bernoulli-linear",
      configuration: ModelConfiguration(
        inputs: 11, hidden: [], latent: 3, activation: .elu, likelihood: .bernoulli, draws: 3)),
  ]

  static let examples = 6

  /// A golden file, and a model with its parameters.
  struct Setup {
    let file: SafetensorsFile
    let harness: ModelHarness
    let data: FloatBuffer
    let noise: FloatBuffer
    let x: MatrixView
    let e: MatrixView

    init(_ test: Case) throws {
      file = try SafetensorsFile(path: golden("\(test.file).safetensors"))
      let configuration = test.configuration
      harness = ModelHarness(configuration, capacity: GoldenTests.examples)
      let rows = GoldenTests.examples * configuration.draws
      data = FloatBuffer(
        try file.floats(named: "data", shape: [GoldenTests.examples, 11]).map(Double.init))
      noise = FloatBuffer(try file.floats(named: "noise", shape: [rows, 3]).map(Double.init))
      x = data.matrix(rows: GoldenTests.examples, columns: 11)
      e = noise.matrix(rows: rows, columns: 3)
      for tensor in harness.model.layout.tensors {
        tensor.write(
          try file.floats(named: "parameters.\(tensor.name)", shape: tensor.shape),
          into: harness.parameters)
      }
    }
  }

  @Test(arguments: cases) func activationsGradientsAndELBO(_ test: Case) throws {
    let setup = try Setup(test)
    let (file, model) = (setup.file, setup.harness.model)
    let posterior = try model.encode(setup.x, parameters: setup.harness.parameters)
    expectClose(
      posterior.elements, try file.floats(named: "posterior", shape: [Self.examples, 6]),
      within: 1e-6, "posterior")
    let elbo = try model.computeGradient(
      of: setup.x, noise: setup.e, parameters: setup.harness.parameters,
      into: setup.harness.gradient
    ).elbo
    #expect(elbo.exampleCount == Self.examples)
    let parts = try file.floats(named: "elbo", shape: [2])
    expectClose(
      [elbo.reconstructionLogLikelihoodSum, elbo.klDivergenceSum], parts, within: 1e-6, "ELBO")
    for tensor in model.layout.tensors {
      expectClose(
        tensor.read(from: setup.harness.gradient),
        try file.floats(named: "gradient.\(tensor.name)", shape: tensor.shape), within: 1e-5,
        tensor.name)
    }
  }

  static let images = [
    (
      "convolutions", "7x6x2", Activation.tanh, Likelihood.gaussian(sigmoidMean: false), 3,
      "conv 4 kernel 4 stride 2, conv 6 kernel 3 stride 2 group-norm 3, dense 10 layer-norm",
      "dense 8, dense 2x2x6 group-norm 2, transposed-conv 4 kernel 3 stride 2 layer-norm, "
        + "transposed-conv kernel 4 stride 2 output-padding 1x0"
    ),
    (
      "residuals", "6x5x3", .silu, .gaussian(sigmoidMean: false), 4,
      "residual 4 kernel 3 group-norm 2, residual 4 kernel 5, conv 5 kernel 2 padding 0 layer-norm",
      "transposed-conv 4 kernel 2 padding 0, dense 3x2x4, "
        + "transposed-conv 6 kernel 4 stride 2 output-padding 0x1, residual 4 layer-norm, "
        + "conv kernel 3"
    ),
    (
      "windows", "5x9", .relu, .bernoulli, 2,
      "conv 17 kernel 5 stride 3 padding 2, residual 17 kernel 1",
      "dense 3x3x16, conv 8 kernel 3 stride 2 padding 1, dense 2x4x3, "
        + "transposed-conv 5 kernel 3 stride 2 output-padding 1, transposed-conv kernel 2 padding 0"
    ),
  ]

  @Test(arguments: images, [Precision.f32, .bf16]) func networksOfImages(
    _ test: (
      file: String, example: String, activation: Activation, likelihood: Likelihood, latent: Int,
      encoder: String, decoder: String
    ), precision: Precision
  ) throws {
    if precision == .bf16 && !processorHasBFloat16 { return }
    let file = try SafetensorsFile(path: golden("\(test.file).safetensors"))
    var configuration = try ModelConfiguration(
      example: try #require(Extents(test.example)),
      encoder: try LayerDescription.list(test.encoder),
      decoder: try LayerDescription.list(test.decoder), latent: test.latent,
      activation: test.activation, likelihood: test.likelihood)
    configuration.precision = precision
    let harness = ModelHarness(configuration, capacity: 7)
    let model = harness.model
    let examples = 5
    func rows(_ name: String, _ columns: Int) throws -> MatrixView {
      FloatBuffer(
        try file.floats(named: name, shape: [examples, columns]).map(Double.init)
      ).matrix(rows: examples, columns: columns)
    }
    let data = try rows("data", configuration.inputs)
    let noise = try rows("noise", test.latent)
    for tensor in model.layout.tensors {
      tensor.write(
        try file.floats(named: "parameters.\(tensor.name)", shape: tensor.shape),
        into: harness.parameters)
    }
    let posterior = try model.encode(data, parameters: harness.parameters)
    expectClose(
      posterior.elements,
      try file.floats(named: "posterior", shape: [examples, 2 * test.latent]), within: 3e-6,
      "posterior")
    for tensor in model.layout.tensors {
      tensor.write([Float](repeating: .nan, count: tensor.count), into: harness.gradient)
    }
    let elbo = try model.computeGradient(
      of: data, noise: noise, parameters: harness.parameters, into: harness.gradient
    ).elbo
    // Eight bits of operands, through up to ten layers.
    let isRounded = precision == .bf16
    expectClose(
      [elbo.reconstructionLogLikelihoodSum, elbo.klDivergenceSum],
      try file.floats(named: "elbo", shape: [2]), within: isRounded ? 2e-2 : 2e-6, "ELBO")
    for tensor in model.layout.tensors {
      expectClose(
        tensor.read(from: harness.gradient),
        try file.floats(named: "gradient.\(tensor.name)", shape: tensor.shape),
        within: isRounded ? 0.1 : 2e-5, tensor.name)
    }
  }

  // Files have channels before rows and columns, whichever layer gives the outputs and whoever owns
  // what is learned; the data have them behind.
  @Test func imagesAreInTheOrderOfFiles() throws {
    var likelihood = Likelihood(.gaussian)
    likelihood.spread = .perDimension
    let configuration = try ModelConfiguration(
      example: Extents(height: 2, width: 3, channels: 4), encoder: [], decoder: [], latent: 2,
      activation: .tanh, likelihood: likelihood)
    let harness = ModelHarness(configuration, capacity: 1)
    func number(_ y: Int, _ x: Int, _ c: Int) -> Double { Double(c * 6 + y * 3 + x) / 10 }
    let pixels = (0..<2).flatMap { y in (0..<3).map { x in (y, x) } }
    let ofFile = (0..<4).flatMap { c in pixels.map { number($0.0, $0.1, c) } }
    let ofData = pixels.flatMap { y, x in (0..<4).map { number(y, x, $0) } }
    harness.set([
      "encoder.mean.weight": [Double](repeating: 0, count: 48), "encoder.mean.bias": [0, 0],
      "encoder.log_variance.weight": [Double](repeating: 0, count: 48),
      "encoder.log_variance.bias": [0, 0],
      "decoder.mean.weight": [Double](repeating: 0, count: 48), "decoder.mean.bias": ofFile,
      "decoder.log_variance": ofFile,
    ])
    let noise = matrix([[0, 0]], columns: 2)
    let elbo = try harness.model.elbo(
      of: matrix([ofData], columns: 24), noise: noise, parameters: harness.parameters)
    // Every mean is the value itself.
    let expected = ofData.reduce(0) { $0 - 0.5 * (1.8378770664 + $1) }
    #expect(abs(elbo.reconstructionLogLikelihoodSum - expected) < 1e-4)
    // One value off by one: its own variance counts.
    var moved = ofData
    moved[5] += 1
    let other = try harness.model.elbo(
      of: matrix([moved], columns: 24), noise: noise, parameters: harness.parameters)
    let cost = elbo.reconstructionLogLikelihoodSum - other.reconstructionLogLikelihoodSum
    let variance = 1 / (2 * cost)
    #expect(abs(variance - exp(ofData[5])) < 1e-3, "\(variance)")
  }

  // Dropout in front changes nothing of the gradient where nothing is dropped.
  @Test func leadingDropoutIsPassedOver() throws {
    var gradients: [[String: [Float]]] = []
    for front in ["", "dropout 0.5, dropout 0.1, "] {
      let configuration = try ModelConfiguration(
        example: Extents(height: 4, width: 4, channels: 1),
        encoder: try LayerDescription.list("\(front)conv 3 kernel 3, dense 5"),
        decoder: try LayerDescription.list("\(front)dense 5"), latent: 2, activation: .tanh,
        likelihood: .bernoulli)
      let harness = ModelHarness(configuration, capacity: 3)
      var random = TestRandom(seed: 3)
      for tensor in harness.model.layout.tensors {
        tensor.write(random.uniform(tensor.count).map { Float($0) }, into: harness.parameters)
      }
      _ = try harness.model.computeGradient(
        of: matrix((0..<3).map { _ in random.uniform(16, in: 0...1) }, columns: 16),
        noise: matrix((0..<3).map { _ in random.normal(2) }, columns: 2),
        parameters: harness.parameters, into: harness.gradient)
      gradients.append(harness.tensors(harness.gradient))
    }
    #expect(gradients[0].count == gradients[1].count)
    let last = "encoder.mean.weight"
    #expect(gradients[0][last] == gradients[1][last])
    #expect(gradients[0]["encoder.0.weight"] == gradients[1]["encoder.2.weight"])
    #expect(gradients[0]["decoder.0.weight"] == gradients[1]["decoder.2.weight"])
  }

  @Test(arguments: cases, ["adam", "adamw", "adagrad", "sgd"])
  func tenOptimizerSteps(_ test: Case, optimizer: String) throws {
    let setup = try Setup(test)
    let harness = setup.harness
    let states = (0..<2).map { _ in FloatBuffer(count: harness.parameters.count) }
    let all = 0..<harness.parameters.count
    for step in 1...10 {
      _ = try harness.model.computeGradient(
        of: setup.x, noise: setup.e, parameters: harness.parameters, into: harness.gradient)
      let scale = 1 / Float(Self.examples)
      switch optimizer {
      case "adam", "adamw":
        AdamUpdate(
          gradientScale: scale, learningRate: 1e-2, step: step, weightDecay: 0.01,
          decouplesDecay: optimizer == "adamw"
        ).apply(
          to: harness.parameters, all, gradient: harness.gradient.base, firstMoment: states[0],
          secondMoment: states[1])
      case "adagrad":
        adagradUpdate(
          all, parameters: harness.parameters, gradient: harness.gradient.base,
          squaredSum: states[0],
          gradientScale: scale, learningRate: 1e-2, weightDecay: 0.01)
      default:
        momentumUpdate(
          all, parameters: harness.parameters, gradient: harness.gradient.base,
          velocity: states[0],
          gradientScale: scale, learningRate: 1e-3, momentum: 0.9, weightDecay: 0.01)
      }
      guard step == 1 || step == 10 else { continue }
      for tensor in harness.model.layout.tensors {
        // Adam divides by a gradient's own size, so a rounding error of a small gradient becomes
        // one of the step: 10⁻² per step at worst, relative to parameters of size one.
        expectClose(
          tensor.read(from: harness.parameters),
          try setup.file.floats(
            named: "\(optimizer).\(step).\(tensor.name)", shape: tensor.shape),
          within: 2e-5, "\(tensor.name) after step \(step)")
      }
    }
  }

  @Test(
    arguments: [
      ("continuous-bernoulli", 1), ("laplace", 2), ("discretized-logistic", 2), ("poisson", 1),
      ("negative-binomial", 2), ("zero-inflated", 3), ("categorical", 4),
    ])
  func likelihoodsAgreeWithPyTorch(_ name: String, operands: Int) throws {
    let count = 64
    let columns = 2 + 2 * operands
    let table = try SafetensorsFile(path: golden("likelihoods.safetensors"))
      .floats(named: name, shape: [count, columns])
    var likelihood = try #require(ReferenceLikelihood.named[name])
    likelihood.spreadFloor = 0
    let isFree = ReferenceLikelihood(likelihood).free(inputs: 1) != nil
    for row in 0..<count {
      let values = table[row * columns..<(row + 1) * columns].map(Double.init)
      let own = Array(values[1...operands])
      let outputs = FloatBuffer(isFree ? Array(own.dropLast()) : own)
      let (free, gradient) = (FloatBuffer([own[operands - 1]]), FloatBuffer(count: 1))
      var scoring = LikelihoodScoring(likelihood.family, draws: 1, gradientScale: 1)
      if isFree { scoring.free = (free, gradient) }
      let figures = withFigures(1) {
        scoring.run(
          FloatBuffer([values[0]]).matrix(rows: 1, columns: 1),
          outputs: outputs.matrix(rows: 1, columns: outputs.count), into: $0)
      }
      let expected = values[operands + 1]
      #expect(abs(figures[0] - expected) <= 2e-6 * abs(expected) + 5e-6, "\(name) \(values)")
      let slopes = outputs.values + (isFree ? gradient.values : [])
      for (own, other) in zip(slopes, values[(operands + 2)...]) {
        #expect(abs(Double(own) + other) <= 5e-6 * abs(other) + 1e-5, "\(name) \(values)")
      }
    }
  }
}
