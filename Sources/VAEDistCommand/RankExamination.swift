import Collectives
import Foundation
import TensorKernels
import Training

/// What mpirun is like, and what comes of it, seen from a process that it did not start.
enum LauncherExamination {
  static func findings() -> [Finding] {
    let library = MPICommunicator.libraryVersion
    guard let version = output(["mpirun", "--version"], seconds: 10)?.firstLine else {
      return [
        Finding(
          .problem, "MPI", "the library is \(library), and there is no mpirun in PATH",
          remedy: "apt-get install openmpi-bin, or module load openmpi")
      ]
    }
    // "mpirun (Open MPI) 4.1.4" and "Open MPI v4.1.4".
    func number(_ text: String) -> String? {
      text.split { !($0.isNumber || $0 == ".") }.first { $0.contains(".") }.map(String.init)
    }
    var findings: [Finding] = []
    if number(version) == number(library) {
      findings.append(Finding(.good, "MPI", "\(library); \(version)"))
    } else {
      findings.append(
        Finding(
          .problem, "MPI",
          "the library is \(library) and mpirun is \(version): ranks would not find each other",
          remedy: "put the mpirun of the library that vae-dist was built with first in PATH"))
    }
    let environment = ProcessInfo.processInfo.environment
    if getuid() == 0 && environment["OMPI_ALLOW_RUN_AS_ROOT"] == nil {
      findings.append(
        Finding(
          .note, "root", "mpirun refuses root unless told twice",
          remedy:
            "launch/run -np 2 …, or export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
        ))
    }
    let cores = MachineExamination.usableCores
    findings.append(
      Finding(
        .good, "slots", "ranks times threads should be \(cores)",
        remedy: cores > 3
          ? "launch/run -np \(cores) train …, or mpirun -np \(max(cores / 2, 1)) --map-by slot:PE=2 vae-dist train --threads 2 …"
          : "launch/run -np \(cores) train …, or one process: vae-dist train …"))
    findings.append(test())
    return findings
  }

  // Two ranks of this program, for a test of two seconds.
  private static func test() -> Finding {
    var command = ["mpirun", "--oversubscribe", "--bind-to", "none", "--quiet", "-np", "2"]
    command += ["/proc/self/exe", "doctor", "--json"]
    // mpirun would take /proc/self for its own.
    if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
      command[command.count - 3] = own
    }
    let allowed = ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]
    guard let text = output(command, seconds: 40, environment: allowed),
      let findings = try? JSONDecoder().decode([Finding].self, from: Data(text.utf8)),
      let found = findings.last(where: { $0.subject == "all-reduce" })
    else {
      return Finding(
        .problem, "all-reduce", "two ranks of this machine did not come to an end",
        remedy: "see why: " + command.joined(separator: " "))
    }
    return found
  }

  // What a command prints; nil if it fails or takes too long.
  private static func output(
    _ command: [String], seconds: Int, environment: [String: String] = [:]
  ) -> String? {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["timeout", "\(seconds)"] + command
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
  }
}

/// How ranks lie on their machines, and how fast they add.
enum RankExamination {
  /// Where each rank is, and whether cores suffice.
  ///
  /// Collective.
  static func placement(_ ranks: Agreement) throws -> [Finding] {
    let communicator = ranks.communicator
    let hosts = try communicator.allGather(Processors.hostName())
    let cores = try communicator.allGather(Array("\(MachineExamination.usableCores)".utf8))
    let threads = try communicator.allGather(
      Array("\(Processors.defaultThreadCount(communicator))".utf8))
    let masks = try communicator.allGather(allowedProcessorMask())
    func numbers(_ bytes: [[UInt8]]) -> [Int] {
      bytes.compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    }
    let (own, wanted) = (numbers(cores), numbers(threads))
    let nodes = Set(hosts).count
    let text =
      "\(MPICommunicator.libraryVersion): \(rankText(communicator.worldSize)) on"
      + " \(nodes == 1 ? "1 host" : "\(nodes) hosts"), each may use"
      + " \(Set(own).sorted().map(String.init).joined(separator: " or ")) hardware threads and would take"
      + " \(Set(wanted).sorted().map(String.init).joined(separator: " or "))"
    // Whether the ranks of a host want more than all that they may use together.
    let perHost = Dictionary(grouping: hosts.indices) { hosts[$0] }
    for ranks in perHost.values {
      let union = Self.union(ranks.map { masks[$0] })
      let cores = union > 0 ? union : ProcessInfo.processInfo.processorCount
      let all = min(cores, MachineExamination.quota ?? cores)
      let threads = ranks.reduce(0) { $0 + wanted[$1] }
      if threads > all {
        let fits = all >= ranks.count || all >= ProcessInfo.processInfo.processorCount
        return [
          Finding(
            .note, "ranks",
            text + ": \(threadText(threads)) on \(all) hardware"
              + " \(all == 1 ? "thread" : "threads") of a host, which wait for each other",
            remedy: fits
              ? "fewer ranks, or fewer --threads"
              : "mpirun --bind-to none, or --map-by slot:PE=1; launch/run says to mpirun what it needs"
          )
        ]
      }
    }
    return [Finding(.good, "ranks", text)]
  }

  // Processors that are in one of the masks.
  private static func union(_ masks: [[UInt8]]) -> Int {
    var all: [UInt8] = []
    for mask in masks {
      if all.count < mask.count { all += [UInt8](repeating: 0, count: mask.count - all.count) }
      for (index, byte) in mask.enumerated() { all[index] |= byte }
    }
    return all.reduce(0) { $0 + $1.nonzeroBitCount }
  }

  /// Sums four megabytes for two seconds.
  ///
  /// Collective.
  static func allReduce(_ ranks: Agreement) throws -> Finding {
    let communicator = ranks.communicator
    let count = 1 << 20
    let buffer = FloatBuffer(count: count)
    var times: [Double] = []
    let start = ContinuousClock.now
    var goesOn = true
    while goesOn {
      buffer.mutableElements.update(repeating: 1)
      try communicator.barrier()
      let before = ContinuousClock.now
      try communicator.allReduce(buffer.mutableElements, .sum)
      times.append((ContinuousClock.now - before) / .seconds(1))
      // The root's clock is everybody's.
      let word = ContinuousClock.now - start < .seconds(2) ? "on" : "end"
      goesOn = try communicator.broadcast(word) == "on"
    }
    let isRight = buffer.elements.allSatisfy { $0 == Float(communicator.worldSize) }
    let median = times.sorted()[times.count / 2]
    let bytes = Double(4 * count)
    let text = String(
      format: "%@ add 4 MB in %.2f ms (%.1f GB/s), median of %@ times",
      rankText(communicator.worldSize),
      1000 * median, bytes / 1e9 / median, grouped(times.count))
    if !isRight {
      return Finding(
        .problem, "all-reduce", text + ", and the sum is wrong",
        remedy: "another network: mpirun --mca btl_tcp_if_include INTERFACE, or --mca btl self,tcp")
    }
    // Within a host memory is the limit, between hosts a network of 1 Gbit/s or more.
    let isFast = bytes / median > (communicator.nodeSize == communicator.worldSize ? 5e8 : 5e7)
    return isFast
      ? Finding(.good, "all-reduce", text)
      : Finding(
        .note, "all-reduce", text,
        remedy: communicator.nodeSize == communicator.worldSize
          ? "fewer ranks, or cores of their own for them: mpirun --bind-to core, or launch/run"
          : "larger --global-batch-size, --all-reduce-precision bf16, or a faster interface")
  }
}

extension String {
  fileprivate var firstLine: String? { split(separator: "\n").first.map(String.init) }
}
