import DataLoading
import Foundation
import Inference
import Reporting
import TensorKernels
import Training

// Of tables: each column of the data beside that of the model's draws.

extension ReportPage {
  /// The rows of a table of marginal distributions; none for other models.
  func marginals(_ model: RunFacts.Model) -> [[String]] {
    let (portrait, width, names) = (model.portrait, model.saved.inputs, model.saved.names)
    let kinds = model.saved.configuration.tableKinds
    guard kinds.count == width, !portrait.samples.isEmpty else { return [] }
    func column(_ values: [Float], _ place: Int) -> [Double] {
      stride(from: place, to: values.count, by: width).map { Double(values[$0]) }
        .filter { !$0.isNaN }
    }
    return kinds.enumerated().map { place, kind in
      let own = names.columns.indices.contains(place) ? names.columns[place] : "\(place + 1)"
      let (data, draws) = (column(portrait.originals, place), column(portrait.samples, place))
      let classes = names.classes[place]
      return [
        own, Self.name(kind), Self.text(data, kind, classes), Self.text(draws, kind, classes),
      ]
    }
  }

  /// Adds such a table.
  mutating func add(_ marginals: [[String]], of run: RunFacts) {
    if marginals.isEmpty { return }
    page.table(
      ["column", "kind", "test examples", "draws of the model"], marginals,
      caption:
        "\(prefix(run))Each column by itself: mean ± standard deviation of numbers, shares of the most frequent"
        + " classes; draws are x ~ p(x|z), z ~ p(z)")
  }

  private static func name(_ kind: TableColumn.Kind) -> String {
    switch kind {
    case .gaussian: "gaussian"
    case .logNormal: "log-normal"
    case .bernoulli: "bernoulli"
    case .poisson: "poisson"
    case .categorical: "categorical"
    }
  }

  private static func text(
    _ values: [Double], _ kind: TableColumn.Kind, _ classes: [String]?
  ) -> String {
    if values.isEmpty { return "–" }
    let count = Double(values.count)
    if case .categorical(let most) = kind {
      var counts = [Int](repeating: 0, count: most)
      for value in values where value >= 0 && value < Double(most) { counts[Int(value)] += 1 }
      let order = counts.indices.sorted { counts[$0] > counts[$1] }.filter { counts[$0] > 0 }
      return order.prefix(4).map { number in
        let name = DataNames.name(number, of: classes ?? [])
        return "\(name) \(String(format: "%.0f %%", 100 * Double(counts[number]) / count))"
      }.joined(separator: ", ") + (order.count > 4 ? " …" : "")
    }
    let mean = values.reduce(0, +) / count
    if kind == .bernoulli { return String(format: "%.0f %%", 100 * mean) }
    let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot()
    return String(format: "%.4g ± %.3g", mean, deviation).replacing("-", with: "−")
  }
}
