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
  /// The first element of it that differs, in the order of files.
  let element: Int
  /// Each rank's value of that element.
  let values: [Float]

  /// Compares all replicas.
  ///
  /// Collective.
  ///
  /// - Returns: Nil where all are the same to the bit.
  /// - Throws: A `CollectiveError`.
  static func find(
    _ replica: any Replica, step: Int, _ communicator: any Communicator
  ) throws -> ReplicaDifference? {
    let own = digest(replica.parameters.elements)
    let digests = try gather([own], communicator).map { $0[0] }
    if digests.allSatisfy({ $0 == own }) { return nil }
    let tensors = replica.layout.tensors
    let parts = try gather(
      tensors.map { tensor in
        tensor.read(from: replica.parameters).withUnsafeBufferPointer { digest($0) }
      }, communicator)
    let first = tensors.indices.first { index in parts.contains { $0[index] != parts[0][index] } }
    guard let tensor = first.map({ tensors[$0] }) else {
      return ReplicaDifference(
        step: step, tensor: "the padding of a tensor", digests: digests, element: 0, values: [])
    }
    let (element, values) = try firstDifference(
      tensor.read(from: replica.parameters), communicator)
    return ReplicaDifference(
      step: step, tensor: tensor.name, digests: digests, element: element, values: values)
  }

  // The first element in which any rank differs from the root, and what it is on each.
  private static func firstDifference(
    _ own: [Float], _ communicator: any Communicator
  ) throws -> (element: Int, values: [Float]) {
    var root = own
    try root.withUnsafeMutableBytes { try communicator.broadcast($0, from: 0) }
    let place = zip(own, root).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }?.offset
    var first = [Double(place ?? own.count)]
    try first.withUnsafeMutableBufferPointer { try communicator.allReduce($0, .min) }
    let element = min(Int(first[0]), own.count - 1)
    let bits = try gather([UInt64(own[element].bitPattern)], communicator).map {
      Float(bitPattern: UInt32(truncatingIfNeeded: $0[0]))
    }
    return (element, bits)
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
  ///
  /// Gradients have carried what was wrong to all ranks, but it is far larger where it came from.
  func wrongRanks(_ replica: any Replica, hosts: [String]) -> String? {
    guard let tensor = replica.layout.tensors.first(where: { $0.name == self.tensor }),
      values.count == digests.count
    else { return nil }
    let right = Double(tensor.read(from: replica.parameters)[element])
    func error(_ rank: Int) -> Double {
      let distance = abs(Double(values[rank]) - right)
      return distance.isNaN ? .infinity : distance
    }
    guard let nearest = values.indices.min(by: { error($0) < error($1) }) else { return nil }
    let wrong = values.indices.filter {
      values[$0].bitPattern != values[nearest].bitPattern && error($0) > error(nearest)
    }
    return wrong.isEmpty ? nil : Self.text(wrong, hosts: hosts)
  }

  // `rank 2 (host b)` or `ranks 0, 1 (hosts a, b)`.
  private static func text(_ ranks: [Int], hosts: [String]) -> String {
    let names = Set(ranks.map { hosts[$0] }).sorted()
    return (ranks.count == 1 ? "rank " : "ranks ") + ranks.map(String.init).joined(separator: ", ")
      + (names.count == 1 ? " (host " : " (hosts ") + names.joined(separator: ", ") + ")"
  }
}
