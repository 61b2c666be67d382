internal import Foundation

/// A drawing with two axes, as SVG that takes its colours from the page's style sheet.
///
/// Every mark tells its numbers when it is pointed at.
public struct Chart: Sendable {
  /// Points that belong together.
  public struct Series: Sendable {
    /// What they are.
    public var name: String
    /// Which of the style sheet's colours they have, from 0.
    public var color: Int
    /// Whether the line between them is broken.
    public var isDashed: Bool
    /// x and y.
    public var points: [(x: Double, y: Double)]

    /// Points of a name.
    public init(
      _ name: String, color: Int, isDashed: Bool = false, points: [(x: Double, y: Double)]
    ) {
      self.name = name
      self.color = color
      self.isDashed = isDashed
      self.points = points
    }
  }

  /// How points are drawn.
  public enum Marks: Sendable {
    /// A line through the points of each series.
    case lines
    /// A dot a point.
    case dots
    /// A bar from 0 to each point.
    case bars
  }

  /// What the chart shows, for people who cannot see it.
  public let title: String
  private let (horizontal, vertical): (ChartAxis, ChartAxis)
  private let marks: Marks
  private let series: [Series]

  /// A chart.
  ///
  /// - Parameters:
  ///   - title: What it shows.
  ///   - horizontal: The axis of x.
  ///   - vertical: The axis of y; what lies beyond it is cut off.
  ///   - marks: How points are drawn.
  ///   - series: The points.
  public init(
    _ title: String, _ horizontal: ChartAxis, _ vertical: ChartAxis, _ marks: Marks,
    _ series: [Series]
  ) {
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.marks = marks
    self.series = series
  }

  /// How many colours the style sheet has.
  public static let colorCount = 10
  // Units of the drawing; letters are 12 high.
  private static let (width, height) = (420.0, 280.0)
  private static let (left, right, top, bottom) = (68.0, 12.0, 10.0, 44.0)

  private func x(_ value: Double) -> Double {
    Self.left + horizontal.place(value) * (Self.width - Self.left - Self.right)
  }

  private func y(_ value: Double) -> Double {
    Self.height - Self.bottom - vertical.place(value) * (Self.height - Self.top - Self.bottom)
  }

  /// The drawing.
  ///
  /// - Parameter identifier: What tells it from the page's other drawings.
  /// - Returns: An `svg` element.
  func svg(identifier: String) -> String {
    let (right, lower) = (Self.width - Self.right, Self.height - Self.bottom)
    var lines = [
      "<svg class=\"chart\" viewBox=\"0 0 \(text(Self.width)) \(text(Self.height))\" role=\"img\""
        + " aria-label=\"\(escaped(title))\">",
      "<clipPath id=\"\(identifier)\"><rect x=\"\(text(Self.left))\" y=\"\(text(Self.top))\""
        + " width=\"\(text(right - Self.left))\" height=\"\(text(lower - Self.top))\"/></clipPath>",
    ]
    for tick in vertical.ticks {
      let place = text(y(tick))
      lines.append(
        "<line class=\"grid\" x1=\"\(text(Self.left))\" x2=\"\(text(right))\" y1=\"\(place)\""
          + " y2=\"\(place)\"/><text x=\"\(text(Self.left - 6))\" y=\"\(place)\" dy=\".35em\""
          + " text-anchor=\"end\">\(vertical.text(tick))</text>")
    }
    for tick in horizontal.ticks {
      let place = text(x(tick))
      lines.append(
        "<line class=\"grid\" x1=\"\(place)\" x2=\"\(place)\" y1=\"\(text(Self.top))\""
          + " y2=\"\(text(lower))\"/><text x=\"\(place)\" y=\"\(text(lower + 16))\""
          + " text-anchor=\"middle\">\(horizontal.text(tick))</text>")
    }
    lines.append(
      "<text x=\"\(text((Self.left + right) / 2))\" y=\"\(text(Self.height - 6))\""
        + " text-anchor=\"middle\">\(escaped(horizontal.title))</text>"
        + "<text transform=\"translate(13 \(text((Self.top + lower) / 2))) rotate(-90)\""
        + " text-anchor=\"middle\">\(escaped(vertical.title))</text>")
    lines.append("<g clip-path=\"url(#\(identifier))\">")
    for one in series {
      lines.append("<g class=\"c\(one.color % Self.colorCount)\">\(draw(one))</g>")
    }
    lines += ["</g>", "</svg>"]
    return lines.joined(separator: "\n")
  }

  private func draw(_ one: Series) -> String {
    let points = one.points.filter { $0.x.isFinite && $0.y.isFinite }
    switch marks {
    case .lines:
      let thinned = Self.thinned(points)
      let path = thinned.map { "\(text(x($0.x))),\(text(y($0.y)))" }.joined(separator: " ")
      let line =
        "<polyline class=\"line\(one.isDashed ? " dashed" : "")\" points=\"\(path)\">"
        + "<title>\(escaped(one.name))</title></polyline>"
      // Dots tell figures when pointed at; a single point would be no line.
      return line
        + thinned.map {
          "<circle class=\"\(points.count > 1 ? "hit" : one.isDashed ? "ring" : "dot")\" cx=\"\(text(x($0.x)))\""
            + " cy=\"\(text(y($0.y)))\" r=\"4\"><title>\(told(one, $0))</title></circle>"
        }.joined()
    case .dots:
      return points.map {
        "<circle class=\"dot\" cx=\"\(text(x($0.x)))\" cy=\"\(text(y($0.y)))\" r=\"2\"/>"
      }.joined()
    case .bars:
      let width = max(1, 0.8 * (x(1) - x(0)))
      return points.map {
        let (foot, head) = (y(0), y($0.y))
        return
          "<rect class=\"bar\" x=\"\(text(x($0.x) - width / 2))\" y=\"\(text(min(foot, head)))\""
          + " width=\"\(text(width))\" height=\"\(text(max(abs(foot - head), 0.5)))\">"
          + "<title>\(told(one, $0))</title></rect>"
      }.joined()
    }
  }

  private func told(_ one: Series, _ point: (x: Double, y: Double)) -> String {
    escaped(
      "\(one.name): \(String(format: "%.4g", point.y)) at \(String(format: "%.6g", point.x))")
  }

  // Of many points the lowest and the highest of each few, which is all that can be seen.
  private static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
    let most = 300
    if points.count <= most { return points }
    let size = (2 * points.count + most - 1) / most
    return stride(from: 0, to: points.count, by: size).flatMap { start in
      let part = points[start..<min(start + size, points.count)]
      let ends = [part.min { $0.y < $1.y }, part.max { $0.y < $1.y }].compactMap { $0 }
      return ends.sorted { $0.x < $1.x }
    }
  }

  private func text(_ value: Double) -> String { String(format: "%.1f", value) }
}
