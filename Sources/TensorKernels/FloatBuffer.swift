#if canImport(Glibc)
internal import Glibc
#endif

/// A fixed block of `Float`, zero at first, aligned to cache lines.
///
/// Whatever is sized once and lives through training is one of these: parameters, gradients,
/// optimizer state, activations. The memory is freed with the object, unless it is another's.
public final class FloatBuffer {
  /// The first element; valid as long as the buffer lives.
  public let base: UnsafeMutablePointer<Float>
  /// How many elements there are.
  public let count: Int
  private let owner: AnyObject?

  /// The alignment of every buffer, and of everything that ``ArenaPlan`` places in one.
  public static let alignmentInElements = 16

  /// Allocates `count` zeros.
  public init(count: Int) {
    precondition(count >= 0, "Cannot allocate \(count) elements")
    let padded = max(Self.alignmentInElements, Self.roundedUp(count))
    let stride = MemoryLayout<Float>.stride
    var raw: UnsafeMutableRawPointer?
    let code = posix_memalign(&raw, Self.alignmentInElements * stride, padded * stride)
    guard code == 0, let raw else { MemoryShortage.end(byteCount: padded * stride) }
    base = raw.bindMemory(to: Float.self, capacity: padded)
    base.initialize(repeating: 0, count: padded)
    self.count = count
    owner = nil
  }

  /// Memory that belongs to another object, such as memory that ranks share.
  ///
  /// - Parameters:
  ///   - memory: Begins at a cache line and has room for `count` rounded up to the alignment.
  ///   - count: How many elements.
  ///   - owner: What must live as long as the buffer.
  public init(in memory: UnsafeMutableRawBufferPointer, count: Int, owner: AnyObject) {
    let stride = MemoryLayout<Float>.stride
    guard let start = memory.baseAddress,
      Int(bitPattern: start) % (Self.alignmentInElements * stride) == 0,
      memory.count >= Self.roundedUp(count) * stride
    else {
      preconditionFailure("\(memory) does not hold \(count) elements from a cache line on")
    }
    base = start.bindMemory(to: Float.self, capacity: Self.roundedUp(count))
    self.count = count
    self.owner = owner
  }

  deinit {
    if owner == nil { free(base) }
  }

  /// `count` rounded up to the alignment.
  public static func roundedUp(_ count: Int) -> Int {
    (count + alignmentInElements - 1) / alignmentInElements * alignmentInElements
  }

  /// How far apart rows of `columns` elements are best kept, if they are operands of products.
  ///
  /// An odd number of cache lines: rows of whole lines are read without a seam, and an odd number
  /// of them spreads a column over all sets of the caches. Where that would take more than an eighth
  /// of memory on top, `columns`. (Measured with oneDNN 2.6: all products of a step take 5% less
  /// time at a width of 500, 8% at 768, 25% at 3,072.)
  public static func rowStride(columns: Int) -> Int {
    rowStride(columns: columns, elementsPerLine: alignmentInElements)
  }

  static func rowStride(columns: Int, elementsPerLine: Int) -> Int {
    let lines = (columns + elementsPerLine - 1) / elementsPerLine
    let stride = (lines | 1) * elementsPerLine
    return stride - columns <= columns / 8 ? stride : columns
  }

  /// The elements, for reading.
  public var elements: UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: base, count: count)
  }

  /// The elements, for writing.
  public var mutableElements: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: base, count: count)
  }

  /// Elements from `offset` on as a matrix.
  ///
  /// - Shape: `[rows, columns]`, row-major; it must lie within the buffer.
  /// - Parameters:
  ///   - rows: The first extent.
  ///   - columns: The second extent.
  ///   - offset: Where the first row begins.
  ///   - stride: Elements from one row to the next; nil for `columns`.
  /// - Returns: A view; it keeps the buffer alive.
  public func matrix(rows: Int, columns: Int, offset: Int = 0, stride: Int? = nil) -> MatrixView {
    MatrixView(self, offset: offset, rows: rows, columns: columns, stride: stride ?? columns)
  }
}
