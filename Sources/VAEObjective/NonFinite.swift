internal import Layers
internal import TensorKernels

/// Where a figure first stopped being a number.
public struct NonFinite: Sendable, Equatable, CustomStringConvertible {
  /// A tensor of parameters that holds NaN or an infinity, or a layer whose outputs do; nil if all
  /// are finite and the loss alone is not.
  public let place: String?
  /// Whether the place is a tensor of parameters.
  public let isParameter: Bool
  /// The first examples whose bound is not finite, by their numbers in the data; none if no example
  /// alone shows it.
  public let examples: [UInt32]
  /// How many there are.
  public let exampleCount: Int

  /// `in the outputs of encoder.1, for example 17 and 3 others`.
  public var description: String {
    let what =
      switch (place, isParameter) {
      case (let place?, true): "in the parameters \(place)"
      case (let place?, false): "in the outputs of \(place)"
      case (nil, _): "in the likelihood or the KL divergence"
      }
    guard let first = examples.first else { return what }
    let listed = examples.dropFirst().map { ", \($0)" }.joined()
    let rest = exampleCount - examples.count
    return what + ", for example\(examples.count == 1 ? "" : "s") \(first)\(listed)"
      + (rest > 0 ? " and \(rest) more" : "")
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
    let tensor = layout.firstNonFinite(in: parameters)
    var place = tensor
    var examples: [UInt32] = []
    for row in 0..<batch.count {
      let one = batch.slice(row..<row + 1)
      let noiseRows = scratch.rows(0..<configuration.draws)
      noise.fillNormal(noiseRows, examples: one.indices, draws: configuration.draws)
      if try elbo(
        of: one.values, labels: one.labels, noise: noiseRows, parameters: parameters
      ).isFinite {
        continue
      }
      if place == nil && examples.isEmpty {
        place =
          encoder.firstNonFiniteLayer ?? decoder.firstNonFiniteLayer
      }
      examples.append(batch.indices[row])
    }
    return NonFinite(
      place: place, isParameter: tensor != nil, examples: Array(examples.prefix(5)),
      exampleCount: examples.count)
  }
}
