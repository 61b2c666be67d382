import ArgumentParser
import Checkpointing
import Collectives
import Foundation
import TensorKernels
import Training
import VAEObjective

/// Whether everything so far went to standard output: a full disk under a log must not end a run, but
/// the exit status tells.
nonisolated(unsafe) private(set) var outputIsWhole = true

/// A line to standard output, at once.
func say(_ text: String) { show("\(text)\n") }

/// Text to standard output, at once.
func show(_ text: String) {
  // Only the main thread speaks.
  do {
    try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
  } catch {
    outputIsWhole = false
  }
}

/// Text to standard error, at once; if that fails there is nobody left to tell.
func complain(_ text: String) {
  try? FileHandle.standardError.write(contentsOf: Data(painted(text).utf8))
}

// Whether standard error is a terminal that colours may be sent to (no-color.org).
private let paints: Bool = {
  let environment = ProcessInfo.processInfo.environment
  return isatty(STDERR_FILENO) == 1 && environment["NO_COLOR", default: ""].isEmpty
    && environment["TERM"] != "dumb"
}()

// The first word in red or yellow, where it is a complaint.
private func painted(_ text: String) -> String {
  if !paints { return text }
  for (word, color) in [("Error:", 31), ("Warning:", 33)] where text.hasPrefix(word) {
    return "\u{1b}[1;\(color)m\(word)\u{1b}[0m\(text.dropFirst(word.count))"
  }
  return text
}

/// A figure in nats, in a column.
func figure(_ value: Double) -> String { String(format: "%10.3f", value) }

/// 60000 as `60,000`.
func grouped(_ number: Int) -> String {
  var text = String(number.magnitude)
  var index = text.count - 3
  while index > 0 {
    text.insert(",", at: text.index(text.startIndex, offsetBy: index))
    index -= 3
  }
  return number < 0 ? "-\(text)" : text
}

/// Seconds as `42s`, `3m20s` or `2h05m`.
func duration(_ seconds: Double) -> String {
  let whole = Int(seconds.rounded())
  if whole < 60 { return "\(whole)s" }
  if whole < 3600 { return "\(whole / 60)m" + String(format: "%02ds", whole % 60) }
  return "\(whole / 3600)h" + String(format: "%02dm", whole / 60 % 60)
}

/// What to say of products that are slower than in `f32`; nil if they are not.
func slownessNote(_ precision: String, _ relativeTime: Double) -> String? {
  relativeTime <= 1.1
    ? nil
    : String(
      format: "Note: on this processor, %@ products take %.1f times as long as f32 ones",
      precision, relativeTime)
}

/// What to say of a model whose decoder does without z, and the one thing to try.
func collapseWarning(
  activeUnits: Int, latent: Int, klDivergence: Double, advice: String
) -> String {
  "Warning: posterior collapse: the \(latent) latents together carry"
    + " \(String(format: "%.3f", max(klDivergence, 0))) nats, and \(activeUnits) of them"
    + " \(activeUnits == 1 ? "is" : "are") active (their posterior mean varies by more than 0.01);"
    + " \(advice)"
}

/// The one thing to try against posterior collapse, after a run of so many steps: something that its other
/// settings allow.
func collapseAdvice(_ settings: TrainingConfiguration, steps: Int) -> String {
  if settings.beta > 1 { return "a smaller --beta lets the latents tell more" }
  if steps < 100 { return "train for longer" }
  let isPlain = settings.bound == .elbo && settings.klCapacity == nil
  if isPlain && settings.klWarmupSteps == 0 && settings.klCycles == 0 && settings.freeBits == 0 {
    return "--kl-warmup-steps \(steps / 5) lets the KL divergence in later"
  }
  if isPlain && settings.prior == .standard && settings.freeBits == 0
    && settings.gradientEstimator == .standard
  {
    return "--free-bits 0.1 keeps a part of each latent free of cost"
  }
  return "a decoder with fewer or smaller layers needs the latents more"
}

/// `1 rank` or `4 ranks`.
func rankText(_ count: Int) -> String { count == 1 ? "1 rank" : "\(count) ranks" }

/// `1 thread` or `4 threads`.
func threadText(_ count: Int) -> String { count == 1 ? "1 thread" : "\(count) threads" }

/// One object as text that people can read and programs too.
func jsonText(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// Fails unless a number of threads can be had.
func checkThreads(_ threads: Int?) throws {
  guard let threads, threads < 1 || threads > 4096 else { return }
  throw ValidationError("--threads is \(threads); it must be from 1 to 4096")
}

extension SavedModel {
  /// The folder of the run that the checkpoint belongs to, or the one that it lies in.
  var runPath: String {
    let parent = file.path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    let own = parent.last == "checkpoints" ? parent.dropLast() : parent
    return own.isEmpty ? "." : own.joined(separator: "/")
  }

  /// Opens a checkpoint, or a folder's newest whole one as the root finds it, on every rank.
  ///
  /// Collective.
  static func openAlike(_ path: String, _ ranks: Agreement) throws -> SavedModel {
    var found = ""
    try ranks.onRoot {
      found = try SavedModel(path: path) { TerminalReporter.tell(skipped: $0) }.file.path
    }
    found = try ranks.communicator.broadcast(found)
    return try ranks.onEveryRank { try SavedModel(path: found) }
  }
}
