import Foundation
import TestSupport
import Testing
import Training

/// What `vae-dist benchmark` says, and what a run says of itself at its end.
@Suite(.serialized) struct BenchmarkCommandTests {
  static let flags = ["benchmark", "--hidden", "64", "--latent", "4", "--rounds", "3"]

  static func report(_ outcome: Outcome) throws -> BenchmarkReport {
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try JSONDecoder().decode(BenchmarkReport.self, from: Data(outcome.output.utf8))
  }

  static func check(_ report: BenchmarkReport, ranks: Int, threads: Int) {
    let times = report.milliseconds
    #expect(report.ranks == ranks)
    #expect(report.threads == threads)
    #expect(report.network == "64-64-4-64-64")
    // 64·64 + 64 twice, 64·8 + 8, 4·64 + 64
    #expect(report.parameters == 2 * 4160 + 520 + 320)
    #expect(report.steps == 30)
    // How the times compare is for a quiet machine to tell, not for a test that shares one.
    #expect(times.step > 0 && times.products > 0)
    #expect(
      [
        times.data, times.forward, times.backward, times.allReduceExposed, times.optimizer,
      ].allSatisfy { $0 >= 0 })
    #expect(abs(report.shareOfProductLimit - times.products / times.step) < 1e-9)
    #expect(
      abs(report.examplesPerSecond - 1000 * Double(report.globalBatchSize) / times.step) < 1e-3)
    #expect(report.peakResidentBytes > 10_000_000)
  }

  @Test(arguments: [1, 2]) func oneProcess(threads: Int) throws {
    let outcome = try Launch.alone(
      "vae-dist", Self.flags + ["--json", "--threads", "\(threads)"])
    let report = try Self.report(outcome)
    Self.check(report, ranks: 1, threads: threads)
    #expect(report.allReduce == nil)
    #expect(report.efficiency == nil)
    // 2 (64·64 (two products, no gradient of the data) + 3 (64·8 + 4·64 + 64·64)) an example
    let multiplications: Int = 2 * 64 * 64 + 3 * (64 * 8 + 4 * 64 + 64 * 64)
    let operations = Double(2 * multiplications * 100)
    #expect(
      abs(report.productGigaflops - operations / report.milliseconds.products * 1e-6)
        < 1e-6 * report.productGigaflops + 1e-9)
  }

  @Test(arguments: ["shared-memory", "overlapped", "blocking"])
  func ranks(method: String) throws {
    let outcome = try Launch.ranks(
      2, "vae-dist", Self.flags + ["--json", "--threads", "1", "--all-reduce", method])
    let report = try Self.report(outcome)
    Self.check(report, ranks: 2, threads: 1)
    let allReduce = try #require(report.allReduce)
    #expect(allReduce.method == method)
    // Each tensor begins at a cache line: 16 parameters.
    #expect(allReduce.bytes == 4 * (2 * 4160 + (512 + 16) + 320))
    #expect((allReduce.bucketBytes != nil) == (method == "overlapped"))
    // 2 (p − 1) / p · bytes / time, with p = 2
    let bandwidth = Double(allReduce.bytes) / allReduce.milliseconds * 1e-6
    #expect(abs(allReduce.busGigabytesPerSecond - bandwidth) < 1e-6 * bandwidth)
    #expect(try #require(report.efficiency) > 0)
  }

  @Test func theTableNamesEveryPart() throws {
    let outcome = try Launch.ranks(2, "vae-dist", Self.flags + ["--threads", "1"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    for part in [
      "data", "forward", "backward", "all-reduce exposed", "all-reduce hidden", "optimizer",
      "other", "step", "products alone", "examples/s", "bus bandwidth", "MPI_Allreduce",
      "efficiency", "MB of memory",
    ] {
      #expect(outcome.output.contains(part), "\(part)")
    }
  }

  @Test func aRunEndsWithWhereItsTimeWent() throws {
    let folder = try TemporaryFolder()
    let flags = ["train", "--hidden", "32", "--epochs", "1", "--run", folder.path("run")]
    let alone = try Launch.alone("vae-dist", flags)
    #expect(alone.output.contains("Steps took "))
    #expect(alone.output.contains("of the rate that the matrix products alone would allow"))
    // A run that had nothing left to do has no steps to speak of.
    let again = try Launch.alone("vae-dist", flags + ["--resume"])
    #expect(again.output.contains("is complete"))
    #expect(!again.output.contains("Steps took"))
  }

  @Test func bfloat16WithoutInstructionsIsRefused() throws {
    let folder = try TemporaryFolder()
    let flags = ["train", "--precision", "bf16", "--epochs", "1", "--run", folder.path("run")]
    let outcome = try Launch.alone(
      "vae-dist", flags, environment: ["ONEDNN_MAX_CPU_ISA": "AVX2"])
    #expect(outcome.status == 64)
    #expect(outcome.errors.hasPrefix("Error: --precision is bf16, and this processor ("))
    #expect(outcome.errors.contains("has no bfloat16 instructions"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("run/config.yaml")))
  }
}
