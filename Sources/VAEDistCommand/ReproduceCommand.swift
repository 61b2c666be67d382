import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Training

struct ReproduceCommand: RankCommand {
  static let configuration = CommandConfiguration(
    commandName: "reproduce",
    abstract: "Run a published experiment, and set its figures beside ours.",
    discussion: """
      aevb-fig2 (Kingma & Welling 2014, Figure 2): lower bounds on MNIST with 3, 5, 10, 20 and 200 latents \
      and on Frey Face with 2, 5, 10 and 20, drawn in figure.svg. At scale 1 each run takes a million steps of 100 examples.
      iwae-table1 (Burda et al. 2016, Table 1): log-likelihoods of a VAE (k = 1, 5, 50) and an IWAE \
      (k = 5, 50) on MNIST. At scale 1 each run has 3,280 epochs.

      A command that was stopped goes on where it was. Runs under mpirun too.
      """)

  @Argument(help: "aevb-fig2 or iwae-table1.")
  var experiment: Experiment

  @Option(help: "MNIST: a folder with its four files.")
  var mnist: String?

  @Option(help: "Frey Face: an array of 28x20 images.")
  var freyFace: String?

  @Option(parsing: .unconditional, help: "The part of each run's length that is trained.")
  var scale = 1.0

  @Option(
    help: ArgumentHelp(
      "Some runs only: mnist-20,frey-face-10 or vae-1,iwae-5. (default: all)", valueName: "names"))
  var only: String?

  @Option(help: "The folder for results. (default: runs/<experiment>)")
  var run: String?

  @Option(
    parsing: .unconditional,
    help: "Draws per example of the log-likelihoods of iwae-table1. (default: 5000)")
  var importanceSamples: Int?

  @Option(parsing: .unconditional, help: "Threads of each rank. (default: its share of the cores)")
  var threads: Int?

  func validate() throws {
    if !(scale > 0 && scale <= 1) {
      throw ValidationError("--scale is \(scale); it must be above 0 and at most 1")
    }
    if let importanceSamples, importanceSamples < 1 || importanceSamples >= 1 << 24 {
      throw ValidationError(
        "--importance-samples is \(importanceSamples); it must be from 1 to 16777215")
    }
    if let importanceSamples, experiment == .aevbFigure2 {
      throw ValidationError(
        "--importance-samples \(importanceSamples) belongs to iwae-table1; aevb-fig2 compares bounds of"
          + " one draw")
    }
    for (flag, value) in [("--run", run), ("--mnist", mnist), ("--frey-face", freyFace)]
    where value?.isEmpty == true {
      throw ValidationError("\(flag) is empty; it names a file or folder, or is left out")
    }
    let names = experiment.runs.map(\.name)
    for name in chosenNames ?? [] {
      guard let named = experiment.runs.first(where: { $0.name == name }) else {
        throw ValidationError(
          "--only names '\(name)'; the runs of \(experiment.rawValue) are"
            + " \(names.joined(separator: ", "))")
      }
      if location(of: named.data) == nil {
        throw ValidationError(
          "--only names \(name), whose data are missing; give --\(named.data.rawValue) with where they"
            + " are")
      }
    }
    if chosenRuns.isEmpty {
      let flags = Set(experiment.runs.map { "--\($0.data.rawValue)" }).sorted()
      throw ValidationError(
        "no run has its data; give \(flags.joined(separator: " or ")) with where they are")
    }
  }

  private var chosenNames: [String]? {
    only?.split(separator: ",", omittingEmptySubsequences: false).map {
      $0.trimmingCharacters(in: .whitespaces)
    }
  }

  private func location(of data: Experiment.DataName) -> String? {
    data == .mnist ? mnist : freyFace
  }

  // Runs that are asked for and whose data are there.
  private var chosenRuns: [Experiment.Run] {
    experiment.runs.filter { run in
      location(of: run.data) != nil && chosenNames?.contains(run.name) ?? true
    }
  }

  mutating func run(on ranks: Agreement) throws {
    let communicator = ranks.communicator
    let reporter =
      communicator.isRoot ? TerminalReporter(isLaunched: communicator is MPICommunicator) : nil
    let root = run ?? "runs/\(experiment.rawValue)"
    try ranks.requireEqual([
      ("the experiment", experiment.rawValue), ("--run", root), ("--scale", "\(scale)"),
      ("--only", only ?? "default"), ("--mnist", mnist ?? "none"),
      ("--frey-face", freyFace ?? "none"),
      ("--importance-samples", importanceSamples.map(String.init) ?? "default"),
    ])
    // Before hours are spent on the first run.
    try ranks.onRoot { try checkFolder(root) }
    let (exampleCounts, notes) = try ranks.onEveryRank { try trainingExampleCounts() }
    if communicator.isRoot { for note in notes { say(note) } }
    let left = experiment.runs.filter { location(of: $0.data) == nil }
    if communicator.isRoot && chosenNames == nil, let first = left.first {
      say(
        "Left out without --\(first.data.rawValue): \(left.map(\.name).joined(separator: ", "))")
    }
    // What calls before this one found stays.
    var results = Reproduction.results(in: root, of: experiment)
    for run in chosenRuns {
      let length = run.length(scale, exampleCounts[run.data] ?? run.data.exampleCount)
      let folder = "\(root)/\(run.name)"
      try ranks.onEveryRank { try check(length, in: folder) }
      guard let result = try reproduce(run, length, in: folder, ranks, reporter) else { return }
      results.removeAll { $0.run == run.name }
      results.append(result)
      let order = experiment.runs.map(\.name)
      results.sort { order.firstIndex(of: $0.run) ?? 0 < order.firstIndex(of: $1.run) ?? 0 }
      // After every run, so that something is there to look at.
      let reproduction = Reproduction(experiment: experiment, results: results)
      try ranks.onRoot {
        try DurableFile.replace("\(root)/results.json", with: try jsonText(reproduction) + "\n")
        if experiment == .aevbFigure2 {
          try DurableFile.replace("\(root)/figure.svg", with: reproduction.figure)
        }
      }
    }
    let reproduction = Reproduction(experiment: experiment, results: results)
    if communicator.isRoot {
      say(reproduction.table)
      say(
        "Written: \(root)/results.json"
          + (experiment == .aevbFigure2 ? " and \(root)/figure.svg" : ""))
    }
  }

