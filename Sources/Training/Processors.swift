public import Collectives
internal import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// The processor cores that a rank may use.
public enum Processors {
  /// Threads for a rank where none are asked for: its share of the cores that it may run on.
  ///
  /// Ranks of one host that may run on the same cores share them equally; a rank that the launcher
  /// has bound to cores of its own takes all of those. Collective.
  ///
  /// - Throws: A `CollectiveError` if the ranks cannot be asked.
  public static func defaultThreadCount(_ communicator: any Communicator) throws -> Int {
    let mask = allowedProcessorMask()
    let cores =
      mask.isEmpty
      ? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) : mask.reduce(0) { $0 + $1.nonzeroBitCount }
    let own = hostName() + [0] + mask
    let sharing = try communicator.allGather(own).count { $0 == own }
    return max(1, cores / max(sharing, 1))
  }

  private static func hostName() -> [UInt8] {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  }
}
