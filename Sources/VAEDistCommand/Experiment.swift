import ArgumentParser
import Foundation

/// A published experiment: which runs it is made of, and what its authors found.
enum Experiment: String, CaseIterable, ExpressibleByArgument {
  /// Kingma & Welling 2014, Figure 2: the bound against training examples seen.
  case aevbFigure2 = "aevb-fig2"
  /// Burda, Grosse & Salakhutdinov 2016, Table 1, one stochastic layer: log-likelihoods.
  case iwaeTable1 = "iwae-table1"

  /// The data that runs need, by the flag that names them.
  enum DataName: String {
    case mnist
    case freyFace = "frey-face"

    /// How people call them.
    var title: String { self == .mnist ? "MNIST" : "Frey Face" }
    /// Values of an example.
    var width: Int { self == .mnist ? 28 * 28 : 28 * 20 }
    /// Examples of the file to learn from.
    var exampleCount: Int { self == .mnist ? 60_000 : 1965 }
    /// Examples of the file to test; nil where there is none.
    var testExampleCount: Int? { self == .mnist ? 10_000 : nil }
  }

  /// One curve of the figure, or one line of the table.
  struct Run {
    /// The name of its folder: `mnist-20`.
    let name: String
    let data: DataName
    /// The text of its configuration file.
    let preset: String
    /// What the file leaves open.
    let flags: [String]
    /// The length of the run at a scale, as a flag, where there are so many training examples.
    let length: (_ scale: Double, _ exampleCount: Int) -> String
    /// The name of its curves in `aevb-fig2.csv`.
    var curve = ""
    /// The paper's negative log-likelihood, and its active units.
    var published: (nats: Double, activeUnits: Int)?
  }

  /// All runs.
  var runs: [Run] {
    switch self {
    case .aevbFigure2:
      [3, 5, 10, 20, 200].map { Self.curve(.mnist, "MNIST", latent: $0) }
        + [2, 5, 10, 20].map { Self.curve(.freyFace, "Frey", latent: $0) }
    case .iwaeTable1:
      [
        Self.line("vae-1", 1, isWeighted: false, 86.76, 19),
        Self.line("vae-5", 5, isWeighted: false, 86.47, 20),
        Self.line("vae-50", 50, isWeighted: false, 86.35, 20),
        Self.line("iwae-5", 5, isWeighted: true, 85.54, 22),
        Self.line("iwae-50", 50, isWeighted: true, 84.78, 25),
      ]
    }
  }

  /// Training examples of a curve.
  static let figureExamples = 1e8
  /// Passes over the training examples of a line.
  static let tableEpochs = 3280.0

  /// The steps in which a number of examples is seen, epoch after epoch, the last batch of each a short one.
  static func steps(toSee target: Double, of exampleCount: Int, batch: Int) -> Int {
    let stepsPerEpoch = (exampleCount + batch - 1) / batch
    let epochs = Int(target) / exampleCount
    let rest = Int(target) - epochs * exampleCount
    return max(epochs * stepsPerEpoch + (rest + batch - 1) / batch, 1)
  }

  private static func curve(_ data: DataName, _ label: String, latent: Int) -> Run {
    Run(
      name: "\(data.rawValue)-\(latent)", data: data,
      preset: text(
        data == .mnist
          ? PackageResources.aevb_fig2_mnist_yaml : PackageResources.aevb_fig2_frey_face_yaml),
      flags: ["--latent=\(latent)"],
      length: { scale, count in
        "--steps=\(steps(toSee: (figureExamples * scale).rounded(), of: count, batch: 100))"
      },
      curve: "\(label)\(latent)")
  }

  private static func line(
    _ name: String, _ draws: Int, isWeighted: Bool, _ nats: Double, _ activeUnits: Int
  ) -> Run {
    Run(
      name: name, data: .mnist, preset: text(PackageResources.iwae_table1_yaml),
      flags: ["--draws=\(draws)"] + (isWeighted ? ["--bound=iwae"] : []),
      length: { scale, _ in "--epochs=\(epochs(at: scale))" },
      published: (nats, activeUnits))
  }

  /// How far above its figure at full length a run of the table is after some epochs, nats, as measured;
  /// nil where nothing was.
  static func excess(afterEpochs epochs: Int) -> Double? {
    let measured: [(epochs: Double, nats: Double)] = [
      (10, 27.1), (33, 11.7), (98, 5.4), (328, 2.2), (tableEpochs, 0),
    ]
    let place = Double(epochs)
    guard let next = measured.firstIndex(where: { $0.epochs >= place }) else { return nil }
    let (high, low) = (measured[next], measured[max(next - 1, 0)])
    if next == 0 { return high.epochs == place ? high.nats : nil }
    return low.nats
      + log(place / low.epochs) / log(high.epochs / low.epochs) * (high.nats - low.nats)
  }

  /// Passes over the training examples at a scale.
  static func epochs(at scale: Double) -> Int { max(1, Int((tableEpochs * scale).rounded())) }

  static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// A lower bound against training examples seen.
struct BoundCurve {
  var points: [(examples: Double, nats: Double)] = []

  /// The bound at a number of examples, linear in its logarithm between points; nil outside them.
  func nats(at examples: Double) -> Double? {
    guard let next = points.firstIndex(where: { $0.examples >= examples }) else { return nil }
    let (high, low) = (points[next], points[max(next - 1, 0)])
    if high.examples == examples || next == 0 {
      return high.examples == examples ? high.nats : nil
    }
    let part = log(examples / low.examples) / log(high.examples / low.examples)
    return low.nats + part * (high.nats - low.nats)
  }

  /// The curves of the paper's Figure 2 by name and split: `MNIST20 test`.
  static let published: [String: BoundCurve] = {
    var curves: [String: BoundCurve] = [:]
    let lines = Experiment.text(PackageResources.aevb_fig2_csv).split(separator: "\n")
    for line in lines.dropFirst() {
      let fields = line.split(separator: ",")
      guard fields.count == 4, let examples = Double(fields[2]), let nats = Double(fields[3])
      else { continue }
      curves["\(fields[0]) \(fields[1])", default: BoundCurve()].points.append((examples, nats))
    }
    return curves
  }()
}
