/// What the environment says about how this process was started.
///
/// Read before MPI is up, so that local mode makes no MPI call and an early message comes from one
/// rank only.
public struct Launcher: Sendable {
  /// This process's rank according to the launcher; nil if none started it.
  public let rank: Int?

  // Open MPI's mpirun; PMI-1 and PMI-2 (MPICH's Hydra, Slurm's srun); PMIx (srun, prun).
  private static let rankVariables = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"]
  private static let otherVariables = ["OMPI_COMM_WORLD_SIZE"]

  private let unconnectedTasks: Int?

  /// Reads these variables.
  public init(environment: [String: String]) {
    let ranks = Self.rankVariables.compactMap { environment[$0].flatMap { Int($0) } }
    let isLaunched =
      !ranks.isEmpty || Self.otherVariables.contains { environment[$0] != nil }
    rank = isLaunched ? ranks.first ?? 0 : nil
    let tasks = environment["SLURM_STEP_NUM_TASKS"].flatMap { Int($0) } ?? 1
    unconnectedTasks = !isLaunched && tasks > 1 ? tasks : nil
  }

  /// Whether an MPI launcher started this process.
  public var isLaunchedByMPI: Bool { rank != nil }

  /// The group that this process belongs to.
  ///
  /// - Throws: ``CollectiveError`` if a launcher started it and MPI cannot start, or if Slurm started
  ///   several tasks that know nothing of each other.
  public func makeCommunicator() throws(CollectiveError) -> any Communicator {
    if let unconnectedTasks {
      throw CollectiveError(
        operation: "starting \(unconnectedTasks) tasks with srun", code: 0,
        text: "no MPI interface was asked for; use srun --mpi=pmix, or mpirun")
    }
    return isLaunchedByMPI ? try MPICommunicator.start() : SoloCommunicator()
  }
}
