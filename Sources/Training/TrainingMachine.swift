internal import Collectives
internal import TensorKernels

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// Who computes: processes, processors, and the versions of what they run.
public struct TrainingMachine: Codable, Sendable, Equatable {
  /// Processes.
  public let ranks: Int
  /// Threads of rank 0.
  public let threads: Int
  /// Where they run, each host once.
  public let hosts: [String]
  /// Rank 0's processor.
  public let processor: String
  /// Versions by the name of the program or library.
  public let versions: [String: String]
  /// When it was asked, ISO 8601, UTC.
  public let time: String

  init(ranks: Int, threads: Int, hosts: [String], usesMPI: Bool) {
    self.ranks = ranks
    self.threads = threads
    self.hosts = Set(hosts).sorted()
    processor = Processors.name
    versions = Self.versions(usesMPI: usesMPI)
    time = Date.now.formatted(.iso8601)
  }

  /// Versions by name; MPI's where it is in use.
  public static func versions(usesMPI: Bool) -> [String: String] {
    var versions = ["vae-dist": SavedModel.version, "oneDNN": MatrixProduct.libraryVersion]
    if usesMPI { versions["MPI"] = MPICommunicator.libraryVersion }
    return versions
  }
}
