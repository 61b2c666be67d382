public import Collectives

/// A failure that every rank knows of, so that all end together and the root alone reports it.
public struct SharedFailure: Error, Equatable, CustomStringConvertible {
  /// The sentence to print.
  public let message: String
  /// The exit status.
  public let status: Int32
  /// The rank that failed, or nil where all ranks failed alike.
  public let rank: Int?
  /// Whether a figure of training was no longer a number.
  var isNotFinite = false

  /// The sentence.
  public var description: String { message }
}

/// Ranks that agree before they act: what fails on one fails on all, with the same words.
public struct Agreement: Sendable {
  /// The ranks.
  public let communicator: any Communicator
  let statusOf: @Sendable (any Error) -> Int32
  /// Who notices ranks that are lost; nil for nobody.
  public var watch: RankWatch?

  /// - Parameters:
  ///   - communicator: The ranks.
  ///   - statusOf: The exit status of an error.
  public init(
    _ communicator: any Communicator, statusOf: @escaping @Sendable (any Error) -> Int32
  ) {
    self.communicator = communicator
    self.statusOf = statusOf
  }

  /// Does something on every rank, and returns only if it succeeded on all of them.
  ///
  /// Collective. The work itself must not call collectives, since a rank that fails stops early.
  ///
  /// - Throws: ``SharedFailure`` on every rank if it failed on any; a `CollectiveError` if the ranks
  ///   could not be asked.
  public func onEveryRank<Value>(_ work: () throws -> Value) throws -> Value {
    var outcome = Result { try work() }
    var report: [UInt8] = []
    if case .failure(let error) = outcome {
      report = withUnsafeBytes(of: statusOf(error).littleEndian) { Array($0) }
      report += Array("\(error)".utf8)
    }
    let reports = try communicator.allGather(report)
    guard let rank = reports.firstIndex(where: { !$0.isEmpty }) else { return try outcome.get() }
    let first = reports[rank]
    let status = first.withUnsafeBytes { Int32(littleEndian: $0.loadUnaligned(as: Int32.self)) }
    let isShared = reports.allSatisfy { $0 == first }
    outcome = .failure(
      SharedFailure(
        message: String(decoding: first.dropFirst(4), as: UTF8.self), status: status,
        rank: isShared ? nil : rank))
    return try outcome.get()
  }

  /// Does something on the root only; the others wait and share its failure.
  ///
  /// Collective.
  public func onRoot(_ work: () throws -> Void) throws {
    do {
      try onEveryRank { if communicator.isRoot { try work() } }
    } catch let failure as SharedFailure {
      // No other rank tried, so the rank says nothing.
      throw SharedFailure(message: failure.message, status: failure.status, rank: nil)
    }
  }

  /// Compares named values that every rank must have alike.
  ///
  /// Collective; every rank gives the same names in the same order.
  ///
  /// - Throws: ``SharedFailure`` on every rank, with the first name whose values differ, two ranks
  ///   and both values.
  public func requireEqual(_ values: [(name: String, value: String)]) throws {
    let text = values.map { "\($0.name)\u{1f}\($0.value)" }.joined(separator: "\u{1e}")
    let texts = try communicator.allGather(Array(text.utf8))
    guard let other = texts.firstIndex(where: { $0 != texts[0] }) else { return }
    let (first, second) = (Self.fields(texts[0]), Self.fields(texts[other]))
    let difference = zip(first, second).first { $0 != $1 }
    try fail(
      TrainingError.ranksDisagree(
        what: difference?.0.name ?? "settings", rank: 0,
        value: difference?.0.value ?? "\(first.count)", otherRank: other,
        otherValue: difference?.1.value ?? "\(second.count)"))
  }

  /// Fails alike on every rank, for a reason that every rank has found for itself.
  ///
  /// - Throws: ``SharedFailure``, always.
  func fail(_ error: any Error) throws -> Never {
    var failure = SharedFailure(message: "\(error)", status: statusOf(error), rank: nil)
    if case TrainingError.notFinite = error { failure.isNotFinite = true }
    throw failure
  }

  /// Fails alike on every rank, because a figure is no longer a number.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - what: The figure.
  ///   - step: Where in the run.
  ///   - look: Finds the place on this rank; nil if it is not here. The first rank that finds it is named.
  ///   - guess: What to say where no rank finds it.
  /// - Throws: ``SharedFailure``, always.
  func failNotFinite(
    _ what: String, step: Int, _ look: () throws -> String?,
    orElse guess: () -> String? = { nil }
  ) throws -> Never {
    let found = try firstPlace(look)
    let place = try found.text ?? communicator.broadcast(guess() ?? "")
    try fail(TrainingError.notFinite(step: step, rank: found.rank, what: what, place: place))
  }

  /// The first rank that finds a place, and the place; the same on every rank.
  ///
  /// Collective.
  func firstPlace(_ look: () throws -> String?) throws -> (rank: Int?, text: String?) {
    let found = try onEveryRank(look)
    let places = try communicator.allGather(Array((found ?? "").utf8))
    let rank = places.firstIndex { !$0.isEmpty }
    return (rank, rank.map { String(decoding: places[$0], as: UTF8.self) })
  }

  private struct Field: Equatable {
    let name: String
    let value: String
  }

  private static func fields(_ bytes: [UInt8]) -> [Field] {
    String(decoding: bytes, as: UTF8.self).split(separator: "\u{1e}").map { line in
      let parts = line.split(separator: "\u{1f}", omittingEmptySubsequences: false)
      return Field(name: String(parts[0]), value: String(parts.last ?? ""))
    }
  }
}
