import Checkpointing
import DataLoading
import Foundation
import Reporting
import TensorKernels
import TestSupport
import Training
import VAEDistCommand

/// A reader, and valid files for it.
struct Reader: Sendable {
  let name: String
  /// How files of the kind are called.
  let fileExtension: String
  let files: @Sendable (_ folder: String) throws -> [[UInt8]]
  /// A library that crashes at some damaged files, in a sentence.
  var crashingLibrary: String?
  /// Reads all there is in a file; throws what the reader throws.
  let read: @Sendable (_ path: String) throws -> Void

  static let all = [
    Reader(name: "npy", fileExtension: "npy", files: { _ in npyFiles() }, read: readArray),
    Reader(name: "idx", fileExtension: "idx3-ubyte", files: { _ in idxFiles() }, read: readArray),
    Reader(
      name: "gzip", fileExtension: "npy.gz",
      files: { folder in try gzipFiles(npyFiles() + idxFiles(), folder) },
      read: readArray),
    Reader(
      name: "csv", fileExtension: "csv", files: { _ in csvFiles() },
      read: { path in
        try readArray(path)
        // By the columns of another file, with a column left out, and as labels, which not all of them have.
        var known = DataNames()
        (known.columns, known.classes) = (["b", "a"], [0: ["x", "y"]])
        for choice in [ColumnChoice(known: known), ColumnChoice(skipping: ["2"])] {
          guard let array = try? DataSource(name: path, choice: choice).train else { continue }
          try? array.load()
        }
        _ = try? DataSource(name: path, labels: LabelRequest(train: "\(path):a", test: nil))
      }),
    Reader(
      name: "csv-gzip", fileExtension: "csv.gz",
      files: { folder in try gzipFiles(csvFiles(), folder) }, read: readArray),
    Reader(
      name: "npz", fileExtension: "npz", files: { folder in try archiveFiles(folder) },
      read: readArray),
    Reader(
      name: "png", fileExtension: "png", files: { folder in try imageFiles(folder) },
      read: { path in try readFolder(path, as: "x.png") }),
    Reader(
      name: "cifar", fileExtension: "bin", files: { _ in [(0..<2 * 3073).map { UInt8($0 % 251) }] },
      read: { path in try readFolder(path, as: "data_batch_1.bin") }),
    Reader(
      name: "jpeg", fileExtension: "jpg",
      files: { _ in try ["grey", "colour"].map { try contents(golden("jpeg/\($0).jpg")) } },
      read: { path in try readFolder(path, as: "x.jpg") }),
    Reader(
      name: "hdf5", fileExtension: "h5",
      files: { _ in [try contents(golden("hdf5/layouts.h5"))] }, crashingLibrary: "libhdf5",
      read: { path in
        for name in ["plain", "chunks", "tiles", "gzip"] { try readArray("\(path):\(name)") }
      }),
    Reader(
      name: "h5ad", fileExtension: "h5ad",
      files: { _ in try ["csr", "csr-gzip"].map { try contents(golden("hdf5/\($0).h5ad")) } },
      crashingLibrary: "libhdf5",
      read: { path in
        try readArray(path)
        _ = try DataSource(
          name: path, labels: LabelRequest(train: "\(path):obs/kind", test: nil))
      }),
    Reader(
      name: "labels", fileExtension: "npy", files: { _ in labelFiles() },
      read: { path in
        _ = try DataSource(name: "digits", labels: LabelRequest(train: path, test: nil))
      }),
    Reader(
      name: "safetensors", fileExtension: "safetensors",
      files: { folder in try safetensorsFiles(folder) },
      read: { path in
        let file = try SafetensorsFile(path: path)
        for entry in file.entries where entry.type == "F32" {
          _ = try file.floats(named: entry.name, shape: entry.shape)
        }
        try file.verify()
      }),
    Reader(
      name: "checkpoint", fileExtension: "metadata",
      files: { folder in try checkpointFiles(folder) }, read: readCheckpoint),
    Reader(
      name: "config", fileExtension: "yaml", files: { _ in configFiles() },
      read: { path in _ = try ConfigurationFile(path: path) }),
    Reader(
      name: "metrics", fileExtension: "jsonl", files: { _ in metricsFiles() },
      read: { path in _ = MetricsEvent.all(in: path) }),
  ]

