internal import Foundation
internal import TensorKernels

/// The columns of a table as text: `4 gaussian, bernoulli, categorical 5, 2 log-normal`.
///
/// A number in front counts columns that are alike; one behind `categorical` counts its classes.
/// `center` and `scale` are what numbers are standardized by; a run finds them in its training examples
/// and keeps them.
struct TableDescription {
  /// The columns in order, and which of them have yet to be standardized.
  var columns: [(column: TableColumn, isResolved: Bool)]

  /// What is wrong with a text.
  struct Problem: Error {
    /// One sentence.
    let description: String
  }

  /// The most columns.
  static let mostColumns = 1 << 20

  /// Reads a text.
  ///
  /// - Throws: ``Problem`` for the first column that is wrong.
  init(_ text: String) throws(Problem) {
    columns = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      var words = part.split { $0 == " " || $0 == "\t" || $0 == "\n" }.map(String.init)[...]
      let shown = words.joined(separator: " ")
      func wrong(_ sentence: String) -> Problem {
        Problem(description: "column '\(shown)' \(sentence)")
      }
      var count = 1
      if let first = words.first, let number = Int(first) {
        if number < 1 || number > Self.mostColumns {
          throw wrong("begins with \(number); a number of columns is from 1 to \(Self.mostColumns)")
        }
        count = number
        words = words.dropFirst()
      }
      let kind: TableColumn.Kind
      switch words.popFirst() {
      case "gaussian": kind = .gaussian
      case "log-normal": kind = .logNormal
      case "bernoulli": kind = .bernoulli
      case "poisson": kind = .poisson
      case "categorical":
        guard let classes = words.popFirst().flatMap({ Int($0) }), (2...65_536).contains(classes)
        else { throw wrong("needs its number of classes, from 2 to 65536: categorical 5") }
        kind = .categorical(classes: classes)
      default:
        throw wrong("is none of gaussian, log-normal, bernoulli, poisson, categorical CLASSES")
      }
      var column = TableColumn(kind)
      var found: Set<String> = []
      while let name = words.popFirst() {
        guard column.isScaled, ["center", "scale"].contains(name), found.insert(name).inserted,
          let value = words.popFirst().flatMap({ Float($0) }), value.isFinite
        else { throw wrong("has '\(name)', which it does not know or which lacks its value") }
        if name == "center" { column.center = value } else { column.scale = value }
      }
      if found.count == 1 { throw wrong("has one of center and scale, and needs both or none") }
      if !(column.scale >= 1e-30 && column.scale <= 1e30 && abs(column.center) <= 1e30) {
        throw wrong("has a center or a scale that is no usual number; a scale is above 0")
      }
      if columns.count + count > Self.mostColumns {
        throw wrong("is one too many; there can be \(Self.mostColumns) columns")
      }
      let isResolved = !column.isScaled || found.count == 2
      columns += Array(repeating: (column, isResolved), count: count)
    }
  }

  /// The text that reads back as the same columns.
  var text: String {
    var parts: [(text: String, count: Int)] = []
    for (column, isResolved) in columns {
      let name =
        switch column.kind {
        case .gaussian: "gaussian"
        case .logNormal: "log-normal"
        case .bernoulli: "bernoulli"
        case .poisson: "poisson"
        case .categorical(let classes): "categorical \(classes)"
        }
      let part =
        column.isScaled && isResolved
        ? "\(name) center \(column.center) scale \(column.scale)" : name
      if parts.last?.text == part {
        parts[parts.count - 1].count += 1
      } else {
        parts.append((part, 1))
      }
    }
    return parts.map { $0.count == 1 ? $0.text : "\($0.count) \($0.text)" }.joined(separator: ", ")
  }
}
