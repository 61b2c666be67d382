import Checkpointing
import Foundation
import Reporting
import Training

// How fast a run was, and what it was.

extension ReportPage {
  private static let phases = ["data", "forward", "backward", "all_reduce", "optimizer", "other"]

  /// Rates by ranks and threads, and where a step's time went.
  mutating func addSpeed() {
    let spans = runs.flatMap { run in run.spans.map { (run, $0) } }
    if spans.isEmpty { return }
    page.heading("Speed")
    // Rates of one network and batch can be compared: with that of the fewest cores.
    func work(_ run: RunFacts) -> String {
      let settings = run.model?.saved.configuration
      return "\(run.model?.network.text ?? run.name) \(settings?.globalBatchSize ?? 0)"
    }
    let rows = spans.map { run, span -> [String] in
      let alike = spans.filter { work($0.0) == work(run) && $0.1.examplesPerSecond != nil }
      let least = alike.min { $0.1.cores < $1.1.cores }?.1
      let speedUp = span.examplesPerSecond.flatMap { own in
        least?.examplesPerSecond.map { own / $0 }
      }
      let cores = Double(span.cores) / Double(max(least?.cores ?? 1, 1))
      return [
        run.name, "\(span.machine.ranks)", "\(span.machine.threads)",
        "\(span.machine.hosts.count)",
        span.examplesPerSecond.map { grouped(Int($0)) } ?? "–",
        speedUp.map { String(format: "%.2f", $0) } ?? "–",
        speedUp.map { String(format: "%.0f %%", 100 * $0 / cores) } ?? "–",
      ]
        + Self.phases.map { name in
          span.shares[name].map { String(format: "%.0f %%", 100 * $0) } ?? "–"
        }
    }
    page.table(
      ["run", "ranks", "threads each", "hosts", "examples/s", "speed-up", "efficiency"]
        + Self.phases.map { $0.replacing("_", with: "-") }, rows,
      caption:
        "Median rate of the epochs; speed-up over the fewest cores on the same network and batch,"
        + " and what part that is of the cores added; where the time of a step went")
  }

  /// Every setting, and what computed.
  mutating func addSettings() {
    if runs.count > 1 { addDifferences() }
    for run in runs {
      if let model = run.model {
        page.heading(runs.count == 1 ? "Settings" : "Settings of \(run.name)")
        page.list(model.saved.configuration.settings.filter { $0.value != "default" })
      }
      page.heading(runs.count == 1 ? "Origin" : "Origin of \(run.name)")
      page.list(origin(run))
    }
  }

  private mutating func addDifferences() {
    let settings = runs.map { run in
      Dictionary(
        uniqueKeysWithValues: (run.model?.saved.configuration.settings ?? []).map {
          ($0.name, $0.value)
        })
    }
    let names = runs.compactMap(\.model).first?.saved.configuration.settings.map(\.name) ?? []
    let different = names.filter { name in Set(settings.map { $0[name] ?? "–" }).count > 1 }
    page.heading("What differs")
    if different.isEmpty {
      page.paragraph("All settings are the same.")
    } else {
      page.table(
        ["setting"] + runs.map(\.name),
        different.map { name in [name] + settings.map { $0[name] ?? "–" } })
    }
  }

  private func origin(_ run: RunFacts) -> [(name: String, value: String)] {
    var pairs: [(name: String, value: String)] = []
    if let saved = run.model?.saved {
      pairs += [
        ("checkpoint", saved.file.path), ("step", grouped(saved.progress.step)),
        ("checkpoint SHA-256", saved.file.metadata[SafetensorsFile.digestKey] ?? "–"),
        ("data SHA-256", saved.dataDigest),
      ]
    }
    let machines = run.events.compactMap(\.machine)
    if let first = machines.first, let last = machines.last {
      pairs.append(("begun", first.time))
      if machines.count > 1 { pairs.append(("gone on last", last.time)) }
      pairs.append(("hosts", last.hosts.joined(separator: ", ")))
      pairs.append(("processor", last.processor))
      pairs += last.versions.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }
    return pairs
  }
}