  private func reproduce(
    _ run: Experiment.Run, _ length: String, in folder: String, _ ranks: Agreement,
    _ reporter: TerminalReporter?
  ) throws -> Reproduction.Result? {
    let flags = try ranks.onEveryRank {
      var flags = try ConfigurationFile(text: run.preset, path: "the preset of \(run.name)").flags
      flags += run.flags
      flags += ["--data=\(location(of: run.data) ?? "")", length]
      if let threads { flags.append("--threads=\(threads)") }
      return flags
    }
    if ranks.communicator.isRoot { say("\n\(run.name): \(expectation(run))") }
    let (finished, stop) = try TrainingSession(ranks: ranks, reporter: reporter).run(
      flags: flags, folder: RunFolder(path: folder), resume: true)
    if stop != nil {
      if ranks.communicator.isRoot {
        say("The same command goes on with all of \(experiment.rawValue)")
      }
      return nil
    }
    if experiment == .aevbFigure2 {
      let events = MetricsEvent.all(in: finished.metricsPath)
      return Reproduction.Result(run, scale: scale, curves: events)
    }
    var path = ""
    try ranks.onRoot {
      path = try SavedModel(path: finished.path) { TerminalReporter.tell(skipped: $0) }.file.path
    }
    path = try ranks.communicator.broadcast(path)
    let saved = try ranks.onEveryRank { try SavedModel(path: path) }
    let share = try Processors.defaultThreadCount(ranks.communicator)
    let report = try EvaluationReport(
      saved, dataName: nil, scale: nil, split: .test, importanceSamples: importanceSamples ?? 5000,
      threadCount: threads ?? share, agreement: ranks)
    return Reproduction.Result(run, scale: scale, report: report)
  }

  // Data of another shape would give figures, but not those of the paper.
  private func trainingExampleCounts() throws -> (
    counts: [Experiment.DataName: Int], notes: [String]
  ) {
    var counts: [Experiment.DataName: Int] = [:]
    var notes: [String] = []
    for data in [Experiment.DataName.mnist, .freyFace]
    where chosenRuns.contains(where: { $0.data == data }) {
      guard let location = location(of: data) else { continue }
      let source = try DataSource(name: location)
      if source.train.width != data.width {
        throw UsageError(
          description:
            "'\(location)' has examples of \(source.train.width) values, and \(data.title) of"
            + " \(data.width); --\(data.rawValue) says where \(data.title) is")
      }
      let count = source.train.exampleCount
      let heldOut = Examples.heldOutCount(
        of: count, fraction: TrainingConfiguration().testFraction)
      counts[data] = source.test == nil ? count - heldOut : count
      if count != data.exampleCount || (source.test?.exampleCount != data.testExampleCount) {
        notes.append(
          "Note: '\(location)' is not \(data.title), of which there are"
            + " \(grouped(data.exampleCount)) images to learn from"
            + (data.testExampleCount.map { " and \(grouped($0)) to test" } ?? "")
            + "; what it gives cannot be held against the paper")
      }
    }
    return (counts, notes)
  }

  // One folder, one experiment.
  private func checkFolder(_ root: String) throws {
    let path = "\(root)/results.json"
    guard DurableFile.exists(path), let other = Reproduction.experiment(in: path) else { return }
    if other == experiment.rawValue { return }
    throw UsageError(
      description: "'\(root)' holds results of \(other); give another --run for"
        + " \(experiment.rawValue)")
  }

  // A run that is there can be finished, or made longer where its steps do not depend on its length.
  private func check(_ wanted: String, in folder: String) throws {
    let path = RunFolder(path: folder).configurationPath
    guard DurableFile.exists(path) else { return }
    let name = wanted.prefix { $0 != "=" } + "="
    func length(_ flag: String) -> Int { Int(flag.dropFirst(name.count)) ?? 0 }
    guard
      let before = try ConfigurationFile(path: path).flags.first(where: { $0.hasPrefix(name) })
    else { return }
    let fits = experiment == .aevbFigure2 ? length(wanted) >= length(before) : wanted == before
    if fits { return }
    throw UsageError(
      description: "'\(folder)' is a run with \(before), and --scale \(scale) asks for \(wanted);"
        + " use the scale that it began with, or another --run")
  }

  // How far the run should get.
  private func expectation(_ run: Experiment.Run) -> String {
    if let published = run.published {
      let epochs = Experiment.epochs(at: scale)
      return
        "\(grouped(epochs)) of the paper's \(grouped(Int(Experiment.tableEpochs))) epochs, after which its"
        + " negative log-likelihood is \(published.nats) nats"
        + (Experiment.excess(afterEpochs: epochs).map {
          "; so far it should get to about \(String(format: "%.1f", published.nats + $0))"
        } ?? "; after so few it is still far above")
    }
    let examples = (Experiment.figureExamples * scale).rounded()
    let text = grouped(Int(examples))
    guard let nats = BoundCurve.published["\(run.curve) test"]?.nats(at: examples) else {
      return "\(text) examples; the paper's curve begins at 1,000,000"
    }
    return "at \(text) examples the paper's test bound is \(String(format: "%.1f", nats)) nats"
  }
}