  @Sendable private static func readArray(_ path: String) throws {
    let array = try NumericArray(path: path)
    try array.load()
    let scan = try DataScan(array, pieces: 0..<DataScan.pieceCount(of: array))
    _ = scan.digest(of: array)
    let row = FloatBuffer(count: array.width)
    for example in [0, array.exampleCount / 2, array.exampleCount - 1] {
      try array.read(example: example, scale: 1, into: row.mutableElements)
    }
  }

  // A folder that holds the file under the name by which it is known.
  private static func readFolder(_ path: String, as name: String) throws {
    let folder = "\(path).folder"
    mkdir(folder, 0o755)
    unlink("\(folder)/\(name)")
    link(path, "\(folder)/\(name)")
    let array = try DataSource(name: folder).train
    try array.load()
    _ = try DataScan(array, pieces: 0..<DataScan.pieceCount(of: array))
  }

  private static func imageFiles(_ folder: String) throws -> [[UInt8]] {
    try [1, 3].map { channels in
      guard let tile = Picture.Tile(height: 5, width: 4, channels: channels) else { return [] }
      let picture = Picture(
        (0..<40 * channels).map { Float($0) }, tile: tile, columns: 2, range: 0...120)
      let path = "\(folder)/valid-\(channels).png"
      try picture.write(to: path)
      return try contents(path)
    }
  }

  private static func csvFiles() -> [[UInt8]] {
    [
      "1,2,3\n4,5.5,-6e-3\n", "a,\"b, \"\"c\",d\n\"1\",NA,\"2\"\n\n# x\n3,,nan\n",
      ",x,y\r\n0,1,1e400\r\n1,.5,+7\r\n", "\u{feff}1\n123456789012345678901234567890\n",
      "b,a\nx,\"p, q\"\ny,NA\n\"x\",\"r\"\"s\"\n", "a;b\n1,5;t\n-2e3;u\n",
      "\"a\",\"b\"\n\"1\",2,x\n",
      "0,1,2,3\n0.12345678901234567890123,1e-400,9007199254740993,16777217\n",
    ].map { Array($0.utf8) }
  }

  private static func archiveFiles(_ folder: String) throws -> [[UInt8]] {
    let path = "\(folder)/valid.npz"
    let columns = [ResultColumn("x", .float32, shape: [3]), ResultColumn("row", .int64)]
    let file = try ResultFormat.npz.begin(path, columns: columns, rowCount: 2)
    try file.append([.float32([1, 2, 3, 4, 5, 6]), .int64([0, 1])])
    try file.finish()
    return [try contents(path)]
  }

  private static func npyFiles() -> [[UInt8]] {
    let values: [[Float]] = (0..<6).map { row in (0..<5).map { Float(row * 5 + $0) } }
    let plain = npy(values)
    func header(_ descr: String, _ order: String, _ shape: String, version: UInt8) -> [UInt8] {
      let text = "{'descr': '\(descr)', 'fortran_order': \(order), 'shape': \(shape), }"
      let prefix = version == 1 ? 10 : 12
      let padding = 63 - (text.utf8.count + prefix) % 64
      let body = Array(text.utf8) + [UInt8](repeating: 32, count: padding) + [10]
      let length =
        version == 1 ? Array(bytes(UInt16(body.count))) : Array(bytes(UInt32(body.count)))
      return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + body
    }
    return [
      plain,
      header("|u1", "False", "(4, 3, 2)", version: 1) + (0..<24).map { UInt8($0) },
      header(">f8", "True", "(3, 2)", version: 2) + [UInt8](repeating: 63, count: 48),
      header("<i2", "False", "(5, 1)", version: 3) + [UInt8](repeating: 1, count: 10),
    ]
  }

  private static func idxFiles() -> [[UInt8]] {
    func file(_ type: UInt8, _ extents: [UInt32], _ count: Int) -> [UInt8] {
      [0, 0, type, UInt8(extents.count)] + extents.flatMap { bytes($0.byteSwapped) }
        + (0..<count).map { UInt8($0 % 251) }
    }
    return [
      file(0x08, [6, 4, 4], 96), file(0x0D, [3, 2], 24), file(0x0B, [4, 3], 24),
    ]
  }

