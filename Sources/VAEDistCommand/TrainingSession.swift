import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import Foundation
import Training

/// A training run from settings to its end, in a folder of its own.
struct TrainingSession {
  let ranks: Agreement
  let reporter: TerminalReporter?
  /// When training is to stop by itself; nil for never.
  var end: ContinuousClock.Instant?
  /// Whether the process ends with it.
  var isLast = false
  /// Whether `report.html` is written at its end.
  var writesReport = false
  /// Whether TensorBoard is shown what the model makes at its end.
  var writesEvents = false
  /// Where a configuration file gives which setting, for messages about its value.
  var places: [String: String] = [:]

  /// Trains.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - given: Settings as flags, the last of each counting.
  ///   - named: The run's folder; nil for the next free one.
  ///   - resume: Whether a run in the folder goes on.
  /// - Returns: The folder, and why the run ended before its last step if it did.
  /// - Throws: What a trainer throws.
  func run(
    flags given: [String], folder named: RunFolder?, resume: Bool
  ) throws -> (
    folder: RunFolder, stop: StopReason?
  ) {
    let communicator = ranks.communicator
    // From now on: what comes while data are loaded ends the run after its first step.
    let stopRequest = StopRequest(end: end, isLast: isLast)
    let isResuming = try named.map { try begin($0, resume: resume) } ?? false
    let saved =
      try isResuming ? named.flatMap { try Self.newestCheckpoint($0, ranks, reporter) } : nil

    // The settings of the run that goes on, then the configuration file's, then the flags.
    var configuration = try ranks.onEveryRank {
      let before = try saved?.configuration.flagsToGoOn ?? Self.flags(of: isResuming ? named : nil)
      let settings: TrainingConfiguration
      do {
        settings = try TrainOptions.parse(Self.join(before, given)).configuration
      } catch {
        throw UsageError(description: VAEDist.oneLine(TrainOptions.message(for: error)))
      }
      do {
        try settings.validate(worldSize: communicator.worldSize)
      } catch let error as TrainingError {
        let place =
          switch error {
          case .invalidSetting(let name, _, _): places[name]
          case .unfitColumns: places["columns"]
          case .unfitNetwork: places["encoder"] ?? places["decoder"]
          default: nil as String?
          }
        guard let place else { throw error }
        throw UsageError(description: "\(place): \(error)")
      }
      return settings
    }
    try ranks.requireEqual(
      configuration.settings.filter { $0.name != "threads" }.map { ("--\($0.name)", $0.value) })

    configuration.initializeFrom = try initialFile(configuration.initializeFrom, saved: saved)
    let data = try PreparedData(
      configuration, agreement: ranks, known: try knownNames(configuration, saved))
    // What was resolved belongs to the run: it goes on, and repeats, from any folder.
    configuration.scale = Double(data.scale)
    configuration = configuration.resolved(for: data)
    configuration.data = Self.absolute(configuration.data)
    configuration.testData = configuration.testData.map(Self.absolute)
    configuration.labels = configuration.labels.map(Self.absolute)
    configuration.testLabels = configuration.testLabels.map(Self.absolute)
    // Asked on every rank, since --threads may be given on some only.
    let share = try Processors.defaultThreadCount(communicator)
    let threadCount = configuration.threads ?? share
    try ranks.onEveryRank {
      try Trainer.requireDataAndMemory(
        configuration, data: data, worldSize: communicator.worldSize,
        nodeSize: communicator.nodeSize, threadCount: threadCount)
    }
    let folder = try named ?? Self.makeFolder(for: configuration, ranks)
    let trainer = try Trainer(
      configuration, data: data, threadCount: threadCount, folder: folder, agreement: ranks,
      observer: reporter, stopRequest: stopRequest)
    let stop = try trainer.run(
      isResuming: isResuming, from: saved,
      configurationText: try ConfigurationFile.text(configuration))
    if (writesReport || writesEvents) && trainer.hasCompleted {
      try writeResults(folder, data, threads: threadCount)
    }
    return (folder, stop)
  }

  // What the model that goes on, or that a run starts from, calls values and classes: another number for one of them
  // would be another model. Nil where there is none, or it knows no names.
  private func knownNames(
    _ configuration: TrainingConfiguration, _ saved: SavedModel?
  ) throws -> DataNames? {
    let names = try ranks.onEveryRank {
      try saved?.names
        ?? configuration.initializeFrom.map { try SavedModel.names(in: SafetensorsFile(path: $0)) }
    }
    return names.flatMap { $0.isEmpty ? nil : $0 }
  }

