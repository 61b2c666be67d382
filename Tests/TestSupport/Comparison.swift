import Testing

/// ‖a − b‖ / ‖b‖, the norm-wise relative error; infinite where lengths differ or a value is NaN.
package func relativeError<A: Collection, B: Collection>(_ actual: A, _ expected: B) -> Double
where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
  guard actual.count == expected.count else { return .infinity }
  var difference = 0.0
  var size = 0.0
  for (a, b) in zip(actual, expected) {
    let (a, b) = (Double(a), Double(b))
    if !(a - b).isFinite { return .infinity }
    difference += (a - b) * (a - b)
    size += b * b
  }
  if size == 0 { return difference == 0 ? 0 : .infinity }
  return (difference / size).squareRoot()
}

/// Fails unless the two agree, and then says where they differ most.
package func expectClose<A: Collection, B: Collection>(
  _ actual: A, _ expected: B, within bound: Double, _ what: String = "",
  sourceLocation: SourceLocation = #_sourceLocation
) where A.Element: BinaryFloatingPoint, B.Element: BinaryFloatingPoint {
  let error = relativeError(actual, expected)
  if error <= bound { return }
  let worst = zip(actual, expected).enumerated().max {
    abs(Double($0.element.0) - Double($0.element.1))
      < abs(Double($1.element.0) - Double($1.element.1))
  }
  Issue.record(
    """
    \(what): relative error \(error) exceeds \(bound); counts \(actual.count), \(expected.count); \
    worst at \(worst?.offset ?? -1): \(worst.map { "\($0.element.0)" } ?? "-") \
    instead of \(worst.map { "\($0.element.1)" } ?? "-")
    """, sourceLocation: sourceLocation)
}

/// A repeatable source of test numbers (SplitMix64); its seed belongs into the test's table.
package struct TestRandom: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform numbers in a range.
  package mutating func uniform(_ count: Int, in range: ClosedRange<Double> = -1...1) -> [Double] {
    (0..<count).map { _ in Double.random(in: range, using: &self) }
  }

  /// Roughly standard normal numbers: sums of twelve uniform ones.
  package mutating func normal(_ count: Int) -> [Double] {
    (0..<count).map { _ in uniform(12, in: -0.5...0.5).reduce(0, +) }
  }
}
