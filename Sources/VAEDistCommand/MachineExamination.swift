import Checkpointing
import Foundation
import TensorKernels
import Training

/// What can be said of a machine without MPI.
enum MachineExamination {
  // The words of the processor's flags.
  private static var processorFlags: Set<String> {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first {
      $0.hasPrefix("flags") || $0.hasPrefix("Features")
    }
    return Set((line ?? "").split(separator: " ").map(String.init))
  }

  static func processor() -> Finding {
    let flags = processorFlags
    let sets = [
      ("avx2", "AVX2"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX512_BF16"),
      ("amx_bf16", "AMX bf16"), ("asimd", "NEON"), ("sve", "SVE"),
    ].filter { flags.contains($0.0) }.map(\.1)
    let text =
      "\(Processors.name), \(sets.isEmpty ? "no vector instructions known" : sets.joined(separator: ", ")),"
      + " \(usableCores) of \(ProcessInfo.processInfo.processorCount) hardware threads usable;"
      + " oneDNN \(MatrixProduct.libraryVersion)"
    if sets.contains("AVX2") || sets.contains("NEON") { return Finding(.good, "processor", text) }
    return Finding(
      .note, "processor", text + "; without AVX2 products are several times slower",
      remedy: "train on another machine, or expect an eighth of the rate")
  }

  /// Hardware threads that this process may use: by its mask, and by its group's quota.
  static var usableCores: Int {
    let mask = allowedProcessorMask().reduce(0) { $0 + $1.nonzeroBitCount }
    let all = mask > 0 ? mask : ProcessInfo.processInfo.processorCount
    return max(1, min(all, quota ?? all))
  }

  /// Processors whose time the group of this process may use together; nil where there is no quota.
  static var quota: Int? {
    // "200000 100000" are two processors' time; "max" is no quota.
    let words = ((try? String(contentsOfFile: "/sys/fs/cgroup/cpu.max", encoding: .utf8)) ?? "")
      .split(whereSeparator: \.isWhitespace)
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0
    else { return nil }
    return max(1, Int((quota / period).rounded()))
  }

  static func precision() -> Finding {
    guard processorHasBFloat16 else {
      return Finding(
        .note, "bf16", "this processor has no bfloat16 instructions",
        remedy: "leave --precision at f32")
    }
    guard let time = try? Processors.relativeProductTime(.bf16) else {
      return Finding(
        .note, "bf16", "products could not be measured", remedy: "leave --precision at f32")
    }
    let text = String(format: "products of bf16 take %.2f of the time of f32", time)
    return time < 0.9
      ? Finding(.good, "bf16", text, remedy: "--precision bf16 is faster here")
      : Finding(.note, "bf16", text, remedy: "leave --precision at f32")
  }

  static func memory() -> Finding {
    func kilobytes(_ name: String) -> Int {
      let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
      let line = text.split(separator: "\n").first { $0.hasPrefix("\(name):") }
      return line.flatMap { $0.split(whereSeparator: \.isWhitespace).dropFirst().first }
        .flatMap { Int($0) } ?? 0
    }
    let (free, all) = (kilobytes("MemAvailable"), kilobytes("MemTotal"))
    let text = String(
      format: "%.1f of %.1f GB available", Double(free) / 1e6, Double(all) / 1e6)
    return free > 1_000_000
      ? Finding(.good, "memory", text)
      : Finding(
        .note, "memory", text,
        remedy: "end other programs; NPY files that are not compressed need no memory of their own")
  }

  static func sharedMemory() -> Finding {
    guard let bytes = freeBytes(of: "/dev/shm") else {
      return Finding(
        .note, "/dev/shm", "there is none; Open MPI needs some between ranks of a machine",
        remedy: "mount -t tmpfs tmpfs /dev/shm, or in a container: --shm-size=1g")
    }
    let text = "\(grouped(bytes / 1_000_000)) MB free"
    return bytes >= 64_000_000
      ? Finding(.good, "/dev/shm", text)
      : Finding(
        .note, "/dev/shm", text + "; Open MPI may not start many ranks",
        remedy: "in a container: --shm-size=1g")
  }

  private static func freeBytes(of path: String) -> Int? {
    let attributes = try? FileManager.default.attributesOfFileSystem(forPath: path)
    return (attributes?[.systemFreeSize] as? NSNumber)?.intValue
  }

  // MARK: Disk

  /// Writes 64 MB as a checkpoint is written, and reads them.
  static func disk(of folder: String) -> Finding {
    let path = "\(folder)/.vae-dist-doctor-\(ProcessInfo.processInfo.processIdentifier)"
    let size = 64 << 20
    defer {
      unlink(path)
      unlink("\(path).link")
    }
    let block = [UInt8](repeating: 1, count: 1 << 20)
    let start = ContinuousClock.now
    do {
      let file = try DurableFileWriter(path)
      for _ in 0..<size / block.count { try file.write(block) }
      try file.commit()
    } catch {
      return Finding(
        .problem, "disk", "\(error)", remedy: "--folder names another; so does --run of train")
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let free = freeBytes(of: folder).map { ", \(grouped($0 / 1_000_000_000)) GB free" } ?? ""
    let text = String(
      format: "%@: a checkpoint of 64 MB is durable after %.2f s (%.0f MB/s)%@", folder, seconds,
      Double(size) / 1e6 / seconds, free)
    if symlink(URL(filePath: path).lastPathComponent, "\(path).link") != 0 {
      return Finding(
        .problem, "disk", text + "; it has no symbolic links, which latest and best are",
        remedy: "put runs on another file system")
    }
    return seconds < 6
      ? Finding(.good, "disk", text)
      : Finding(
        .note, "disk", text,
        remedy: "--checkpoint-every 10, or runs on a faster disk; steps do not wait for it")
  }

  // MARK: Network

  static func network() -> Finding {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else {
      return Finding(.note, "network", "it cannot be asked for")
    }
    defer { freeifaddrs(first) }
    var names: [String] = []
    var next = first
    while let entry = next?.pointee {
      next = entry.ifa_next
      guard let address = entry.ifa_addr, address.pointee.sa_family == UInt16(AF_INET),
        entry.ifa_flags & UInt32(IFF_UP) != 0, entry.ifa_flags & UInt32(IFF_LOOPBACK) == 0
      else { continue }
      names.append(String(cString: entry.ifa_name))
    }
    // Docker's and libvirt's bridges lead nowhere between hosts.
    let useful = names.filter { name in
      !["docker", "virbr", "br-", "veth"].contains { name.hasPrefix($0) }
    }
    if names.isEmpty {
      return Finding(
        .note, "network", "no interface but the machine's own: no ranks on other hosts")
    }
    let text = "interfaces \(names.joined(separator: ", "))"
    guard useful.count != 1 || names.count > useful.count, let choice = useful.first else {
      return Finding(.good, "network", text)
    }
    return Finding(
      .good, "network", text,
      remedy: "on several hosts choose one: mpirun --mca btl_tcp_if_include \(choice)")
  }
}
