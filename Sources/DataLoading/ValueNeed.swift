/// What was found in data, and what it is divided by.
public struct FoundValues: Sendable, Equatable {
  /// The smallest and the largest value in the file.
  public let range: ClosedRange<Float>
  /// Whether all values in the file are whole numbers.
  public let isIntegral: Bool
  /// What they are divided by.
  public let scale: Float

  /// The figures of a scan.
  public init(range: ClosedRange<Float>, isIntegral: Bool, scale: Float) {
    self.range = range
    self.isIntegral = isIntegral
    self.scale = scale
  }

  /// The range after division.
  public var scaledRange: ClosedRange<Float> {
    range.lowerBound / scale...range.upperBound / scale
  }
}

/// What a likelihood or a transformation needs values to be.
public enum ValueNeed: Sendable, Equatable, CustomStringConvertible {
  /// Any real number.
  case anything
  /// Numbers in [0, 1].
  case unitInterval
  /// Whole numbers from 0 to 255, divided by 255.
  case bytes
  /// Whole numbers from 0 on.
  case counts
  /// The numbers of classes, from 0 on.
  case classes(Int)

  /// Whether values are so.
  public func isMet(by values: FoundValues) -> Bool {
    let range = values.scaledRange
    switch self {
    case .anything: return true
    case .unitInterval: return range.lowerBound >= 0 && range.upperBound <= 1
    case .bytes:
      return values.isIntegral && values.scale == 255 && range.lowerBound >= 0
        && range.upperBound <= 1
    case .counts: return values.isIntegral && values.scale == 1 && range.lowerBound >= 0
    case .classes(let count):
      return values.isIntegral && values.scale == 1 && range.lowerBound >= 0
        && range.upperBound <= Float(count - 1)
    }
  }

  /// `values in [0, 1]`.
  public var description: String {
    switch self {
    case .anything: "numbers"
    case .unitInterval: "values in [0, 1]"
    case .bytes: "whole numbers from 0 to 255 and --scale 255"
    case .counts: "counts: whole numbers from 0 on, and --scale 1"
    case .classes(let count): "class numbers from 0 to \(count - 1) and --scale 1"
    }
  }

  /// `values from 0 to 3`, or `fractional values …` where whole numbers are needed.
  func words(for values: FoundValues) -> String {
    let needsWhole = self != .anything && self != .unitInterval
    let range = values.scaledRange
    return (needsWhole && !values.isIntegral ? "fractional " : "")
      + "values from \(short(range.lowerBound)) to \(short(range.upperBound))"
      + (values.scale == 1 ? "" : " after division by \(short(values.scale))")
  }

  /// What to do about values that are otherwise, where a flag needs them so.
  func advice(for values: FoundValues, flag: String) -> String {
    let (low, high) = (values.range.lowerBound, values.range.upperBound)
    let isBytes = values.isIntegral && low >= 0 && high <= 255
    if low < 0 {
      return flag.hasPrefix("--binarize")
        ? "use --binarize none"
        : flag.hasPrefix("--observation-mean")
          ? "use --observation-mean linear" : "use --likelihood gaussian"
    }
    switch self {
    case .anything: return ""
    case .unitInterval:
      if isBytes && high > 16 {
        return "use --scale 255, or --likelihood discretized-logistic with --scale 255"
      }
      return "use --scale \(short(high))"
        + (values.isIntegral
          ? ", or for counts --likelihood poisson or negative-binomial with --scale 1" : "")
    case .bytes:
      if isBytes { return "use --scale 255" }
      return values.isIntegral
        ? "use --likelihood negative-binomial for counts" : "use --likelihood gaussian"
    case .counts:
      return values.isIntegral ? "use --scale 1" : "use --likelihood gaussian"
    case .classes:
      if !values.isIntegral { return "use --likelihood gaussian" }
      return values.scale == 1 ? "use --categories \(short(high + 1))" : "use --scale 1"
    }
  }
}

func short(_ value: Float) -> String {
  value == value.rounded() && value.magnitude < 1e9 ? String(Int(value)) : String(value)
}
