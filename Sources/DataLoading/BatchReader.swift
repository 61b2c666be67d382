public import TensorKernels

/// Whether grey values become black and white.
public enum Binarization: String, CaseIterable, Sendable, Codable {
  /// Values stay as they are.
  case none
  /// Drawn anew from Bernoulli(value) every time an example is seen in training; test examples keep
  /// one draw, so that figures can be compared.
  case dynamic
  /// Drawn once from Bernoulli(value), for training and test examples alike.
  case `static`
}

/// Reads batches into memory that is allocated once.
public final class BatchReader {
  /// The examples.
  public let examples: Examples
  private let binarization: Binarization
  private let seed: UInt64
  private let team: WorkerTeam
  private let values: FloatBuffer
  private let uniforms: FloatBuffer?
  private let classes: UnsafeMutableBufferPointer<UInt32>?
  /// The most examples of one batch.
  public let capacity: Int

  /// - Parameters:
  ///   - examples: The examples.
  ///   - binarization: Whether grey values become black and white.
  ///   - seed: The run's seed.
  ///   - capacity: The most examples of one batch.
  ///   - team: The threads that read, each a part of the batch.
  public init(
    _ examples: Examples, binarization: Binarization, seed: UInt64, capacity: Int,
    team: WorkerTeam
  ) {
    self.examples = examples
    self.team = team
    self.binarization = binarization
    self.seed = seed
    self.capacity = capacity
    classes = examples.hasLabels ? .allocate(capacity: capacity) : nil
    classes?.initialize(repeating: 0)
    values = FloatBuffer(count: capacity * examples.width)
    uniforms =
      binarization == .none ? nil : FloatBuffer(count: capacity * examples.width)
  }

  deinit {
    classes?.deallocate()
  }

  /// Reads examples; the view is valid until the next call.
  ///
  /// - Shape: `[indices.count, width]`.
  /// - Parameters:
  ///   - indices: Which examples.
  ///   - epoch: The epoch, for dynamic binarization; nil for evaluation, which always draws alike.
  /// - Returns: The examples in the order of `indices`.
  public func read(_ indices: UnsafeBufferPointer<UInt32>, epoch: Int?) -> MatrixView {
    let batch = values.matrix(rows: indices.count, columns: examples.width)
    let draws = uniforms?.matrix(rows: indices.count, columns: examples.width)
    team.forEachPart(of: 0..<indices.count) { part in
      let indices = UnsafeBufferPointer(rebasing: indices[part])
      examples.read(indices, into: batch.rows(part))
      if let draws = draws?.rows(part), let stream = stream(epoch: epoch) {
        stream.fillUniform(draws, examples: indices)
        binarize(batch.rows(part), uniforms: draws)
      }
    }
    return batch
  }

  /// Reads the classes of examples, where they are known; the view is valid until the next call.
  ///
  /// - Shape: `[indices.count]`.
  public func readLabels(
    _ indices: UnsafeBufferPointer<UInt32>
  ) -> UnsafeBufferPointer<UInt32>? {
    guard let classes else { return nil }
    let own = UnsafeMutableBufferPointer(rebasing: classes[..<indices.count])
    examples.readLabels(indices, into: own)
    return UnsafeBufferPointer(own)
  }

  // Epochs count from 0 upward, the two evaluations from the top downward.
  private func stream(epoch: Int?) -> RandomStream? {
    switch binarization {
    case .none:
      nil
    case .static:
      RandomStream(seed: seed, purpose: .staticBinarization, time: examples.split.code)
    case .dynamic:
      RandomStream(
        seed: seed, purpose: .dynamicBinarization,
        time: epoch.map { UInt32(truncatingIfNeeded: $0) } ?? .max - examples.split.code)
    }
  }
}
