import Foundation
import TestSupport
import Testing

/// A run whose folder is taken away while it trains.
@Suite struct VanishedFolderTests {
  @Test func theFolderIsMadeAgainAndNothingIsLost() throws {
    let folder = try TemporaryFolder()
    let gone = folder.path("gone")
    // Half of the time without its folder.
    let outcome = try Launch.run(
      [
        "bash", "-c",
        """
        "$0" train --run r --epochs 100000 --walltime 4s --threads 1 --seed 2 & id=$!
        for _ in $(seq 100); do [ -e r/checkpoints/latest ] && break; sleep 0.05; done
        mv r \(gone)
        wait $id
        """, Launch.product("vae-dist"),
      ], seconds: 60, folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(
      outcome.errors.split(separator: "\n").allSatisfy {
        $0.hasPrefix("Warning: 'r") || $0.hasPrefix("What could not")
      },
      "\(outcome.errors)")
    #expect(outcome.output.contains("to go on: vae-dist train --run r --resume"))
    let events = try String(contentsOfFile: folder.path("r/metrics.jsonl"), encoding: .utf8)
      .split(separator: "\n")
    let before = try String(contentsOfFile: "\(gone)/metrics.jsonl", encoding: .utf8)
      .split(separator: "\n")
    #expect(before.count > 1 && Array(events.prefix(before.count)) == before)
    let resumed = try Launch.alone(
      "vae-dist", ["train", "--run", "r", "--resume", "--walltime", "1s"], in: folder.path)
    #expect(resumed.status == 0 && resumed.output.contains("Going on after step"))
  }

  // The folder's own lock must not be in the way.
  @Test func whatVanishesFromTheFolderIsMadeAgain() throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.run(
      [
        "bash", "-c",
        """
        "$0" train --run r --epochs 100000 --walltime 3s --threads 1 --seed 2 & id=$!
        for _ in $(seq 100); do [ -e r/checkpoints/latest ] && break; sleep 0.05; done
        rm -r r/config.yaml r/checkpoints
        wait $id
        """, Launch.product("vae-dist"),
      ], seconds: 60, folder.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(!outcome.errors.contains("Another process"), "\(outcome.errors)")
    let resumed = try Launch.alone(
      "vae-dist", ["train", "--run", "r", "--resume", "--walltime", "1s"], in: folder.path)
    #expect(resumed.status == 0 && resumed.output.contains("Going on after step"))
  }
}
