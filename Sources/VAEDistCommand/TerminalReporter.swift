import Checkpointing
import DataLoading
import Foundation
import TensorKernels
import Training
import VAEObjective

/// How much a run says.
enum Verbosity {
  case quiet
  case usual
  case verbose
}

/// Tells people how a run goes: a line an epoch, and on a terminal a progress bar below it.
final class TerminalReporter: TrainingObserver {
  private let drawsOnOutput: Bool
  private let isTerminal: Bool
  private var run: RunSummary?
  private var train: MetricsEvent?
  private var latestTest: MetricsEvent?
  private let clock = ContinuousClock()
  private var start: ContinuousClock.Instant
  private var lastDrawn: ContinuousClock.Instant
  private var pace = Pace()
  private var firstExample = 0
  private let writesEvents: Bool
  /// How much is said.
  let verbosity: Verbosity
  /// Where TensorBoard reads; nil where nobody asked, or it cannot be written.
  private(set) var eventFile: TensorBoardRecord?

  /// - Parameters:
  ///   - isLaunched: Whether a launcher stands between this process and its terminal.
  ///   - writesEvents: Whether TensorBoard is told, too.
  ///   - verbosity: How much is said.
  init(isLaunched: Bool, writesEvents: Bool = false, verbosity: Verbosity = .usual) {
    self.writesEvents = writesEvents
    self.verbosity = verbosity
    drawsOnOutput = isatty(STDOUT_FILENO) == 1 && (!isLaunched || Self.launcherHasTerminal)
    isTerminal =
      verbosity != .quiet && (drawsOnOutput || !isLaunched && isatty(STDERR_FILENO) == 1)
    start = clock.now
    lastDrawn = start
  }

  /// A line that is not needed by whoever wants quiet.
  func tell(_ line: String) {
    if verbosity != .quiet { say(line) }
  }

  // mpirun gives its ranks a terminal of its own whatever its output is, so its output is looked at.
  private static var launcherHasTerminal: Bool {
    let output = try? FileManager.default.destinationOfSymbolicLink(
      atPath: "/proc/\(getppid())/fd/1")
    return output?.hasPrefix("/dev/pts/") ?? false || output?.hasPrefix("/dev/tty") ?? false
  }

  func didSkip(_ checkpoint: CheckpointFolder.Skipped) { Self.tell(skipped: checkpoint) }

  /// Says which checkpoint is damaged and how.
  static func tell(skipped checkpoint: CheckpointFolder.Skipped) {
    complain("Skipped a checkpoint: \(checkpoint.reason)\n")
  }

  func willTrain(_ run: RunSummary) {
    self.run = run
    start = clock.now
    pace = Pace()
    firstExample = run.resumed?.examplesSeen ?? 0
    let settings = run.configuration
    let data = run.data
    tell(
      """
      vae-dist \(SavedModel.version): \(run.network), \(settings.activation.rawValue), \
      \(settings.likelihood.rawValue), \(grouped(run.parameterCount)) parameters
      \(settings.data): \(grouped(data.train.count)) training and \(grouped(data.test.count)) test \
      examples of \(grouped(data.train.width)) values from \(short(data.range.lowerBound)) to \
      \(short(data.range.upperBound))
      \(rankText(run.worldSize)) of \(threadText(run.threadCount)), batches of \(grouped(settings.globalBatchSize)), \
      \(grouped(run.totalSteps)) steps, results in \(run.runPath)
      """)
    if verbosity == .verbose {
      let versions = TrainingMachine.versions(usesMPI: run.worldSize > 1)
        .sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
      say("\(Processors.name); \(versions.joined(separator: ", "))")
      say("data SHA-256 \(run.data.digest)")
    }
    if let note = slownessNote(settings.precision.rawValue, run.relativeProductTime) { tell(note) }
    if let resumed = run.resumed {
      tell("Going on after step \(grouped(resumed.step))")
    }
    if writesEvents {
      tellTensorBoard {
        eventFile = try TensorBoardRecord(
          RunFolder(path: run.runPath), restart: run.resumed.map { $0.step + 1 },
          time: Date.now.timeIntervalSince1970 - run.secondsBefore)
      }
    }
  }

  /// Does what writes events; a run does not end because they cannot be written.
  func tellTensorBoard(_ work: () throws -> Void) {
    do { try work() } catch {
      draw("")
      complain("Warning: \(error); TensorBoard will see no more of this run\n")
      eventFile = nil
    }
  }

