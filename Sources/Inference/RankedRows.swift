internal import Collectives
internal import DataLoading
internal import TensorKernels
internal import Training

/// Rows that all ranks compute together, and that the root is told in order.
///
/// Rows are computed in groups of ``Evaluator/groupSize``, each by one thread with products of one shape,
/// so that they depend neither on the number of ranks nor on that of threads.
struct RankedRows {
  private static let mostBytes = 64 << 20  // of all ranks' rows at a time

  let model: LoadedModel
  /// Told now and then how many rows are done, on the root.
  let progress: (Int, Int) -> Void

  /// Computes some rows.
  ///
  /// Collective.
  ///
  /// - Parameters:
  ///   - count: How many rows there are.
  ///   - width: Elements of a row.
  ///   - compute: Gives the elements of a range of rows; the groups are ranges within it.
  ///   - receive: Takes them, on the root, range after range.
  /// - Throws: `SharedFailure` if any of it fails anywhere.
  func forEach<Element: BitwiseCopyable>(
    of count: Int, width: Int,
    _ compute: (_ rows: Range<Int>, _ groups: [Range<Int>]) throws -> [Element],
    receive: (_ rows: Range<Int>, _ elements: [Element]) throws -> Void
  ) throws {
    let agreement = model.agreement
    let communicator = agreement.communicator
    let size = Evaluator.groupSize
    let groupCount = (count + size - 1) / size
    let groupBytes = max(size * width * MemoryLayout<Element>.stride, 1)
    let perRank = max(
      1, min(model.team.count, Self.mostBytes / groupBytes / communicator.worldSize))
    let step = perRank * communicator.worldSize
    for first in stride(from: 0, to: groupCount, by: step) {
      let groups = first..<min(first + step, groupCount)
      let own = EpochSampler.slice(
        of: groups, rank: communicator.rank, worldSize: communicator.worldSize)
      let rows = Self.rows(own, size, count)
      let elements = try agreement.onEveryRank {
        try rows.isEmpty
          ? []
          : compute(
            rows,
            own.map { group in
              let range = Self.rows(group..<group + 1, size, count)
              return range.lowerBound - rows.lowerBound..<range.upperBound - rows.lowerBound
            })
      }
      let parts = try communicator.allGather(elements.withUnsafeBytes { Array($0) })
      try agreement.onRoot {
        let all = Self.rows(groups, size, count)
        var joined: [Element] = []
        joined.reserveCapacity(all.count * width)
        for part in parts {
          part.withUnsafeBytes { raw in
            for index in 0..<raw.count / MemoryLayout<Element>.stride {
              joined.append(
                raw.loadUnaligned(
                  fromByteOffset: index * MemoryLayout<Element>.stride, as: Element.self))
            }
          }
        }
        try receive(all, joined)
        progress(all.upperBound, count)
      }
    }
  }

  private static func rows(_ groups: Range<Int>, _ size: Int, _ count: Int) -> Range<Int> {
    let start = min(groups.lowerBound * size, count)
    return start..<max(start, min(groups.upperBound * size, count))
  }
}
