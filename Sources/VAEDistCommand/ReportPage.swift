import Foundation
import Inference
import Reporting
import TensorKernels
import Training

/// The page about one run, or about several that are compared.
struct ReportPage {
  let runs: [RunFacts]
  var page: HTMLPage

  init(_ runs: [RunFacts]) {
    self.runs = runs
    let names = runs.map(\.name).joined(separator: ", ")
    page = HTMLPage(title: runs.count == 1 ? names : "\(runs.count) runs: \(names)")
    addSummary()
    addCurves()
    addImages()
    addLatents()
    addSpeed()
    addSettings()
  }

  /// Writes the page, whole or not at all.
  func write(to path: String) throws { try page.write(to: path) }

  // MARK: Summary

  private mutating func addSummary() {
    for run in runs {
      if runs.count == 1, let model = run.model {
        let settings = model.saved.configuration
        page.paragraph(
          "\(model.network.text), \(settings.activation.rawValue), \(settings.likelihood.rawValue);"
            + " \(grouped(model.network.parameterCount)) parameters, trained on \(settings.data)")
      }
      for event in run.events where event.event == "rollback" || event.event == "failure" {
        page.paragraph(
          "\(prefix(run))\(event.event == "failure" ? "Could not go on" : "Went back") at step"
            + " \(grouped(event.step)): \(event.message ?? "")", isWarning: true)
      }
      if run.model == nil {
        page.paragraph("\(prefix(run))There is no checkpoint: figures alone.", isWarning: true)
      }
      if let trouble = run.model?.trouble {
        page.paragraph(
          "\(prefix(run))The data cannot be read, so that reconstructions and latents are left out: \(trouble)",
          isWarning: true)
      }
      if let end = run.events.last, end.event == "end", let message = end.message {
        page.paragraph("\(prefix(run))Ended early: \(message).")
      }
    }
    if runs.count == 1 { keyFigures(runs[0]) } else { summaryTable() }
  }

  func prefix(_ run: RunFacts) -> String { runs.count == 1 ? "" : "\(run.name): " }

  private mutating func keyFigures(_ run: RunFacts) {
    var figures: [(name: String, value: String, note: String)] = []
    if let test = run.last("evaluate"), let elbo = test.elbo {
      let best = run.bestTestELBO.map { "best \(Self.nats($0)), " } ?? ""
      figures.append(("Test ELBO", Self.nats(elbo), "\(best)nats per example"))
      figures.append(
        ("Reconstruction", Self.nats(test.reconstructionLogLikelihood), "E[log p(x|z)], nats, test")
      )
      figures.append(
        ("KL divergence", Self.nats(test.klDivergence), "KL(q(z|x) ‖ p(z)), nats, test"))
    }
    if let train = run.last("train"), let elbo = train.elbo {
      figures.append(("Train ELBO", Self.nats(elbo), "nats per example, last epoch"))
    }
    if let model = run.model, model.portrait.exampleCount > 0 {
      let latent = model.saved.configuration.latent
      figures.append(
        (
          "Active units", "\(model.portrait.activeUnits) of \(latent)",
          "posterior means that vary by more than 0.01"
        ))
    }
    if let last = run.events.last {
      figures.append(
        (
          "Training", duration(last.wallSeconds),
          "\(grouped(last.step)) steps, \(grouped(last.examplesSeen)) examples"
        ))
    }
    page.keyFigures(figures)
  }

  private mutating func summaryTable() {
    page.table(
      [
        "run", "test ELBO", "best", "reconstruction", "KL", "train ELBO", "active units", "steps",
        "time",
      ],
      runs.map { run in
        let (test, train) = (run.last("evaluate"), run.last("train"))
        return [
          run.name, Self.nats(test?.elbo), Self.nats(run.bestTestELBO),
          Self.nats(test?.reconstructionLogLikelihood), Self.nats(test?.klDivergence),
          Self.nats(train?.elbo),
          run.model.flatMap {
            $0.portrait.exampleCount > 0
              ? "\($0.portrait.activeUnits) of \($0.saved.configuration.latent)" : nil
          } ?? "–",
          grouped(run.events.last?.step ?? 0), duration(run.events.last?.wallSeconds ?? 0),
        ]
      }, caption: "Nats per example")
    let digests = Set(runs.compactMap { $0.model?.saved.dataDigest })
    if digests.count > 1 {
      page.paragraph(
        "These runs had different data: their ELBOs cannot be compared.", isWarning: true)
    }
  }

