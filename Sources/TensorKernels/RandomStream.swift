internal import CKernels

/// Random numbers keyed by what they are for, never by who asks.
///
/// Philox4x32-10, a counter-based generator: the numbers of (seed, purpose, time, example, draw)
/// are a function of these five alone. So they do not depend on the number of ranks or threads, on
/// the order of evaluation, or on what was drawn before.
///
/// - Source: Salmon, Moraes, Dror & Shaw 2011, *Parallel random numbers: as easy as 1, 2, 3*.
public struct RandomStream: Sendable {
  /// What numbers are drawn for.
  ///
  /// Raw values are part of every saved run: never reuse one.
  public enum Purpose: UInt8, Sendable {
    case initialParameters = 1
    case shuffle = 2
    case trainingNoise = 3
    case evaluationNoise = 4
    case dynamicBinarization = 5
    case staticBinarization = 6
    case heldOutSplit = 7
    case dropout = 8
    case pseudoInputs = 9
    case annealingMomenta = 10
    case annealingDecisions = 11
    case priorDraw = 12
    case priorComponent = 13
    case observation = 14
  }

  private var key: vd_kernel_random_key

  /// The numbers of one purpose at one time.
  ///
  /// - Parameters:
  ///   - seed: The run's seed.
  ///   - purpose: What they are for.
  ///   - time: The epoch, or another count that the purpose defines.
  public init(seed: UInt64, purpose: Purpose, time: UInt32 = 0) {
    key = vd_kernel_random_key(seed: seed, purpose: UInt32(purpose.rawValue), time: time)
  }

  /// Numbers for another purpose at the same time, and for one of several that share it.
  public func with(purpose: Purpose, part: Int) -> RandomStream {
    var stream = self
    stream.key.purpose = UInt32(purpose.rawValue)
    // Parts differ in the key: the counter is full.
    stream.key.seed &+= UInt64(part) &* 0x9E37_79B9_7F4A_7C15
    return stream
  }

  /// Fills rows with uniform numbers on [0, 1), multiples of 2⁻²⁴.
  ///
  /// - Shape: `values` is `[examples.count * draws, columns]`, the draws of an example together.
  /// - Parameters:
  ///   - values: The matrix that receives them.
  ///   - examples: The example of each group of rows.
  ///   - firstDraw: The number of the first draw; below 2²⁴.
  ///   - draws: Draws per example.
  public func fillUniform(
    _ values: MatrixView, examples: UnsafeBufferPointer<UInt32>, firstDraw: Int = 0,
    draws: Int = 1
  ) {
    check(values, examples.count, firstDraw, draws)
    withUnsafePointer(to: key) {
      vd_kernel_uniform(
        $0, examples.baseAddress, examples.count, UInt32(firstDraw), draws, values.columns,
        values.denseBase)
    }
  }

  /// Fills rows with standard normal numbers, the same bits on every processor.
  ///
  /// - Shape: `values` is `[examples.count * draws, columns]`, the draws of an example together.
  /// - Parameters:
  ///   - values: The matrix that receives them.
  ///   - examples: The example of each group of rows.
  ///   - firstDraw: The number of the first draw; below 2²⁴.
  ///   - draws: Draws per example.
  public func fillNormal(
    _ values: MatrixView, examples: UnsafeBufferPointer<UInt32>, firstDraw: Int = 0,
    draws: Int = 1
  ) {
    check(values, examples.count, firstDraw, draws)
    withUnsafePointer(to: key) {
      vd_kernel_normal(
        $0, examples.baseAddress, examples.count, UInt32(firstDraw), draws, values.columns,
        values.denseBase)
    }
  }

  private func check(_ values: MatrixView, _ exampleCount: Int, _ firstDraw: Int, _ draws: Int) {
    precondition(
      values.rows == exampleCount * draws,
      "Cannot fill \(values.shape) with \(draws) draws for each of \(exampleCount) examples")
    precondition(
      firstDraw >= 0 && firstDraw + draws <= 1 << 24, "Draws are numbered below 2^24")
  }

  /// A permutation of `0 ..< count` (Fisher & Yates), one draw a position.
  ///
  /// - Complexity: O(`count`); every rank computes the same one for itself.
  public func permutation(of count: Int) -> [UInt32] {
    precondition(count <= Int(UInt32.max), "Cannot number \(count) examples with 32 bits")
    var order = [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
      for index in 0..<count { buffer[index] = UInt32(index) }
      initialized = count
    }
    var words = RandomWords(self)
    for index in stride(from: count - 1, to: 0, by: -1) {
      order.swapAt(index, Int(words.next(below: UInt32(index + 1))))
    }
    return order
  }

  /// The words of some counters, four each.
  func fillWords(_ words: inout [UInt32], firstBlock: UInt64) {
    withUnsafePointer(to: key) {
      vd_kernel_words($0, firstBlock, words.count / 4, &words)
    }
  }
}

/// The words of a ``RandomStream`` one after the other, for what is drawn once and in order.
struct RandomWords {
  private let stream: RandomStream
  private var words = [UInt32](repeating: 0, count: 1024)
  private var position = 1024
  private var nextBlock: UInt64 = 0

  init(_ stream: RandomStream) {
    self.stream = stream
  }

  mutating func next() -> UInt32 {
    if position == words.count {
      stream.fillWords(&words, firstBlock: nextBlock)
      nextBlock += UInt64(words.count / 4)
      position = 0
    }
    defer { position += 1 }
    return words[position]
  }

  /// Uniform on `0 ..< bound`, without bias (Lemire 2019).
  mutating func next(below bound: UInt32) -> UInt32 {
    var product = UInt64(next()) * UInt64(bound)
    if UInt32(truncatingIfNeeded: product) < bound {
      let threshold = (0 &- bound) % bound
      while UInt32(truncatingIfNeeded: product) < threshold {
        product = UInt64(next()) * UInt64(bound)
      }
    }
    return UInt32(product >> 32)
  }
}
