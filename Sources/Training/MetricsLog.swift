internal import Checkpointing
internal import Synchronization

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

#if canImport(Glibc)
internal import Glibc
#endif

/// One line of `metrics.jsonl`.
///
/// What does not apply to an event is left out.
///
/// The names are a contract: other programs read them.
public struct MetricsEvent: Codable, Sendable, Equatable {
  /// `start`, `train`, `evaluate`, `checkpoint`, `rollback`, `recomputation`, `failure` or `end`.
  public var event: String
  /// Updates done.
  public var step: Int
  /// The epoch, counted from 1.
  public var epoch: Int
  /// Training examples seen, repetitions counted.
  public var examplesSeen: Int
  /// What was scored: `train` or `test`.
  public var split: String?
  /// Nats per example.
  public var elbo: Double?
  /// Nats per example.
  public var reconstructionLogLikelihood: Double?
  /// Nats per example, ≥ 0.
  public var klDivergence: Double?
  /// What training raised where that is not the ELBO, nats per example.
  public var objective: Double?
  /// Training or scoring rate over the event's span, all ranks together.
  public var examplesPerSecond: Double?
  /// The part of the training time that rank 0 spent in all-reduce.
  public var allReduceShare: Double?
  /// Seconds since the run began, times that it did not run left out.
  public var wallSeconds: Double
  /// The checkpoint's file name.
  public var checkpoint: String?
  /// Why a run went back, or could not go on.
  public var message: String?
  /// The rate after going back.
  public var learningRate: Double?
  /// Who computes from a start on.
  public var machine: TrainingMachine?
  /// Where the time of the steps since the start went, seconds, by name.
  public var stepSeconds: [String: Double]?

  enum CodingKeys: String, CodingKey {
    case event
    case step
    case epoch
    case examplesSeen = "examples_seen"
    case split
    case elbo
    case reconstructionLogLikelihood = "reconstruction_log_likelihood"
    case klDivergence = "kl_divergence"
    case objective
    case examplesPerSecond = "examples_per_second"
    case allReduceShare = "all_reduce_share"
    case wallSeconds = "wall_seconds"
    case checkpoint
    case message
    case learningRate = "learning_rate"
    case machine
    case stepSeconds = "step_seconds"
  }

  /// The events of a file, in order.
  ///
  /// None if there is no such file; lines that are something else are passed over.
  public static func all(in path: String) -> [MetricsEvent] {
    guard let data = try? Data(contentsOf: URL(filePath: path)) else { return [] }
    let decoder = JSONDecoder()
    return data.split(separator: UInt8(ascii: "\n")).compactMap {
      try? decoder.decode(MetricsEvent.self, from: Data($0))
    }
  }

  /// The line, without its end.
  var line: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else {
      preconditionFailure("Figures are finite when an event is made: \(self)")
    }
    return String(decoding: data, as: UTF8.self)
  }
}

/// `metrics.jsonl`: a line at a time, each in one write.
///
/// All lines are kept in memory too: those that cannot be written are tried again with the next one, and a
/// file that is gone is made again. Two threads may use it.
final class MetricsLog: Sendable {
  private let path: String
  private let state: Mutex<State>

  private struct State {
    var lines: [String] = []
    var writtenCount = 0
    var descriptor: Int32 = -1
    var wallSeconds = 0.0
    var checkpointStep: Int?
  }

  /// Opens the file for more lines, after dropping those beyond a step: a run that goes on from a
  /// checkpoint says again what it had said after it.
  init(_ path: String, keepingUpTo step: Int) throws(CheckpointError) {
    self.path = path
    state = Mutex(State())
    if DurableFile.exists(path) {
      guard let data = try? Data(contentsOf: URL(filePath: path)) else {
        throw .unreadable(path: path, reason: "it exists, but this user may not read it")
      }
      state.withLock { state in
        state.lines = data.split(separator: UInt8(ascii: "\n")).map {
          String(decoding: $0, as: UTF8.self)
        }
      }
    }
    try keep(upTo: step)
  }

  deinit {
    state.withLock { if $0.descriptor >= 0 { _ = close($0.descriptor) } }
  }

  /// The seconds that the run had taken by its last kept line when the log was opened.
  var wallSeconds: Double { state.withLock { $0.wallSeconds } }
  /// The step of the last checkpoint that was kept then.
  var checkpointStep: Int? { state.withLock { $0.checkpointStep } }

  /// Drops lines beyond a step, and what is no event.
  func keep(upTo step: Int) throws(CheckpointError) {
    try locked { state throws(CheckpointError) in
      let decoder = JSONDecoder()
      var kept: [String] = []
      for line in state.lines {
        guard let event = try? decoder.decode(MetricsEvent.self, from: Data(line.utf8)),
          event.step <= step
        else { continue }
        state.wallSeconds = max(state.wallSeconds, event.wallSeconds)
        if event.event == "checkpoint" { state.checkpointStep = event.step }
        kept.append(line)
      }
      state.lines = kept
      try self.rewrite(&state)
    }
  }

  /// Adds a line; if it cannot be written now it is tried again later.
  func append(_ event: MetricsEvent) {
    let line = event.line
    state.withLock { $0.lines.append(line) }
    try? locked { state throws(CheckpointError) in try self.flush(&state) }
  }

  /// Returns when every line is durable.
  func sync() throws(CheckpointError) {
    try locked { state throws(CheckpointError) in
      try self.flush(&state)
      // Devices and pipes cannot be synced and say so with EINVAL.
      if fsync(state.descriptor) != 0 && errno != EINVAL { throw self.failure() }
    }
  }

  private func locked(
    _ body: (inout State) throws(CheckpointError) -> Void
  ) throws(CheckpointError) {
    var failure: CheckpointError?
    state.withLock { state in
      do throws(CheckpointError) { try body(&state) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  // The whole file anew.
  private func rewrite(_ state: inout State) throws(CheckpointError) {
    try DurableFile.replace(path, with: state.lines.map { "\($0)\n" }.joined())
    if state.descriptor >= 0 { close(state.descriptor) }
    state.descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if state.descriptor < 0 { throw failure() }
    state.writtenCount = state.lines.count
  }

  private func flush(_ state: inout State) throws(CheckpointError) {
    if !DurableFile.isSame(path, as: state.descriptor) { return try rewrite(&state) }
    while state.writtenCount < state.lines.count {
      let line = state.lines[state.writtenCount] + "\n"
      let end = lseek(state.descriptor, 0, SEEK_END)
      let count = line.withCString { write(state.descriptor, $0, line.utf8.count) }
      if count == line.utf8.count {
        state.writtenCount += 1
        continue
      }
      if count < 0 { throw failure() }
      // Half a line is none.
      ftruncate(state.descriptor, end)
      throw .unwritable(path: path, reason: "the disk is full")
    }
  }

  private func failure() -> CheckpointError {
    .unwritable(path: path, reason: String(cString: strerror(errno)))
  }
}
