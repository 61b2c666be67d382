import Foundation

/// Lower bounds against training examples seen, a panel a run, as SVG.
struct Figure {
  /// How a curve is drawn, and what the legend says.
  enum Style: CaseIterable {
    case paperTest, paperTrain, test, train

    var label: String {
      switch self {
      case .paperTest: "paper, test"
      case .paperTrain: "paper, train"
      case .test: "vae-dist, test"
      case .train: "vae-dist, train"
      }
    }

    fileprivate var attributes: String {
      switch self {
      case .paperTest: "stroke=\"#b2182b\" stroke-width=\"1.5\""
      case .paperTrain: "stroke=\"#b2182b\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\""
      case .test: "stroke=\"#2166ac\" stroke-width=\"2\""
      case .train: "stroke=\"#2166ac\" stroke-width=\"2\" stroke-dasharray=\"5 3\""
      }
    }
  }

  struct Curve {
    let style: Style
    let curve: BoundCurve

    init(_ style: Style, _ curve: BoundCurve) {
      self.style = style
      self.curve = curve
    }
  }

  struct Panel {
    let title: String
    let curves: [Curve]

    /// What the panel shows: the nats of all curves from the first decade that the paper shows.
    var range: ClosedRange<Double> {
      let shown = curves.flatMap { $0.curve.points }
      // And where each of ours has come to, however early.
      let ends = curves.compactMap { $0.curve.points.last?.nats }
      let all = shown.filter { $0.examples >= 1e6 }.map(\.nats) + ends
      guard let low = all.min(), let high = all.max() else { return 0...1 }
      let margin = max(0.05 * (high - low), 0.5)
      return low - margin...high + margin
    }
  }

  let panels: [Panel]

  // Pixels.
  private static let (width, height) = (300.0, 230.0)
  private static let (left, right, top, bottom) = (56.0, 14.0, 28.0, 40.0)
  // Powers of ten of examples: as in the paper, and from the first decade that every run has come to.
  private var decades: ClosedRange<Int> {
    let ends = panels.flatMap(\.curves).compactMap { $0.curve.points.last?.examples }
    return min(5, Int(log10(max(ends.min() ?? 1e5, 10)).rounded(.down)) - 1)...8
  }

  /// The drawing.
  var svg: String {
    let columns = min(3, max(1, panels.count))
    let rows = (panels.count + columns - 1) / columns
    let (width, height) = (Self.width * Double(columns), Self.height * Double(rows) + 30)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Self.number(width))\""
        + " height=\"\(Self.number(height))\" font-family=\"sans-serif\" font-size=\"11\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
    ]
    for (index, panel) in panels.enumerated() {
      let (x, y) = (
        Double(index % columns) * Self.width, Double(index / columns) * Self.height
      )
      lines.append("<g transform=\"translate(\(Self.number(x)) \(Self.number(y)))\">")
      lines += draw(panel, index)
      lines.append("</g>")
    }
    lines += Self.legend(width: width, y: height - 12)
    return (lines + ["</svg>", ""]).joined(separator: "\n")
  }

  private func draw(_ panel: Panel, _ index: Int) -> [String] {
    let (width, height) = (Self.width, Self.height)
    let (left, right, top, bottom) = (Self.left, Self.right, Self.top, Self.bottom)
    let (line, text, number) = (Self.line, Self.text, Self.number)
    let decades = decades
    let range = panel.range
    let (innerWidth, innerHeight) = (width - left - right, height - top - bottom)
    let first = Double(decades.lowerBound)
    let span = Double(decades.upperBound) + 0.5 - first
    func x(_ examples: Double) -> Double { left + innerWidth * (log10(examples) - first) / span }
    func y(_ nats: Double) -> Double {
      top + innerHeight * (range.upperBound - nats) / (range.upperBound - range.lowerBound)
    }
    var lines = [
      "<clipPath id=\"c\(index)\"><rect x=\"\(number(left))\" y=\"\(number(top))\""
        + " width=\"\(number(innerWidth))\" height=\"\(number(innerHeight))\"/></clipPath>",
      text(panel.title, left + innerWidth / 2, top - 9, "middle", "font-weight=\"bold\""),
    ]
    for decade in decades {
      let position = x(pow(10, Double(decade)))
      lines.append(line(position, top, position, top + innerHeight))
      lines.append(
        "<text x=\"\(number(position))\" y=\"\(number(top + innerHeight + 15))\""
          + " text-anchor=\"middle\">10<tspan dy=\"-4\" font-size=\"8\">\(decade)</tspan></text>")
    }
    for tick in Self.ticks(range) {
      lines.append(line(left, y(tick), left + innerWidth, y(tick)))
      lines.append(text(number(tick), left - 5, y(tick) + 4, "end", ""))
    }
    lines.append(
      "<rect x=\"\(number(left))\" y=\"\(number(top))\" width=\"\(number(innerWidth))\""
        + " height=\"\(number(innerHeight))\" fill=\"none\" stroke=\"black\"/>")
    for curve in panel.curves where !curve.curve.points.isEmpty {
      // Points that would fall on one another are left out.
      var points: [String] = []
      var last = -Double.infinity
      for point in curve.curve.points where x(point.examples) >= last + 1 {
        last = x(point.examples)
        points.append("\(number(last)),\(number(y(point.nats)))")
      }
      lines.append(
        "<polyline clip-path=\"url(#c\(index))\" fill=\"none\" \(curve.style.attributes)"
          + " points=\"\(points.joined(separator: " "))\"/>")
    }
    lines.append(
      text("training examples seen", left + innerWidth / 2, height - 8, "middle", ""))
    lines.append(
      "<text transform=\"translate(12 \(number(top + innerHeight / 2))) rotate(-90)\""
        + " text-anchor=\"middle\">lower bound (nats)</text>")
    return lines
  }

  private static func legend(width: Double, y: Double) -> [String] {
    let step = min(150, (width - 20) / Double(Style.allCases.count))
    let start = (width - step * Double(Style.allCases.count)) / 2
    return Style.allCases.enumerated().flatMap { index, style in
      let x = start + Double(index) * step
      return [
        "<path d=\"M\(number(x)) \(number(y - 4))h24\" \(style.attributes)/>",
        text(style.label, x + 28, y, "start"),
      ]
    }
  }

  /// Four to eight round values within a range.
  static func ticks(_ range: ClosedRange<Double>) -> [Double] {
    let rough = (range.upperBound - range.lowerBound) / 5
    let power = pow(10, log10(rough).rounded(.down))
    let step = [1.0, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough
    let first = (range.lowerBound / step).rounded(.up)
    let last = (range.upperBound / step).rounded(.down)
    return first > last ? [] : stride(from: first, through: last, by: 1).map { $0 * step }
  }

  private static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    "<path d=\"M\(number(x1)) \(number(y1))L\(number(x2)) \(number(y2))\" stroke=\"#dddddd\"/>"
  }

  private static func text(
    _ text: String, _ x: Double, _ y: Double, _ anchor: String, _ more: String = ""
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\" \(more)>\(text)</text>"
  }

  private static func number(_ value: Double) -> String {
    let text = String(format: "%.1f", value)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
