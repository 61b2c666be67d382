import Foundation
import Training

/// What came of an experiment, beside what was published; its JSON is a contract.
struct Reproduction: Codable {
  /// One run.
  struct Result: Codable {
    /// The run's name.
    let run: String
    /// The part of its length that was trained.
    let scale: Double
    /// Training examples seen by its end.
    let examplesSeen: Int
    /// The paper's test bound after as many examples, nats; and ours.
    var paperTestBound: Double?
    var testBound: Double?
    /// The paper's training bound, and ours.
    var paperTrainBound: Double?
    var trainBound: Double?
    /// The paper's negative log-likelihood at full length, nats; ours, and its standard error.
    var paperNegativeLogLikelihood: Double?
    var negativeLogLikelihood: Double?
    var standardError: Double?
    /// Draws per example that it was found by; the paper's were 5,000.
    var importanceSamples: Int?
    /// Latents whose posterior mean varies.
    var paperActiveUnits: Int?
    var activeUnits: Int?

    // For the figure.
    var curveName = ""
    var test = BoundCurve()
    var train = BoundCurve()

    enum CodingKeys: String, CodingKey {
      case run
      case scale
      case examplesSeen = "examples_seen"
      case paperTestBound = "paper_test_bound"
      case testBound = "test_bound"
      case paperTrainBound = "paper_train_bound"
      case trainBound = "train_bound"
      case paperNegativeLogLikelihood = "paper_negative_log_likelihood"
      case negativeLogLikelihood = "negative_log_likelihood"
      case standardError = "standard_error"
      case importanceSamples = "importance_samples"
      case paperActiveUnits = "paper_active_units"
      case activeUnits = "active_units"
    }

    /// A curve of the figure, from a run's events.
    init(_ run: Experiment.Run, scale: Double, curves events: [MetricsEvent]) {
      self.run = run.name
      self.scale = scale
      curveName = run.curve
      examplesSeen = events.last?.examplesSeen ?? 0
      func curve(_ event: String) -> BoundCurve {
        BoundCurve(
          points: events.filter { $0.event == event && $0.examplesSeen > 0 }.compactMap { event in
            event.elbo.map { (Double(event.examplesSeen), $0) }
          })
      }
      test = curve("evaluate")
      train = curve("train")
      testBound = test.points.last?.nats
      trainBound = train.points.last?.nats
      let end = Double(examplesSeen)
      paperTestBound = BoundCurve.published["\(run.curve) test"]?.nats(at: end)
      paperTrainBound = BoundCurve.published["\(run.curve) train"]?.nats(at: end)
    }

    /// A line of the table, from an evaluation.
    init(_ run: Experiment.Run, scale: Double, report: EvaluationReport) {
      self.run = run.name
      self.scale = scale
      examplesSeen = report.examplesSeen
      paperNegativeLogLikelihood = run.published?.nats
      negativeLogLikelihood = report.importanceWeightedBound.map { -$0 }
      standardError = report.importanceWeightedBoundStandardError
      importanceSamples = report.importanceSamples
      paperActiveUnits = run.published?.activeUnits
      activeUnits = report.activeUnits
    }
  }

  let experiment: String
  let results: [Result]

  init(experiment: Experiment, results: [Result]) {
    self.experiment = experiment.rawValue
    self.results = results
  }

  /// Which experiment a file holds the results of; `something else` if it cannot be read.
  static func experiment(in path: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    return (try? JSONDecoder().decode(Reproduction.self, from: data))?.experiment
      ?? "something else"
  }

  /// What is known of the runs in a folder; curves come from the runs' own records.
  static func results(in folder: String, of experiment: Experiment) -> [Result] {
    guard let data = FileManager.default.contents(atPath: "\(folder)/results.json"),
      let before = try? JSONDecoder().decode(Reproduction.self, from: data),
      before.experiment == experiment.rawValue
    else { return [] }
    return before.results.compactMap { result in
      guard let run = experiment.runs.first(where: { $0.name == result.run }) else { return nil }
      if experiment == .iwaeTable1 { return result }
      let path = RunFolder(path: "\(folder)/\(run.name)").metricsPath
      return Result(run, scale: result.scale, curves: MetricsEvent.all(in: path))
    }
  }

  // MARK: Text

  /// Paper against ours, a line a run.
  var table: String {
    func cell(_ value: Double?, _ format: String = "%.1f") -> String {
      value.map { String(format: format, $0) } ?? "-"
    }
    var rows: [[String]]
    if results.contains(where: { $0.negativeLogLikelihood != nil }) {
      rows = [["run", "examples", "NLL: paper", "ours", "error", "draws", "active: paper", "ours"]]
      for result in results {
        rows.append([
          result.run, grouped(result.examplesSeen),
          cell(result.paperNegativeLogLikelihood, "%.2f"),
          cell(result.negativeLogLikelihood, "%.2f"), cell(result.standardError, "%.2f"),
          result.importanceSamples.map { grouped($0) } ?? "-",
          result.paperActiveUnits.map(String.init) ?? "-",
          result.activeUnits.map(String.init) ?? "-",
        ])
      }
    } else {
      rows = [["run", "examples", "test: paper", "ours", "train: paper", "ours"]]
      for result in results {
        rows.append([
          result.run, grouped(result.examplesSeen), cell(result.paperTestBound),
          cell(result.testBound), cell(result.paperTrainBound), cell(result.trainBound),
        ])
      }
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      row.enumerated().map { column, text in
        let gap = String(repeating: " ", count: widths[column] - text.count)
        return column == 0 ? text + gap : gap + text
      }.joined(separator: "  ")
    }
    return "\nNats per example\n" + lines.joined(separator: "\n")
  }

  /// The figure's panels, one a run, as SVG.
  var figure: String {
    let panels = results.map { result in
      let name =
        result.run.hasPrefix("mnist") ? "MNIST" : "Frey Face"
      let latent = result.run.split(separator: "-").last ?? ""
      return Figure.Panel(
        title: "\(name), \(latent) latents",
        curves: [
          .init(.paperTest, BoundCurve.published["\(result.curveName) test"] ?? BoundCurve()),
          .init(.paperTrain, BoundCurve.published["\(result.curveName) train"] ?? BoundCurve()),
          .init(.test, result.test), .init(.train, result.train),
        ])
    }
    return Figure(panels: panels).svg
  }
}
