internal import Foundation

/// One direction of a chart: which numbers it shows, and which it names.
public struct ChartAxis: Sendable {
  /// What the numbers are, with their unit.
  public let title: String
  /// The numbers from one end to the other.
  public let range: ClosedRange<Double>
  /// The numbers that are written, rising.
  public let ticks: [Double]

  private let step: Double
  private let names: [String]

  /// An axis for some numbers, with about as many ticks as asked for.
  ///
  /// - Parameters:
  ///   - title: What the numbers are.
  ///   - values: All that is to be shown.
  ///   - includesZero: Whether 0 is shown in any case.
  ///   - isWhole: Whether only whole numbers are written.
  ///   - names: What stands at 1, 2 … instead of numbers, where there is room for it.
  ///   - tickCount: How many ticks there should be room for.
  public init(
    _ title: String, _ values: some Sequence<Double>, includesZero: Bool = false,
    isWhole: Bool = false, names: [String] = [], tickCount: Int = 5
  ) {
    self.title = title
    // Of many, those that the ticks happen to hit.
    self.names = names
    var (low, high) = (Double.infinity, -Double.infinity)
    for value in values where value.isFinite { (low, high) = (min(low, value), max(high, value)) }
    if includesZero { (low, high) = (min(low, 0), max(high, 0)) }
    if low > high { (low, high) = (0, 1) }
    if low == high {
      (low, high) = (low - max(0.5, abs(low) / 10), high + max(0.5, abs(high) / 10))
    }
    // 1, 2 or 5 times a power of ten.
    let rough = (high - low) / Double(max(tickCount, 1))
    let power = pow(10, floor(log10(rough)))
    let round = (([1, 2, 5].first { $0 * power >= rough }) ?? 10) * power
    let hasRoom = !names.isEmpty && names.count <= 16
    step = hasRoom ? 1 : isWhole || !names.isEmpty ? max(round, 1) : round
    let step = step
    let margin = includesZero && low == 0 ? 0 : 0.03 * (high - low)
    range = low - margin...high + 0.03 * (high - low)
    let first = (range.lowerBound / step).rounded(.up)
    let last = (range.upperBound / step).rounded(.down)
    let all = first <= last ? (0...Int(last - first)).map { (first + Double($0)) * step } : []
    ticks = names.isEmpty ? all : all.filter { $0 >= 1 && Int($0) <= names.count }
  }

  /// Where a number lies, from 0 at the lower end to 1 at the upper.
  func place(_ value: Double) -> Double {
    (value - range.lowerBound) / (range.upperBound - range.lowerBound)
  }

  /// A tick as text, with the decimals that tell it from its neighbours.
  func text(_ tick: Double) -> String {
    if !names.isEmpty { return names[Int(tick) - 1] }
    let tick = tick == 0 ? 0 : tick  // no minus zero
    if tick == 0 && step >= 1 { return "0" }
    if step >= 1_000_000 { return Self.short(tick / 1_000_000) + "M" }
    if step >= 1_000 { return Self.short(tick / 1_000) + "k" }
    let decimals = max(0, Int((-log10(step) - 1e-9).rounded(.up)))
    return String(format: "%.\(decimals)f", tick).replacing("-", with: "−")
  }

  private static func short(_ value: Double) -> String {
    String(format: "%g", value).replacing("-", with: "−")
  }
}
