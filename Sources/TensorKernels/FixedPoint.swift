internal import CKernels

/// How finely sums in fixed point are divided: into multiples of 2^−exponent.
public struct FixedPointScale: Sendable, Equatable {
  /// Binary digits behind the point.
  public let exponent: Int

  /// What gradients begin with: multiples of 2⁻³⁶, about 1.5·10⁻¹¹.
  public static let usual = FixedPointScale(exponent: 36)

  /// Coarser by a million, for what does not fit; nil if no float is left out any more.
  public var coarser: FixedPointScale? {
    exponent > -64 ? FixedPointScale(exponent: exponent - 20) : nil
  }

  private init(exponent: Int) {
    self.exponent = exponent
  }

  /// The largest of `count` values whose sum is sure to fit 63 bits.
  public func limit(ofEach count: Int) -> Float {
    Float(sign: .plus, exponent: 62 - exponent, significand: 1) / Float(max(count, 1))
  }

  var factor: Float { Float(sign: .plus, exponent: exponent, significand: 1) }
  var inverse: Float { Float(sign: .plus, exponent: -exponent, significand: 1) }
}

/// A flat buffer of sums in fixed point: whole numbers, which add up to the same bits in any order.
public final class FixedPointBuffer {
  /// The sums.
  public let elements: UnsafeMutableBufferPointer<Int64>
  private let owner: AnyObject?

  /// How many sums.
  public var count: Int { elements.count }

  /// Allocates `count` zeros.
  public init(count: Int) {
    elements = .allocate(capacity: count)
    elements.initialize(repeating: 0)
    owner = nil
  }

  /// Memory that belongs to another object, such as memory that ranks share.
  ///
  /// - Parameters:
  ///   - memory: Room for `count` numbers of 8 bytes.
  ///   - count: How many sums.
  ///   - owner: What must live as long as the buffer.
  public init(in memory: UnsafeMutableRawBufferPointer, count: Int, owner: AnyObject) {
    precondition(
      memory.count >= count * MemoryLayout<Int64>.stride, "\(memory) does not hold \(count) sums")
    elements = UnsafeMutableBufferPointer(
      start: memory.baseAddress?.bindMemory(to: Int64.self, capacity: count), count: count)
    self.owner = owner
  }

  deinit {
    if owner == nil { elements.deallocate() }
  }

  /// Takes values, or adds them to what is there.
  ///
  /// - Parameters:
  ///   - values: As many as there are sums.
  ///   - scale: How finely they are divided.
  ///   - adds: Whether they are added.
  /// - Returns: The largest magnitude of a value, NaN if one is NaN. Above
  ///   ``FixedPointScale/limit(ofEach:)`` the sums are of no use.
  public func take(_ values: FloatBuffer, scale: FixedPointScale, adds: Bool) -> Float {
    precondition(values.count == count, "\(values.count) values do not fit \(count) sums")
    guard let base = elements.baseAddress else { return 0 }
    return vd_kernel_to_fixed_point(count, values.base, scale.factor, adds ? 1 : 0, base)
  }

  /// Adds the sums of another buffer within a range.
  public func add(_ other: FixedPointBuffer, _ range: Range<Int>) {
    precondition(other.count == count && range.upperBound <= count, "\(range) is outside \(count)")
    guard let base = elements.baseAddress, let values = other.elements.baseAddress else { return }
    vd_kernel_add_fixed_point(
      range.count, values + range.lowerBound, base + range.lowerBound)
  }
}

/// What adds up to a gradient.
public enum GradientSum {
  /// Floats, added in this order.
  case floats([FloatBuffer])
  /// Whole numbers, in any order, converted once.
  case fixedPoint([FixedPointBuffer], FixedPointScale)

  /// Hands over blocks of the sum, in order.
  ///
  /// - Parameters:
  ///   - range: Elements of the buffers.
  ///   - body: Gets a block and its sum, which is valid during the call.
  public func forEachBlock(
    of range: Range<Int>, _ body: (Range<Int>, UnsafePointer<Float>) -> Void
  ) {
    switch self {
    case .floats(let sources): TensorKernels.forEachBlock(of: range, sources, body)
    case .fixedPoint(let sources, let scale): Self.convert(range, sources, scale, body)
    }
  }

  /// Writes the sum within a range; the destination may be one of the floats.
  public func write(_ range: Range<Int>, into destination: FloatBuffer) {
    forEachBlock(of: range) { block, values in
      (destination.base + block.lowerBound).update(from: values, count: block.count)
    }
  }

  private static func convert(
    _ range: Range<Int>, _ sources: [FixedPointBuffer], _ scale: FixedPointScale,
    _ body: (Range<Int>, UnsafePointer<Float>) -> Void
  ) {
    precondition(
      sources.allSatisfy { range.lowerBound >= 0 && range.upperBound <= $0.count },
      "Elements \(range) are outside \(sources.map(\.count))")
    let blockCount = 2048
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: blockCount) { sums in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: blockCount) { values in
        guard let total = sums.baseAddress, let floats = values.baseAddress else { return }
        for start in stride(from: range.lowerBound, to: range.upperBound, by: blockCount) {
          let block = start..<min(start + blockCount, range.upperBound)
          for (number, source) in sources.enumerated() {
            guard let base = source.elements.baseAddress else { continue }
            if number == 0 {
              total.update(from: base + start, count: block.count)
            } else {
              vd_kernel_add_fixed_point(block.count, base + start, total)
            }
          }
          vd_kernel_from_fixed_point(block.count, total, scale.inverse, floats)
          body(block, UnsafePointer(floats))
        }
      }
    }
  }
}

/// Σ v² of each block of ``sumOfSquaresBlock`` elements that begins in a range, in double precision.
///
/// - Shape: `sums` has one element for each block of the buffer; those of other blocks stay.
public func sumsOfSquares(
  _ values: FloatBuffer, _ range: Range<Int>, into sums: UnsafeMutableBufferPointer<Double>
) {
  let size = sumOfSquaresBlock
  for block in (range.lowerBound + size - 1) / size..<(range.upperBound + size - 1) / size {
    sums[block] = sumOfSquares(values, block * size..<min((block + 1) * size, values.count))
  }
}

/// Elements of a block of ``sumsOfSquares(_:_:into:)``.
public let sumOfSquaresBlock = 4096
