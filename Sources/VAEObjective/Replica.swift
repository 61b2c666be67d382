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
  /// The class of each example; nil where the model knows none.
  public let labels: UnsafeBufferPointer<UInt32>?

  /// Pairs indices with values and labels.
  public init(
    indices: UnsafeBufferPointer<UInt32>, values: MatrixView,
    labels: UnsafeBufferPointer<UInt32>? = nil
  ) {
    precondition(
      indices.count == values.rows && indices.count == labels?.count ?? indices.count,
      "\(indices.count) indices do not fit values \(values.shape)")
    self.indices = indices
    self.values = values
    self.labels = labels
  }

  /// How many examples.
  public var count: Int { indices.count }

  /// A part of the batch.
  func slice(_ range: Range<Int>) -> ExampleBatch {
    ExampleBatch(
      indices: UnsafeBufferPointer(rebasing: indices[range]), values: values.rows(range),
      labels: labels.map { UnsafeBufferPointer(rebasing: $0[range]) })
  }
}

/// The two parts of an example's ELBO, nats.
public struct ExampleScore: Sendable, Equatable {
  /// E_q[log p(x|z)], the mean over the draws.
  public let reconstructionLogLikelihood: Double
  /// KL(q(z|x) ‖ p(z)).
  public let klDivergence: Double
}

/// What is asked of p(x|z), and what is known besides z.
public struct ObservationQuery {
  /// Mean or draw.
  public var observation: Observation
  /// The number of each row, which keys the noise of draws.
  public var rows: [UInt32]
  /// What keys it besides.
  public var seed: UInt64
  /// The class of each row; empty where the model knows none.
  public var labels: [UInt32]
  /// What means of counts add up to in each row; empty where they are no shares of a total.
  public var totals: [Float]

  /// A question about some rows.
  public init(
    _ observation: Observation, rows: [UInt32], seed: UInt64, labels: [UInt32] = [],
    totals: [Float] = []
  ) {
    self.observation = observation
    self.rows = rows
    self.seed = seed
    self.labels = labels
    self.totals = totals
  }

  func slice(_ range: Range<Int>) -> ObservationQuery {
    ObservationQuery(
      observation, rows: Array(rows[range]), seed: seed,
      labels: labels.isEmpty ? [] : Array(labels[range]),
      totals: totals.isEmpty ? [] : Array(totals[range]))
  }
}

/// What the gradient of a batch brought, and how long its two halves took on the calling thread.
public struct GradientOutcome: Sendable {
  /// Sums over the examples.
  public var elbo = ELBO()
  /// Σ over the examples of the importance-weighted bound, nats; 0 where the bound is the ELBO.
  public var importanceWeightedBoundSum = 0.0
  /// From the data to the ELBO, seconds.
  public var forwardSeconds = 0.0
  /// From the ELBO to the gradient, seconds.
  public var backwardSeconds = 0.0

  /// Of no examples.
  public init() {}
}

/// Whoever wants to send gradients away while others are still being computed.
///
/// Called on the thread that asked for the gradient.
public protocol GradientReceiver: AnyObject {
  /// The most elements that it wants to wait for before it is told; larger layers are cut.
  var partElementCount: Int { get }
  /// A range of the first of ``Replica/gradients`` holds this rank's whole sum; nobody will write
  /// to it before the next gradient.
  ///
  /// Ranges come from the end of the buffer to its start, each adjacent to the one before, and are
  /// the same for every batch.
  func gradientIsComplete(_ range: Range<Int>)
  /// Some time has passed; called between products.
  func progress()
}

/// A rank's copy of the model, as the training loop sees it.
///
/// The loop reads and writes the flat buffers (all-reduce, optimizer, checkpoint) and asks for sums
/// over examples; how and where they are computed stays behind this protocol.
public protocol Replica: AnyObject {
  /// Where each parameter lies in the flat buffers.
  var layout: ParameterLayout { get }
  /// The flat parameters.
  var parameters: FloatBuffer { get }
  /// Flat buffers whose sum is the latest gradient; after ``computeGradient(of:noise:klWeighting:receiver:)``
  /// with a receiver the first one alone.
  var gradients: [FloatBuffer] { get }

  /// Overwrites ``gradients`` by the gradient of −ELBO, summed over these examples.
  ///
  /// - Parameters:
  ///   - batch: Any number of examples up to the replica's capacity, zero included.
  ///   - noise: Where ε comes from.
  ///   - klWeighting: How much each latent's KL divergence counts.
  ///   - receiver: Who is told of each part of the gradient as soon as it is complete; nil leaves
  ///     it in several buffers, which saves a pass over them.
  /// - Returns: The ELBO's sums over the same examples and noise.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func computeGradient(
    of batch: ExampleBatch, noise: RandomStream, klWeighting: KLWeighting,
    receiver: (any GradientReceiver)?
  ) throws(KernelError) -> GradientOutcome

  /// The matrix products of a gradient and nothing else: what no step can be faster than.
  ///
  /// ``gradients`` are overwritten by something meaningless.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func runProducts(_ batch: ExampleBatch) throws(KernelError)

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

  /// Finds where the bound of these examples stops being a number.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func locateNonFinite(
    _ batch: ExampleBatch, noise: RandomStream
  ) throws(KernelError) -> NonFinite

  /// What the posteriors of each of several groups of examples are like.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func summarizePosteriors(
    _ batch: ExampleBatch, groups: [Range<Int>]
  ) throws(KernelError) -> [PosteriorSums]

  /// The two parts of each example's ELBO.
  ///
  /// As ``score(_:groups:noise:)``, whose sums are of these.
  ///
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func scoreExamples(
    _ batch: ExampleBatch, groups: [Range<Int>], noise: RandomStream
  ) throws(KernelError) -> [ExampleScore]

  /// The parameters of q(z|x) of each example.
  ///
  /// - Parameters:
  ///   - batch: The examples of all groups.
  ///   - groups: Which rows of the batch are a group; an example's figures depend on its group alone.
  ///   - posteriors: Receives means and log variances, `[examples, 2 * latent]`.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func encode(
    _ batch: ExampleBatch, groups: [Range<Int>], into posteriors: MatrixView
  ) throws(KernelError)

  /// Draws latents from p(z).
  ///
  /// - Parameters:
  ///   - rows: The number of each draw, which keys its noise.
  ///   - seed: What keys the noise besides.
  ///   - temperature: What deviations from the mean (of a component) are multiplied by.
  ///   - latents: Receives z, `[rows, latent]`.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func drawLatents(
    _ rows: UnsafeBufferPointer<UInt32>, seed: UInt64, temperature: Float,
    into latents: MatrixView
  ) throws(KernelError)

  /// What p(x|z) says of each of some latents.
  ///
  /// - Parameters:
  ///   - latents: `[rows, latent]`.
  ///   - groups: Which rows are a group; a row's values depend on its group alone.
  ///   - query: What else there is to know of the rows.
  ///   - values: Receives means or draws, `[rows, inputs]`.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func observe(
    _ latents: MatrixView, groups: [Range<Int>], query: ObservationQuery, into values: MatrixView
  ) throws(KernelError)

  /// The importance-weighted bound of each example, nats.
  ///
  /// - Parameters:
  ///   - batch: The examples.
  ///   - sampling: How many draws, and whether they are annealed.
  ///   - noise: Where the draws come from.
  /// - Returns: One figure an example.
  /// - Throws: `KernelError` if oneDNN refuses the shape.
  func importanceWeightedBounds(
    _ batch: ExampleBatch, sampling: ImportanceSampling, noise: RandomStream
  ) throws(KernelError) -> [ImportanceEstimate]
}
