/// Where in an ``Arena`` one matrix lies, before the arena exists.
public struct ArenaSlot {
  let offset: Int
  /// The most rows that the slot can hold.
  public let capacity: Int
  /// Elements in a row.
  public let columns: Int
  let stride: Int
}

/// Collects what a model needs for its activations, so that one allocation before the first step
/// holds them all.
public struct ArenaPlan {
  /// Elements reserved so far.
  public private(set) var count = 0

  /// An empty plan.
  public init() {}

  /// Sets aside room for a matrix of up to `capacity` rows.
  ///
  /// - Parameters:
  ///   - capacity: The most rows.
  ///   - columns: Elements in a row.
  ///   - stride: Elements from one row to the next; nil for `columns`.
  /// - Returns: The matrix's place.
  public mutating func reserve(capacity: Int, columns: Int, stride: Int? = nil) -> ArenaSlot {
    let stride = stride ?? columns
    let slot = ArenaSlot(offset: count, capacity: capacity, columns: columns, stride: stride)
    count += FloatBuffer.roundedUp(capacity * stride)
    return slot
  }
}

/// The one block of memory in which a model keeps activations and their gradients.
public final class Arena {
  private let buffer: FloatBuffer

  /// Allocates what the plan reserved.
  public init(_ plan: ArenaPlan) {
    buffer = FloatBuffer(count: plan.count)
  }

  /// The first `rows` rows of a slot.
  public func matrix(_ slot: ArenaSlot, rows: Int) -> MatrixView {
    precondition(
      rows <= slot.capacity, "A slot of \(slot.capacity) rows cannot hold \(rows) rows")
    return buffer.matrix(
      rows: rows, columns: slot.columns, offset: slot.offset, stride: slot.stride)
  }
}
