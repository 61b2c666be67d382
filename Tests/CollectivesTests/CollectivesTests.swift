import Collectives
import TestSupport
import Testing

@Suite(.serialized) struct CollectivesTests {
  @Test(arguments: 1...4, ["all", "started", "shared"])
  func everyRankReceivesWhatAllGave(worldSize: Int, part: String) throws {
    let outcome = try Launch.ranks(worldSize, "rank-program", [part])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = outcome.output.split(separator: "\n").map(String.init).sorted()
    #expect(lines == (0..<worldSize).map { "rank \($0) of \(worldSize) agrees" })
  }

  @Test(arguments: ["all", "started", "shared"])
  func aGroupOfOneAgreesWithItself(part: String) throws {
    // Outside mpirun the same program is the group of one.
    let outcome = try Launch.alone("rank-program", [part])
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output == "rank 0 of 1 agrees\n")
  }

  @Test func localModeMakesNoMPICall() throws {
    // A library that cannot start would be noticed, were it asked.
    let outcome = try Launch.alone(
      "rank-program", ["all"], environment: ["OMPI_MCA_pml": "no-such-component"])
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  @Test func aRankThatAbortsEndsAll() throws {
    let outcome = try Launch.ranks(3, "rank-program", ["abort"], seconds: 20)
    #expect(outcome.status == 42)
  }

  @Test func anErrorOfMPIArrivesWithItsText() throws {
    let outcome = try Launch.ranks(2, "rank-program", ["unequal"], seconds: 20)
    #expect(outcome.status == 69)
    #expect(outcome.errors.contains("all-reduce failed: MPI error 15 (MPI_ERR_TRUNCATE"))
  }

  @Test func theEnvironmentTellsTheLauncher() {
    #expect(!Launcher(environment: [:]).isLaunchedByMPI)
    #expect(!Launcher(environment: ["SLURM_PROCID": "3"]).isLaunchedByMPI)
    for name in ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"] {
      #expect(Launcher(environment: [name: "3"]).rank == 3)
    }
    #expect(Launcher(environment: ["OMPI_COMM_WORLD_SIZE": "2"]).rank == 0)
    #expect(throws: CollectiveError.self) {
      try Launcher(environment: ["SLURM_STEP_NUM_TASKS": "4"]).makeCommunicator()
    }
  }
}
