import DataLoading
import TestSupport
import Testing

@Suite struct DataScanTests {
  static func array(
    _ folder: TemporaryFolder, changing: (inout [[Float]]) -> Void = { _ in }
  ) throws
    -> NumericArray
  {
    // Rows of 1.2 MB: three to a piece of about four megabytes.
    var rows = (0..<8).map { row in (0..<300_000).map { Float(($0 + row) % 100) } }
    changing(&rows)
    return try NumericArray(path: try folder.write(npy(rows), to: "x.npy"))
  }

  @Test func joinedPartsAreTheWhole() throws {
    let folder = try TemporaryFolder()
    let array = try Self.array(folder)
    let count = DataScan.pieceCount(of: array)
    #expect(count == 3)
    let whole = try DataScan(array, pieces: 0..<count)
    for worldSize in 1...5 {
      let parts = try (0..<worldSize).map { rank in
        try DataScan(
          array, pieces: EpochSampler.slice(of: 0..<count, rank: rank, worldSize: worldSize))
      }
      let joined = DataScan(joining: parts.map { DataScan(encoded: $0.encoded) })
      #expect(joined == whole)
      #expect(joined.digest(of: array) == whole.digest(of: array))
    }
    #expect(whole.minimum == 0)
    #expect(whole.maximum == 99)
    #expect(whole.firstNonFinite == nil)
  }

  @Test func oneChangedValueChangesTheDigest() throws {
    let (first, second) = (try TemporaryFolder(), try TemporaryFolder())
    let array = try Self.array(first)
    let other = try Self.array(second) { $0[7][299_999] += 1 }
    func digest(_ array: NumericArray) throws -> String {
      try DataScan(array, pieces: 0..<DataScan.pieceCount(of: array)).digest(of: array)
    }
    #expect(try digest(array) != digest(other))
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func theFirstNonFiniteValueIsFound(
    _ bad: Float
  ) throws {
    let folder = try TemporaryFolder()
    let array = try Self.array(folder) {
      $0[6][5] = bad
      $0[4][17] = bad
    }
    let scan = try DataScan(array, pieces: 0..<DataScan.pieceCount(of: array))
    #expect(scan.firstNonFinite == 4 * 300_000 + 17)
  }
}
