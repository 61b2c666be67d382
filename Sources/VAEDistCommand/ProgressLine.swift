import Foundation

/// How far a long piece of work has come, on a terminal.
final class ProgressLine {
  private let what: String
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = ContinuousClock.now
  private var shownAt = ContinuousClock.now

  init(_ what: String) {
    self.what = what
  }

  func show(_ done: Int, of count: Int) {
    if !isTerminal { return }
    if done == count { return complain("\r\u{1b}[2K") }
    let now = ContinuousClock.now
    if now - shownAt < .milliseconds(200) { return }
    shownAt = now
    let seconds = (now - start) / .seconds(1)
    let rest = seconds * Double(count - done) / Double(max(done, 1))
    complain(
      "\r\u{1b}[2K\(what): \(grouped(done)) of \(grouped(count))"
        + (seconds > 1 && done > 0 ? ", \(duration(rest)) left" : ""))
  }
}
