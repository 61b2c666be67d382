import Foundation

/// What a finished process left.
package struct Outcome: Sendable {
  package let status: Int32
  package let output: String
  package let errors: String
}

/// Starts programs of this package, alone or under `mpirun`, and never waits for ever.
package enum Launch {
  /// Where the built programs are: beside the test bundle.
  private static let products: URL = {
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") }
    let beside = URL(filePath: bundle ?? CommandLine.arguments[0]).deletingLastPathComponent()
    var folder = beside
    while folder.path.count > 1 {
      let candidate = folder.appending(path: "vae-dist").path
      if FileManager.default.isExecutableFile(atPath: candidate) { return folder }
      folder = folder.deletingLastPathComponent()
    }
    return packageRoot.appending(path: ".build/release")
  }()

  /// The path of a built program.
  package static func product(_ name: String) -> String { products.appending(path: name).path }

  /// Runs a program of this package in local mode.
  package static func alone(
    _ name: String, _ arguments: [String], seconds: Int = 60, in folder: String? = nil,
    environment: [String: String] = [:]
  ) throws -> Outcome {
    try run([product(name)] + arguments, seconds: seconds, folder, environment)
  }

  /// Runs a program of this package on several ranks.
  package static func ranks(
    _ count: Int, _ name: String, _ arguments: [String], seconds: Int = 60,
    in folder: String? = nil, options: [String] = []
  ) throws -> Outcome {
    try mpirun(
      ["-np", "\(count)"] + options + [product(name)] + arguments, seconds: seconds, in: folder)
  }

  /// Runs `mpirun` with these arguments, oversubscribed and with its own time limit (status 110).
  package static func mpirun(
    _ arguments: [String], seconds: Int = 60, in folder: String? = nil
  ) throws -> Outcome {
    try run(
      ["mpirun", "--oversubscribe", "--bind-to", "none", "--timeout", "\(seconds)"] + arguments,
      seconds: seconds + 10, folder,
      ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"])
  }

  /// Runs any command under a time limit (status 124 when it is reached).
  package static func run(
    _ command: [String], seconds: Int, _ folder: String? = nil,
    _ environment: [String: String] = [:]
  ) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["timeout", "-k", "5", "\(seconds)"] + command
    if let folder { process.currentDirectoryURL = URL(filePath: folder) }
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    // Both at once: a full pipe would stop the process.
    let box = Box()
    let reader = Thread { box.put(errors.fileHandleForReading.readDataToEndOfFile()) }
    reader.start()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      errors: String(decoding: box.take(), as: UTF8.self))
  }

  // Hands data from one thread to another.
  private final class Box: @unchecked Sendable {
    private let condition = NSCondition()
    private var data: Data?

    func put(_ value: Data) {
      condition.lock()
      data = value
      condition.signal()
      condition.unlock()
    }

    func take() -> Data {
      condition.lock()
      defer { condition.unlock() }
      while data == nil { condition.wait() }
      return data ?? Data()
    }
  }
}