  func didStep(_ progress: TrainingProgress) {
    guard isTerminal, let run else { return }
    let now = clock.now
    pace.step(at: now)
    if lastDrawn.duration(to: now) < .milliseconds(100) { return }
    lastDrawn = now
    let seconds = start.duration(to: now) / .seconds(1)
    let done = Double(progress.step) / Double(run.totalSteps)
    let rate = Double(progress.examplesSeen - firstExample) / seconds
    let steps = run.totalSteps - progress.step
    let stepsPerPause = run.stepsPerEpoch * run.configuration.evaluateEvery
    let remaining = pace.seconds(
      steps: steps, pauses: (steps + stepsPerPause - 1) / stepsPerPause
    ).map { "  \(duration($0)) left" }
    let filled = Int(done * 24)
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 24 - filled)
    draw(
      "\(bar) \(Int(done * 100))%  epoch \(progress.epochInText)"
        + "  ELBO \(String(format: "%.2f", progress.epochELBO.elbo))"
        + "  \(grouped(Int(rate))) examples/s\(remaining ?? "")")
  }

  func didRollBack(_ reason: String, to progress: TrainingProgress) {
    draw("")
    train = nil
    complain(
      "Warning: \(reason); going back to step \(grouped(progress.step)) with 1/"
        + "\(1 << progress.rollbackCount) of the learning rate\n")
  }

  func didMeet(_ trouble: String) {
    draw("")
    train = nil
    complain("Warning: \(trouble)\n")
  }

  func didWrite(_ news: BackgroundWriter.News) {
    draw("")
    switch news {
    case .failed(let error):
      complain("Warning: \(error); training goes on, and this is tried again\n")
    case .recovered:
      complain("What could not be written has been written\n")
    }
  }

  func willCheckpoint(_ progress: TrainingProgress) {
    if verbosity != .verbose { return }
    draw("")
    say("checkpoint of step \(grouped(progress.step))")
  }

  func didRecord(_ event: MetricsEvent) {
    if let eventFile { tellTensorBoard { try eventFile.add(event) } }
    switch event.event {
    case "train": train = event
    case "evaluate":
      latestTest = event
      pace.pause()
    default: break
    }
    // An epoch's line waits for its evaluation, if it has one.
    guard let run, let train, let elbo = train.elbo else { return }
    let isEvaluated =
      event.event == "train" && event.epoch % run.configuration.evaluateEvery == 0
      || event.event == "train" && event.step == run.totalSteps
    if isEvaluated { return }
    guard event.event == "train" || event.event == "evaluate" else { return }
    draw("")
    var line = "epoch \(train.epoch), step \(grouped(train.step)):  train ELBO \(figure(elbo))"
    if let reconstruction = train.reconstructionLogLikelihood, let kl = train.klDivergence {
      line += " = \(figure(reconstruction)) - \(figure(kl))"
    }
    if let objective = train.objective { line += "  objective \(figure(objective))" }
    if event.event == "evaluate", let test = event.elbo { line += "  test ELBO \(figure(test))" }
    if let rate = train.examplesPerSecond { line += "  \(grouped(Int(rate))) examples/s" }
    tell(line)
    self.train = nil
  }

  func didStop(_ reason: StopReason, _ progress: TrainingProgress, runPath: String) {
    draw("")
    tell(
      "Stopped \(reason == .signal ? "by a signal" : "at the end of --walltime") after step"
        + " \(grouped(progress.step)), with a checkpoint; to go on: vae-dist train --run"
        + " \(shellQuoted(runPath))"
        + " --resume")
  }

  func didFinish(
    _ progress: TrainingProgress, runPath: String, lostPatience: Bool, end: RunEnd?
  ) {
    draw("")
    guard let end else {
      tell(
        "The run in \(runPath) is complete at step \(grouped(progress.step));"
          + (lostPatience
            ? " a larger --patience lets it go on" : " more --epochs or --steps extend it"))
      return
    }
    if lostPatience {
      tell(
        "Stopped early: the test ELBO has not risen for \(progress.evaluationsSinceBest)"
          + " evaluations; the best is of step \(grouped(progress.bestStep ?? 0))")
    }
    warn(end.posterior)
    let best = String(format: "%.3f", progress.bestTestELBO)
    let latest = latestTest?.elbo.map { String(format: "%.3f", $0) } ?? best
    tell(
      """
      \(Self.text(end))
      Done: test ELBO \(latest) nats per example after \(grouped(progress.step)) steps (best \(best))
      Checkpoints are in \(runPath)/checkpoints; next: vae-dist evaluate \
      \(shellQuoted(runPath + (progress.bestStep == progress.step ? "" : "/checkpoints/best")))
      """)
  }

  // What to say of a model whose latents tell nothing.
  private func warn(_ posterior: PosteriorSums) {
    guard let run, case let settings = run.configuration else { return }
    let hasStandardPrior = settings.prior == .standard
    if !posterior.isCollapsed(hasStandardPrior: hasStandardPrior) { return }
    complain(
      collapseWarning(
        activeUnits: posterior.activeUnitCount, latent: posterior.means.count,
        klDivergence: hasStandardPrior
          ? posterior.meanDivergences.reduce(0, +) : latestTest?.klDivergence ?? 0,
        advice: collapseAdvice(settings, steps: run.totalSteps))
        + "\n")
  }

  // The short form of the table that `benchmark` prints.
  private static func text(_ end: RunEnd) -> String {
    let times = end.times
    func share(_ seconds: Double) -> String {
      String(format: "%.0f%%", 100 * seconds / max(times.total, 1e-9))
    }
    let step = times.total / Double(max(times.stepCount, 1))
    var parts = [
      "data \(share(times.data))", "forward \(share(times.forward))",
      "backward \(share(times.backward))", "optimizer \(share(times.optimizer))",
    ]
    if times.allReduceExposed + times.allReduceHidden > 0.001 * times.total {
      parts.append(
        "all-reduce \(share(times.allReduceExposed)) (and \(share(times.allReduceHidden)) hidden)")
    }
    return String(format: "Steps took %.2f ms: ", 1000 * step) + parts.joined(separator: ", ")
      + "; \(share(end.productSeconds)) of the rate that the"
      + " matrix products alone would allow; checkpoints held them up for"
      + String(format: " %.2f s", end.checkpointSeconds)
  }

  // Replaces the line that the bar is on.
  private func draw(_ line: String) {
    guard isTerminal else { return }
    let text = "\r\u{1b}[2K\(line)"
    if drawsOnOutput { show(text) } else { complain(text) }
  }

  private func short(_ value: Float) -> String { String(format: "%g", value) }
}