  // The file that a new run starts from: of a run, its newest checkpoint as the root finds it.
  private func initialFile(_ path: String?, saved: SavedModel?) throws -> String? {
    guard let path, saved == nil else { return path }
    var file = path
    try ranks.onRoot {
      if DurableFile.isFolder(path) {
        file = try SavedModel(path: path) { reporter?.didSkip($0) }.file.path
      }
      file = Self.absolute(file)
    }
    return try ranks.communicator.broadcast(file)
  }

  // What goes wrong with results costs them alone.
  private func writeResults(_ folder: RunFolder, _ data: PreparedData, threads: Int) throws {
    do {
      let facts = try RunFacts(folder, data: data, threads: threads, ranks)
      try ranks.onRoot {
        reporter?.tellTensorBoard { try reporter?.eventFile?.add(facts) }
        if !writesReport { return }
        let path = ReportCommand.path(in: folder)
        try ReportPage([facts]).write(to: path)
        reporter?.tell("Report: \(path)")
      }
    } catch let failure as SharedFailure {
      if ranks.communicator.isRoot {
        complain("Warning: no report was written: \(failure.message)\n")
      }
    }
  }

  // A file or folder by its full path; a known name as it is.
  private static func absolute(_ data: String) -> String {
    // An array of an archive goes with its file.
    if let (file, array) = DataSource.split(data), let array {
      return "\(absolute(file)):\(array)"
    }
    return DurableFile.exists(data) ? URL(filePath: data).standardizedFileURL.path : data
  }

  // Of a flag given twice the last one counts. The length of a run has two flags: a later one of
  // them replaces an earlier other.
  static func join(_ earlier: [String], _ later: [String]) -> [String] {
    func names(_ flag: String) -> Bool {
      later.contains { $0 == flag || $0.hasPrefix("\(flag)=") }
    }
    let setsLength = names("--epochs") || names("--steps")
    return earlier.filter { flag in
      !setsLength || !(flag.hasPrefix("--epochs=") || flag.hasPrefix("--steps="))
    } + later
  }

  // The settings of a run that had not come to its first checkpoint.
  private static func flags(of folder: RunFolder?) throws -> [String] {
    guard let path = folder?.configurationPath, DurableFile.exists(path) else { return [] }
    return try ConfigurationFile(path: path).flags
  }

  // A new folder named after the data.
  private static func makeFolder(
    for configuration: TrainingConfiguration, _ ranks: Agreement
  ) throws -> RunFolder {
    let name = URL(filePath: configuration.data).lastPathComponent
    let base = "runs/" + (name.split(separator: ".").first.map(String.init) ?? "data")
    var path = ""
    try ranks.onRoot { path = try RunFolder.makeNextFree(base).path }
    return RunFolder(path: try ranks.communicator.broadcast(path))
  }

  // Whether there is a run to go on with; it is an error if there is one and nobody asked.
  private func begin(_ folder: RunFolder, resume: Bool) throws -> Bool {
    let communicator = ranks.communicator
    let holdsRun = try communicator.broadcast(folder.holdsRun ? "yes" : "no") == "yes"
    if holdsRun && !resume {
      try ranks.onEveryRank { throw TrainingError.runExists(path: folder.path) }
    }
    return holdsRun
  }

  // The root chooses; the others open the same file. Nil if the run had not come to its first.
  private static func newestCheckpoint(
    _ folder: RunFolder, _ ranks: Agreement, _ reporter: TerminalReporter?
  ) throws -> SavedModel? {
    var path = ""
    try ranks.onRoot {
      if folder.checkpoints.steps.isEmpty {
        if MetricsEvent.all(in: folder.metricsPath).contains(where: { $0.step > 0 }) {
          reporter?.didMeet("'\(folder.path)' holds no checkpoint any more; the run begins anew")
        }
        return
      }
      path = try SavedModel(path: folder.path) { reporter?.didSkip($0) }.file.path
    }
    path = try ranks.communicator.broadcast(path)
    return path.isEmpty ? nil : try ranks.onEveryRank { try SavedModel(path: path) }
  }
}
