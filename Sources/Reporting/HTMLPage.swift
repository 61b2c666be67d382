public import Checkpointing
internal import Foundation

/// A page in one file: nothing is loaded, and nothing runs.
public struct HTMLPage: Sendable {
  private let title: String
  private var body: [String] = []
  private var chartCount = 0

  /// An empty page.
  public init(title: String) {
    self.title = title
  }

  /// A name for all that follows.
  public mutating func heading(_ text: String) {
    body.append("<h2>\(escaped(text))</h2>")
  }

  /// A sentence or more.
  public mutating func paragraph(_ text: String, isWarning: Bool = false) {
    body.append("<p\(isWarning ? " class=\"warning\"" : "")>\(escaped(text))</p>")
  }

  /// Figures to be seen first, each with its name and a word on it.
  public mutating func keyFigures(_ figures: [(name: String, value: String, note: String)]) {
    body.append("<dl class=\"key\">")
    for figure in figures {
      body.append(
        "<div><dt>\(escaped(figure.name))</dt><dd>\(escaped(figure.value))</dd>"
          + "<dd class=\"note\">\(escaped(figure.note))</dd></div>")
    }
    body.append("</dl>")
  }

  /// Things that stand beside each other where there is room.
  public mutating func row(_ parts: [Part]) {
    if parts.isEmpty { return }
    body.append("<div class=\"row\">")
    for part in parts { body.append(text(of: part)) }
    body.append("</div>")
  }

  /// What stands in a row.
  public enum Part: Sendable {
    /// A chart with what it shows, and names for its colours.
    case chart(Chart, caption: String, legend: [Legend] = [])
    /// A picture with what it shows.
    case picture(Picture, caption: String)
  }

  /// A name for a colour of a chart.
  public struct Legend: Sendable {
    /// What is drawn before the name.
    public enum Mark: Sendable {
      /// A line.
      case line
      /// A broken line.
      case dashes
      /// A dot.
      case dot
    }

    let (name, color, mark): (String, Int, Mark)

    /// A name for a colour, and for a kind of mark.
    public init(_ name: String, color: Int, _ mark: Mark = .line) {
      (self.name, self.color, self.mark) = (name, color, mark)
    }
  }

  /// A table; columns of numbers are those whose first cell looks like one.
  public mutating func table(_ header: [String], _ rows: [[String]], caption: String? = nil) {
    let numeric = header.indices.map { index in
      rows.first.map {
        index < $0.count && ($0[index].first?.isNumber ?? false || $0[index].hasPrefix("−"))
      }
        ?? false
    }
    func cells(_ row: [String], _ tag: String) -> String {
      "<tr>"
        + zip(row, numeric).map {
          "<\(tag)\($1 ? " class=\"number\"" : "")>\(escaped($0))</\(tag)>"
        }.joined() + "</tr>"
    }
    if let caption { body.append("<p class=\"caption\">\(escaped(caption))</p>") }
    body.append(
      "<div class=\"scroll\"><table><thead>\(cells(header, "th"))</thead><tbody>")
    body += rows.map { cells($0, "td") }
    body.append("</tbody></table></div>")
  }

  /// Names and values, in as many columns as there is room for.
  public mutating func list(_ pairs: [(name: String, value: String)]) {
    body.append("<dl class=\"list\">")
    for pair in pairs {
      body.append("<div><dt>\(escaped(pair.name))</dt><dd>\(escaped(pair.value))</dd></div>")
    }
    body.append("</dl>")
  }

  private mutating func text(of part: Part) -> String {
    switch part {
    case .chart(let chart, let caption, let legend):
      chartCount += 1
      return "<figure>\(chart.svg(identifier: "clip\(chartCount)"))"
        + (legend.isEmpty ? "" : "<p class=\"legend\">\(legend.map(Self.text).joined())</p>")
        + "<figcaption>\(escaped(caption))</figcaption></figure>"
    case .picture(let picture, let caption):
      let data = Data(picture.png ?? []).base64EncodedString()
      return "<figure><img alt=\"\(escaped(caption))\" width=\"\(picture.width)\""
        + " height=\"\(picture.height)\" src=\"data:image/png;base64,\(data)\">"
        + "<figcaption>\(escaped(caption))</figcaption></figure>"
    }
  }

  private static func text(_ legend: Legend) -> String {
    let mark =
      switch legend.mark {
      case .line: "<line class=\"line\" x1=\"1\" x2=\"23\" y1=\"4\" y2=\"4\"/>"
      case .dashes: "<line class=\"line dashed\" x1=\"1\" x2=\"23\" y1=\"4\" y2=\"4\"/>"
      case .dot: "<circle class=\"dot\" cx=\"18\" cy=\"4\" r=\"4\"/>"
      }
    return "<span class=\"c\(legend.color % Chart.colorCount)\">"
      + "<svg viewBox=\"0 0 24 8\" aria-hidden=\"true\">\(mark)</svg>\(escaped(legend.name))</span>"
  }

  /// The page.
  public var html: String {
    """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="data:,">
    <title>\(escaped(title))</title>
    <style>
    \(Self.style)
    </style>
    </head>
    <body>
    <main>
    <h1>\(escaped(title))</h1>
    \(body.joined(separator: "\n"))
    </main>
    </body>
    </html>

    """
  }

  /// Writes the page, whole or not at all.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: String) throws(CheckpointError) {
    try DurableFile.makePlace(for: path)
    try DurableFile.replace(path, with: html)
  }
}

/// Text as HTML shows it.
func escaped(_ text: String) -> String {
  var escaped = ""
  for character in text {
    switch character {
    case "&": escaped += "&amp;"
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "\"": escaped += "&quot;"
    default: escaped.append(character)
    }
  }
  return escaped
}
