import ArgumentParser
import Foundation

/// A published experiment: which runs it is made of, and what its authors found.
enum Experiment: String, CaseIterable, ExpressibleByArgument {
  /// Kingma & Welling 2014, Figure 2: the bound against training examples seen.
  case aevbFigure2 = "aevb-fig2"
  /// Burda, Grosse & Salakhutdinov 2016, Table 1, one stochastic layer: log-likelihoods.
  case iwaeTable1 = "iwae-table1"

  /// The data that runs need.
  enum DataName: String {
    case mnist
    case freyFace = "frey-face"
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
    /// The length of the run at a scale, as a flag.
    let length: (Double) -> String
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

  private static let figureSteps = 1_000_000.0  // of 100 examples
  private static let tableEpochs = 3280.0

  private static func curve(_ data: DataName, _ label: String, latent: Int) -> Run {
    Run(
      name: "\(data.rawValue)-\(latent)", data: data,
      preset: text(
        data == .mnist
          ? PackageResources.aevb_fig2_mnist_yaml : PackageResources.aevb_fig2_frey_face_yaml),
      flags: ["--latent=\(latent)"],
      length: { "--steps=\(max(1, Int((figureSteps * $0).rounded())))" },
      curve: "\(label)\(latent)")
  }

  private static func line(
    _ name: String, _ draws: Int, isWeighted: Bool, _ nats: Double, _ activeUnits: Int
  ) -> Run {
    Run(
      name: name, data: .mnist, preset: text(PackageResources.iwae_table1_yaml),
      flags: ["--draws=\(draws)"] + (isWeighted ? ["--bound=iwae"] : []),
      length: { "--epochs=\(max(1, Int((tableEpochs * $0).rounded())))" },
      published: (nats, activeUnits))
  }

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
