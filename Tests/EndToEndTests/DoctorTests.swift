import Foundation
import TestSupport
import Testing

/// `doctor` and `config`: what they say of this machine, and of every setting.
@Suite(.serialized) struct DoctorTests {
  static func findings(_ text: String) throws -> [String: [String: String]] {
    let list = try #require(
      JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: String]])
    return Dictionary(list.map { ($0["subject"] ?? "", $0) }) { $1 }
  }

  @Test func aMachineThatWorksIsFoundToWork() throws {
    let alone = try Launch.alone("vae-dist", ["doctor", "--json"])
    #expect(alone.status == 0, "\(alone.errors)")
    let found = try Self.findings(alone.output)
    for subject in [
      "processor", "bf16", "memory", "/dev/shm", "disk", "network", "MPI", "slots", "all-reduce",
    ] {
      #expect(found[subject] != nil, "\(subject)")
    }
    #expect(found["all-reduce"]?["finding"]?.hasPrefix("2 ranks add 4 MB in ") ?? false)
    let ranks = try Launch.ranks(3, "vae-dist", ["doctor", "--json"])
    #expect(ranks.status == 0, "\(ranks.errors)")
    let together = try Self.findings(ranks.output)
    #expect(together["all-reduce"]?["finding"]?.hasPrefix("3 ranks add 4 MB in ") ?? false)
    #expect(together["ranks"]?["finding"]?.contains("3 ranks on 1 host") ?? false)
  }

  @Test func ranksOnOneCoreAreSeen() throws {
    let outcome = try Launch.mpirun(
      ["-np", "2", "taskset", "-c", "0", Launch.product("vae-dist"), "doctor", "--json"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let ranks = try #require(try Self.findings(outcome.output)["ranks"])
    #expect(ranks["verdict"] == "note" && ranks["remedy"]?.contains("--bind-to none") ?? false)
    #expect(
      ranks["finding"]?.contains("2 threads on 1 hardware thread of a host") ?? false, "\(ranks)")
  }

  @Test func whatDoesNotWorkIsSaidWithARemedy() throws {
    let folder = try TemporaryFolder()
    let outcome = try Launch.run(
      ["env", "PATH=/nowhere", Launch.product("vae-dist")]
        + ["doctor", "--folder", folder.path("nothing")], seconds: 60)
    #expect(outcome.status == 69)
    #expect(outcome.output.contains("BAD   MPI"), "\(outcome.output)")
    #expect(outcome.output.contains("→ apt-get install openmpi-bin"))
    #expect(outcome.output.contains("BAD   disk"))
    #expect(outcome.errors.hasPrefix("Error: Something does not work on this machine"))
  }

  // Every line of the template counts once its # is taken away, and then nothing has changed.
  @Test func theTemplateHoldsTheDefaults() throws {
    let folder = try TemporaryFolder()
    let template = try Launch.alone("vae-dist", ["config"]).output
    let settings = template.split(separator: "\n").filter {
      $0.hasPrefix("#") && !$0.hasPrefix("# ") && !$0.hasSuffix(":")
    }
    #expect(settings.count > 40, "\(template)")
    let text = settings.map { "\($0.dropFirst())\n" }.joined()
    _ = try folder.write(Array(text.utf8), to: "all.yaml")
    _ = try folder.write(Array(template.utf8), to: "none.yaml")
    var resolved: [[UInt8]] = []
    for name in ["all", "none"] {
      let outcome = try Launch.alone(
        "vae-dist", ["train", "--config", "\(name).yaml", "--epochs", "1", "--run", name],
        in: folder.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      resolved.append(try contents(folder.path("\(name)/config.yaml")))
    }
    #expect(resolved[0] == resolved[1])
  }
}
