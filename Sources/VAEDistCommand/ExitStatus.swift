import ArgumentParser
import Checkpointing
import Collectives
import DataLoading
import TensorKernels
import Training

/// The exit status of each kind of failure, after BSD's `sysexits`.
enum ExitStatus: Int32 {
  case done = 0
  case notFinite = 1
  case usage = 64
  case data = 65
  case inputMissing = 66
  case libraryRefused = 69
  case bug = 70
  case cannotWrite = 74
  case ranksDiffer = 78

  /// The table of `--help` and of the README.
  static let table = """
    EXIT STATUS:
      0   done
      1   training stopped because the ELBO was not finite
      64  wrong use of flags
      65  data or checkpoint not as expected
      66  input missing
      69  MPI or oneDNN refused, or memory ran out
      70  a bug, of the program or the machine: replicas that differ
      74  could not write
      75  a rank died or came no further; --resume goes on
      78  ranks were started with different programs, settings or data
    """

  /// The status of an error.
  static func of(_ error: any Error) -> Int32 {
    switch error {
    case let error as SharedFailure: error.status
    case is UsageError, is ThreadsRefused: usage.rawValue
    case let error as DataError: of(error).rawValue
    case let error as CheckpointError: of(error).rawValue
    case let error as TrainingError: of(error).rawValue
    case is CollectiveError, is KernelError, is DoctorError: libraryRefused.rawValue
    default: bug.rawValue
    }
  }

  private static func of(_ error: DataError) -> ExitStatus {
    switch error {
    case .missing, .notInstalled, .unknownName, .folderWithoutData, .unreadable: inputMissing
    case .emptySplit: usage
    case .outOfMemory: libraryRefused
    default: data
    }
  }

  private static func of(_ error: CheckpointError) -> ExitStatus {
    switch error {
    case .missing, .unreadable: inputMissing
    case .unwritable: cannotWrite
    default: data
    }
  }

  private static func of(_ error: TrainingError) -> ExitStatus {
    switch error {
    case .invalidSetting, .unfitNetwork, .unfitColumns, .otherColumnCount, .tooLarge,
      .sharedMemoryUnavailable, .noBFloat16,
      .batchSmallerThanRanks, .runExists, .runInUse, .resumeConflict:
      usage
    case .ranksDisagree: ranksDiffer
    case .replicasDiffer: bug
    case .notFinite, .scoreNotFinite: notFinite
    case .otherData, .otherNetwork: data
    }
  }
}

/// A wrong use of flags or of the configuration file, already in words.
struct UsageError: Error, CustomStringConvertible {
  let description: String
}