  static func nats(_ value: Double?) -> String {
    value.map { String(format: "%.3f", $0).replacing("-", with: "−") } ?? "–"
  }

  // MARK: Curves

  private mutating func addCurves() {
    let charts = [
      ("ELBO", \MetricsEvent.elbo),
      ("Reconstruction E[log p(x|z)]", \.reconstructionLogLikelihood),
      ("KL(q(z|x) ‖ p(z))", \.klDivergence),
    ].compactMap { name, figure in curves(name, figure) }
    if charts.isEmpty { return }
    page.heading("Learning curves")
    page.row(charts)
  }

  private func curves(
    _ name: String, _ figure: KeyPath<MetricsEvent, Double?>
  ) -> HTMLPage.Part? {
    var series: [Chart.Series] = []
    var legend: [HTMLPage.Legend] = []
    for (number, run) in runs.enumerated() {
      for (event, split) in [("train", "train"), ("evaluate", "test")] {
        let points = run.events.filter { $0.event == event }.compactMap { event in
          event[keyPath: figure].map { (x: Double(event.examplesSeen), y: $0) }
        }
        if points.isEmpty { continue }
        // One run: a colour for each split. Several: a colour for each run.
        let color = runs.count == 1 ? (split == "test" ? 0 : 1) : number
        let label = runs.count == 1 ? split : "\(run.name), \(split)"
        series.append(
          Chart.Series(label, color: color, isDashed: split == "train", points: points))
        legend.append(HTMLPage.Legend(label, color: color, split == "train" ? .dashes : .line))
      }
    }
    if series.isEmpty { return nil }
    let shown = series.flatMap { Self.settled($0.points) }
    return .chart(
      Chart(
        name,
        ChartAxis(
          "training examples seen", series.flatMap { $0.points.map(\.x) }, includesZero: true),
        ChartAxis("nats per example", shown), .lines, series),
      caption: name, legend: legend)
  }

  // The heights of a curve but for its first steep part, which would leave no room for the rest.
  private static func settled(_ points: [(x: Double, y: Double)]) -> [Double] {
    let end = points.map(\.x).max() ?? 0
    let late = points.filter { $0.x > 0.08 * end }
    return (late.count >= 3 ? late : points).map(\.y)
  }

  // MARK: Images

  private mutating func addImages() {
    let rows = runs.map { run in run.model.map { images(run, $0) } ?? [] }
    let tables = runs.map { run in run.model.map { marginals($0) } ?? [] }
    if rows.allSatisfy(\.isEmpty) && tables.allSatisfy(\.isEmpty) { return }
    page.heading("What the model makes")
    for row in rows { page.row(row) }
    for (run, table) in zip(runs, tables) { add(table, of: run) }
  }

  private func images(_ run: RunFacts, _ model: RunFacts.Model) -> [HTMLPage.Part] {
    model.tile == nil
      ? series(run, model)
      : model.pictures.map { .picture($0.picture, caption: prefix(run) + $0.caption) }
  }

