public import Layers
public import TensorKernels

/// Examples on their way into a model.
///
/// A view: indices and values belong to the caller and outlive the call.
public struct ExampleBatch {
  /// The number of each example in its data set; noise is keyed by it.
  public let indices: UnsafeBufferPointer<UInt32>
  /// `[indices.count, inputs]`.
  public let values: MatrixView

  /// Pairs indices with values.
  public init(indices: UnsafeBufferPointer<UInt32>, values: MatrixView) {
    precondition(
      indices.count == values.rows, "\(indices.count) indices do not fit values \(values.shape)")
    self.indices = indices
    self.values = values
  }

  /// How many examples.
  public var count: Int { indices.count }

  /// A part of the batch.
  func slice(_ range: Range<Int>) -> ExampleBatch {
    ExampleBatch(
      indices: UnsafeBufferPointer(rebasing: indices[range]), values: values.rows(range))
  }
}

/// A rank's copy of the model, as the training loop sees it.
///
/// The loop reads and writes the two flat buffers (all-reduce, optimizer, checkpoint) and asks for
/// sums over examples; how and where they are computed stays behind this protocol.
public protocol Replica: AnyObject {
  /// Where each parameter lies in the flat buffers.
  var layout: ParameterLayout { get }
  /// The flat parameters.
  var parameters: FloatBuffer { get }
  /// The flat gradient of the latest ``computeGradient(of:noise:)``.
  var gradient: FloatBuffer { get }

  /// Overwrites ``gradient`` by the gradient of −ELBO, summed over these examples.
  ///
  /// - Parameters:
  ///   - batch: Any number of examples up to the replica's capacity, zero included.
  ///   - noise: Where ε comes from.
  /// - Returns: The ELBO's sums over the same examples and noise.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func computeGradient(of batch: ExampleBatch, noise: RandomStream) throws(KernelError) -> ELBO

  /// The ELBO's sums over each of several groups of examples.
  ///
  /// A group's figure depends on the group alone: not on the others, nor on the number of threads.
  ///
  /// - Parameters:
  ///   - batch: The examples of all groups.
  ///   - groups: Which rows of the batch are a group.
  ///   - noise: Where ε comes from.
  /// - Returns: The sums of each group.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func score(
    _ batch: ExampleBatch, groups: [Range<Int>], noise: RandomStream
  ) throws(KernelError) -> [ELBO]

  /// The importance-weighted bound of each example, nats.
  ///
  /// - Parameters:
  ///   - batch: The examples.
  ///   - drawCount: K, the draws per example.
  ///   - noise: Where the draws come from.
  /// - Returns: One figure an example.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func importanceWeightedBounds(
    _ batch: ExampleBatch, drawCount: Int, noise: RandomStream
  ) throws(KernelError) -> [Double]
}
