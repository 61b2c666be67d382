internal import CKernels

/// A number format of arithmetic or of messages.
public enum Precision: String, CaseIterable, Sendable, Codable {
  /// 32-bit IEEE 754.
  case f32
  /// bfloat16: the upper half of `f32`, with 8 bits of precision.
  case bf16
}

/// destination[i] = source[i] rounded to bfloat16, to the nearest, ties to even.
///
/// - Shape: Both are alike.
public func roundToBFloat16(
  _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableBufferPointer<UInt16>
) {
  precondition(
    source.count == destination.count,
    "Cannot round \(source.count) values into \(destination.count)")
  guard let from = source.baseAddress, let to = destination.baseAddress else { return }
  vd_kernel_round_to_bfloat16(source.count, from, to)
}

/// destination[i] = source[i], exactly.
///
/// - Shape: Both are alike.
public func widenBFloat16(
  _ source: UnsafeBufferPointer<UInt16>, into destination: UnsafeMutableBufferPointer<Float>
) {
  precondition(
    source.count == destination.count,
    "Cannot widen \(source.count) values into \(destination.count)")
  guard let from = source.baseAddress, let to = destination.baseAddress else { return }
  vd_kernel_widen_bfloat16(source.count, from, to)
}