  private static func gzipFiles(_ files: [[UInt8]], _ folder: String) throws -> [[UInt8]] {
    try files.enumerated().map { index, file in
      let path = "\(folder)/seed-\(index)"
      try Data(file).write(to: URL(filePath: path))
      _ = try Launch.run(["gzip", "-f", path], seconds: 10)
      return try contents("\(path).gz")
    }
  }

  private static func labelFiles() -> [[UInt8]] {
    [
      npy((0..<1797).map { [Float($0 % 10)] }),
      [0, 0, 8, 1, 0, 0, 7, 5] + (0..<1797).map { UInt8($0 % 10) },
    ]
  }

  private static func safetensorsFiles(_ folder: String) throws -> [[UInt8]] {
    let path = "\(folder)/seed.safetensors"
    try SafetensorsFile.write(
      [
        TensorSource(name: "a.weight", shape: [2, 3]) { [1, 2, 3, 4, 5, 6] },
        TensorSource(name: "b", shape: [4]) { [7, 8, 9, 10] },
        TensorSource(name: "empty", shape: [0, 3]) { [] },
      ], metadata: ["format": "pt", "step": "3"], to: path)
    return [try contents(path)]
  }

  private static func checkpointFiles(_ folder: String) throws -> [[UInt8]] {
    let outcome = try Launch.alone(
      "vae-dist",
      [
        "train", "--run", "\(folder)/run", "--steps", "2", "--hidden", "2", "--latent", "1",
        "--global-batch-size", "1000", "--threads", "1",
      ])
    precondition(outcome.status == 0, outcome.errors)
    let file = try SafetensorsFile(
      path: RunFolder(path: "\(folder)/run").checkpoints.path(step: 2))
    return [
      Array(
        file.metadata.merging([
          SavedModel.namesKey: #"{"classes":{"0":["x","y"]},"columns":["a","b"],"labels":["p"]}"#
        ]) { $1 }.filter { $0.key != SafetensorsFile.digestKey }
          .map { "\($0.key)\t\($0.value)" }.sorted().joined(separator: "\n").utf8)
    ]
  }

  // A checkpoint with these lines as its metadata, and with the right digest, so that it is looked into.
  @Sendable private static func readCheckpoint(_ path: String) throws {
    let lines = String(decoding: try contents(path), as: UTF8.self).split(separator: "\n").map {
      $0.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    }
    let metadata = Dictionary(lines.map { ($0[0], $0.count > 1 ? $0[1] : "") }) { $1 }
    // Not beside the kept file, where it would be taken for one.
    let file = FileManager.default.temporaryDirectory
      .appending(path: "fuzzed-checkpoint-\(getpid()).safetensors").path
    defer { unlink(file) }
    try SafetensorsFile.write(
      [TensorSource(name: "encoder.0.weight", shape: [2]) { [1, 2] }],
      metadata: metadata.filter { $0.key != SafetensorsFile.digestKey }, to: file)
    _ = try SavedModel(path: file)
  }

  private static func configFiles() -> [[UInt8]] {
    [
      "latent: 20\nhidden: [500, 20]\nlikelihood: gaussian\nlearning-rate: 1.0e-3\n",
      "# a comment\nencoder:\n  - conv 8 kernel 4 stride 2\n  - dense 30\ndecoder:\n  - dense 30\n",
      "deterministic: true\ndata: 'a: b.npy'\nscale: ~\nseed: 18446744073709551615\n",
    ].map { Array($0.utf8) }
  }

  private static func metricsFiles() -> [[UInt8]] {
    let line =
      "{\"elbo\":-29.1,\"epoch\":1,\"event\":\"train\",\"examples_seen\":1617,\"kl_divergence\":3.1,\"split\":\"train\",\"step\":17,\"wall_seconds\":0.5}\n"
    return [Array((line + line).utf8)]
  }

  private static func bytes<Value>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value) { Array($0) }
  }
}
