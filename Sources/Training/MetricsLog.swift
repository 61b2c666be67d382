internal import Checkpointing

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
  /// `train`, `evaluate`, `checkpoint`, `rollback`, `failure` or `end`.
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
final class MetricsLog {
  private let path: String
  private let descriptor: Int32

  /// Opens the file for more lines, after dropping those beyond a step: a run that goes on from a
  /// checkpoint says again what it had said after it.
  ///
  /// - Returns: With the log, the seconds that the run had taken by its last kept line, and the step
  ///   of its last kept checkpoint.
  static func open(
    _ path: String, keepingUpTo step: Int
  ) throws(CheckpointError) -> (log: MetricsLog, wallSeconds: Double, checkpointStep: Int?) {
    var seconds = 0.0
    var checkpointStep: Int?
    if DurableFile.exists(path) {
      guard let data = try? Data(contentsOf: URL(filePath: path)) else {
        throw .unreadable(path: path, reason: "it exists, but this user may not read it")
      }
      let decoder = JSONDecoder()
      let kept = data.split(separator: UInt8(ascii: "\n")).filter { line in
        guard let event = try? decoder.decode(MetricsEvent.self, from: Data(line)),
          event.step <= step
        else { return false }
        seconds = event.wallSeconds
        if event.event == "checkpoint" { checkpointStep = event.step }
        return true
      }
      let text = kept.map { String(decoding: $0, as: UTF8.self) + "\n" }.joined()
      try DurableFile.replace(path, with: text)
    }
    return (try MetricsLog(path), seconds, checkpointStep)
  }

  private init(_ path: String) throws(CheckpointError) {
    self.path = path
    descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    if descriptor < 0 {
      throw .unwritable(path: path, reason: String(cString: strerror(errno)))
    }
  }

  deinit {
    close(descriptor)
  }

  /// Returns when every line is durable.
  func sync() throws(CheckpointError) {
    // Devices and pipes cannot be synced and say so with EINVAL.
    if fsync(descriptor) != 0 && errno != EINVAL {
      throw .unwritable(path: path, reason: String(cString: strerror(errno)))
    }
  }

  func append(_ event: MetricsEvent) throws(CheckpointError) {
    let line = event.line + "\n"
    let count = line.withCString { write(descriptor, $0, line.utf8.count) }
    if count != line.utf8.count {
      let reason = count < 0 ? String(cString: strerror(errno)) : "the disk is full"
      throw .unwritable(path: path, reason: reason)
    }
  }
}
