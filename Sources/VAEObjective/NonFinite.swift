internal import Layers
public import TensorKernels

/// Where a figure first stopped being a number.
public struct NonFinite: Sendable, Equatable {
  /// What holds NaN or an infinity.
  public enum Place: Sendable, Equatable {
    /// A tensor of parameters.
    case parameters(String)
    /// The outputs of a layer.
    case outputs(String)
    /// The gradient of a tensor of parameters, the first on the way back.
    case gradient(String)
    /// Nothing before the bound itself.
    case bound
  }

  /// The first of its kind.
  public let place: Place
  /// The first examples that show it alone, by their numbers in the data; none if only several together
  /// do.
  public let examples: [UInt32]
  /// Whether there are more of them.
  public let hasMoreExamples: Bool

  /// How many examples are named.
  static let mostExamples = 5

  init(_ place: Place, examples: [UInt32]) {
    self.place = place
    self.examples = Array(examples.prefix(Self.mostExamples))
    hasMoreExamples = examples.count > Self.mostExamples
  }

  /// Where it was, for people.
  ///
  /// - Parameter row: The row of the file that an example is.
  /// - Returns: `in the outputs of encoder.1, for examples 17, 20`, counted from 0.
  public func text(row: (UInt32) -> UInt32) -> String {
    let examples = examples.map(row)
    let what =
      switch place {
      case .parameters(let name): "in the parameters \(name)"
      case .outputs(let name): "in the outputs of \(name)"
      case .gradient(let name): "in that of \(name)"
      case .bound: "in the likelihood or the KL divergence"
      }
    guard let first = examples.first else { return what }
    let listed = examples.dropFirst().map { ", \($0)" }.joined()
    return what + ", for example\(examples.count == 1 ? "" : "s") \(first)\(listed)"
      + (hasMoreExamples ? " and more" : "")
  }
}

extension VariationalAutoencoder {
  /// Finds where these examples, one at a time, stop being numbers.
  ///
  /// - Parameters:
  ///   - batch: The examples, at most ``capacity``.
  ///   - noise: Where ε comes from.
  ///   - scratch: Lends room for the noise of an example, `[draws, latent]` or more.
  ///   - parameters: The flat parameters.
  /// - Returns: The place and the examples.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func locateNonFinite(
    _ batch: ExampleBatch, noise: RandomStream, scratch: MatrixView, parameters: FloatBuffer
  ) throws(KernelError) -> NonFinite {
    var place = layout.firstNonFinite(in: parameters).map { NonFinite.Place.parameters($0) }
    var examples: [UInt32] = []
    for row in 0..<batch.count where examples.count <= NonFinite.mostExamples {
      let one = batch.slice(row..<row + 1)
      let noiseRows = scratch.rows(0..<configuration.draws)
      noise.fillNormal(noiseRows, examples: one.indices, draws: configuration.draws)
      if try elbo(
        of: one.values, labels: one.labels, noise: noiseRows, parameters: parameters
      ).isFinite {
        continue
      }
      place =
        place
        ?? (encoder.firstNonFiniteLayer ?? decoder.firstNonFiniteLayer).map { .outputs($0) }
        ?? .bound
      examples.append(batch.indices[row])
    }
    return NonFinite(place ?? .bound, examples: examples)
  }
}

extension CPUReplica {
  /// Finds where the gradient of these examples stops being numbers, and which of them it takes.
  ///
  /// ``gradients`` are overwritten.
  ///
  /// - Parameters:
  ///   - batch: At most as many examples as of one gradient.
  ///   - noise: Where ε comes from.
  ///   - klWeighting: How much each latent's KL divergence counts.
  ///   - largest: The sum of squares beyond which a gradient counts as lost.
  /// - Returns: The place and the examples; nil if the gradient of all of them is not lost.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  public func locateNonFiniteGradient(
    _ batch: ExampleBatch, noise: RandomStream, klWeighting: KLWeighting, largest: Double
  ) throws(KernelError) -> NonFinite? {
    var place: NonFinite.Place?
    var examples: [UInt32] = []
    func search(_ range: Range<Int>) throws(KernelError) {
      if range.isEmpty || examples.count > NonFinite.mostExamples { return }
      _ = try computeGradient(of: batch.slice(range), noise: noise, klWeighting: klWeighting)
      guard let lost = gradients.first(where: { !(sumOfSquares($0) <= largest) }) else { return }
      place = place ?? .gradient(layout.lastOrLargest(in: lost))
      if range.count == 1 { return examples.append(batch.indices[range.lowerBound]) }
      let middle = range.lowerBound + range.count / 2
      try search(range.lowerBound..<middle)
      try search(middle..<range.upperBound)
    }
    try search(0..<batch.count)
    return place.map { NonFinite($0, examples: examples) }
  }
}
