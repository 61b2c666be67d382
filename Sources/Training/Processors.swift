internal import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// The processor cores that a rank may use.
public enum Processors {
  /// Threads for a rank where none are asked for.
  ///
  /// A launcher that binds ranks has decided already: the rank's cores are its own. Otherwise the
  /// ranks of a node share its cores.
  public static func defaultThreadCount(ranksOnNode: Int) -> Int {
    let allowed = allowedProcessorCount() ?? onlineCount
    let isBound = allowed < onlineCount
    return max(1, isBound && ranksOnNode > 1 ? allowed : allowed / max(ranksOnNode, 1))
  }

  private static var onlineCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