  // What is no image but has neighbours: a line each.
  private func series(_ run: RunFacts, _ model: RunFacts.Model) -> [HTMLPage.Part] {
    let (size, portrait) = (model.saved.inputs, model.portrait)
    if model.saved.configuration.likelihood == .table { return [] }
    return (0..<min(3, portrait.originals.count / size)).map { index in
      func points(_ values: [Float]) -> [(x: Double, y: Double)] {
        values[index * size..<(index + 1) * size].enumerated().map { (Double($0), Double($1)) }
      }
      let all = [
        Chart.Series("example", color: 1, isDashed: true, points: points(portrait.originals)),
        Chart.Series("reconstruction", color: 0, points: points(portrait.reconstructions)),
      ]
      return .chart(
        Chart(
          "A test example and its reconstruction", ChartAxis("value", [0, Double(size - 1)]),
          ChartAxis("x", all.flatMap { $0.points.map(\.y) }), .lines, all),
        caption: "\(prefix(run))A test example and what the decoder makes of its posterior mean",
        legend: [
          HTMLPage.Legend("example", color: 1, .dashes),
          HTMLPage.Legend("reconstruction", color: 0),
        ])
    }
  }

  // MARK: Latents

  private mutating func addLatents() {
    let rows = runs.map { run in run.model.map { latents(run, $0) } ?? [] }
    if rows.allSatisfy(\.isEmpty) { return }
    page.heading("Latents")
    for row in rows { page.row(row) }
  }

  private func latents(_ run: RunFacts, _ model: RunFacts.Model) -> [HTMLPage.Part] {
    let (portrait, latent) = (model.portrait, model.saved.configuration.latent)
    var parts: [HTMLPage.Part] = []
    if let divergences = portrait.divergences {
      let order = divergences.indices.sorted { divergences[$0] > divergences[$1] }
      let sorted = order.map { divergences[$0] }
      parts.append(
        .chart(
          Chart(
            "KL divergence of each latent",
            ChartAxis(
              "latents, the most informative first", [0.4, Double(latent) + 0.6],
              names: order.map { "z\(subscripted($0))" }),
            ChartAxis("nats", sorted, includesZero: true), .bars,
            [Chart.Series("KL", color: 0, points: sorted.enumerated().map { (Double($0 + 1), $1) })]
          ),
          caption:
            "\(prefix(run))KL(q(z|x) ‖ p(z)) of each latent over \(grouped(portrait.exampleCount))"
            + " test examples; \(portrait.activeUnits) of \(latent) are active"))
    }
    if latent >= 2 && !portrait.points.isEmpty { parts.append(scatter(run, model)) }
    return parts
  }

  private func scatter(_ run: RunFacts, _ model: RunFacts.Model) -> HTMLPage.Part {
    let (portrait, latent) = (model.portrait, model.saved.configuration.latent)
    var places: [(first: Double, second: Double)]
    var titles = ("z₀", "z₁")
    if latent == 2 {
      places = portrait.points.indices.map {
        (Double(portrait.means[2 * $0]), Double(portrait.means[2 * $0 + 1]))
      }
    } else {
      let components = PrincipalComponents(portrait.means, dimensions: latent)
      places = components.places
      func percent(_ share: Double) -> String { String(format: "%.0f %%", 100 * share) }
      titles = (
        "first principal component (\(percent(components.shares.first)) of the variance)",
        "second (\(percent(components.shares.second)))"
      )
    }
    let labels = model.labels ?? places.map { _ in 0 }
    let classes = Set(labels).sorted()
    let series = classes.map { label in
      Chart.Series(
        model.name(ofLabel: label), color: classes.count == 1 ? 0 : label,
        points: places.indices.filter { labels[$0] == label }.map {
          (places[$0].first, places[$0].second)
        })
    }
    let isColored = model.labels != nil && classes.count > 1
    return .chart(
      Chart(
        "Posterior means", ChartAxis(titles.0, places.map(\.first)),
        ChartAxis(titles.1, places.map(\.second)), .dots, series),
      caption: "\(prefix(run))Posterior means of \(grouped(places.count)) test examples"
        + (isColored ? ", coloured by label" : "")
        + (classes.count > Chart.colorCount ? "; every tenth label has the same colour" : ""),
      legend: isColored && classes.count <= Chart.colorCount
        ? classes.map { HTMLPage.Legend(model.name(ofLabel: $0), color: $0, .dot) } : [])
  }
}
