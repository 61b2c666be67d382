internal import Collectives
internal import Layers
internal import TensorKernels
internal import VAEObjective

/// Replicas whose parameters are not the same any more; the same on every rank.
struct ReplicaDifference: Error {
  /// Updates done.
  let step: Int
  /// The first tensor that differs.
  let tensor: String
  /// Each rank's digest of all parameters.
  let digests: [UInt64]

  /// Compares all replicas.
  ///
  /// Collective.
  ///
  /// - Returns: Nil where all are the same to the bit.
  /// - Throws: A `CollectiveError`.
  static func find(
    _ replica: any Replica, step: Int, _ communicator: any Communicator
  ) throws -> (digest: UInt64, difference: ReplicaDifference?) {
    let own = digest(replica.parameters.elements)
    if communicator.worldSize == 1 { return (own, nil) }
    let digests = try gather([own], communicator).map { $0[0] }
    if digests.allSatisfy({ $0 == own }) { return (own, nil) }
    let tensors = replica.layout.tensors
    let parts = try gather(
      tensors.map { tensor in
        tensor.read(from: replica.parameters).withUnsafeBufferPointer { digest($0) }
      }, communicator)
    let first = tensors.indices.first { index in parts.contains { $0[index] != parts[0][index] } }
    return (
      own,
      ReplicaDifference(
        step: step, tensor: first.map { tensors[$0].name } ?? "the padding of a tensor",
        digests: digests)
    )
  }

  private static func gather(
    _ numbers: [UInt64], _ communicator: any Communicator
  ) throws -> [[UInt64]] {
    try communicator.allGather(numbers.withUnsafeBytes { Array($0) }).map { bytes in
      bytes.withUnsafeBytes { raw in
        (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
      }
    }
  }

  /// Ranks with the same parameters, the largest group first.
  private var groups: [[Int]] {
    Dictionary(grouping: digests.indices) { digests[$0] }.values
      .sorted { ($1.count, $0[0]) < ($0.count, $1[0]) }
  }

  /// When, where, and whose.
  func summary(hosts: [String]) -> String {
    let groups = groups
    // Where a majority agrees the others are the odd ones.
    let isClear = groups[0].count > groups[1].count
    let ranks = (isClear ? Array(groups.dropFirst()) : groups)
      .map { Self.text($0, hosts: hosts) }.joined(separator: " and ")
    return "Replicas differ after step \(step), first in \(tensor): "
      + (isClear ? "\(ranks) against all others" : "\(ranks) against each other")
  }

  /// Which ranks had been wrong, once all have come to the step again; nil if none had.
  func wrongRanks(recomputed digest: UInt64, hosts: [String]) -> String? {
    let wrong = digests.indices.filter { digests[$0] != digest }
    return wrong.isEmpty ? nil : Self.text(wrong, hosts: hosts)
  }

  // `rank 2 (host b)` or `ranks 0, 1 (hosts a, b)`.
  private static func text(_ ranks: [Int], hosts: [String]) -> String {
    let names = Set(ranks.map { hosts[$0] }).sorted()
    return (ranks.count == 1 ? "rank " : "ranks ") + ranks.map(String.init).joined(separator: ", ")
      + (names.count == 1 ? " (host " : " (hosts ") + names.joined(separator: ", ") + ")"
  }
}
