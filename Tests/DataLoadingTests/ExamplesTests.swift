import DataLoading
import TensorKernels
import TestSupport
import Testing

@Suite struct ExamplesTests {
  static func array(_ rows: [[Float]], _ folder: TemporaryFolder) throws -> NumericArray {
    try NumericArray(path: try folder.write(npy(rows), to: "x.npy"))
  }

  static func read(_ examples: Examples, _ indices: [UInt32]) -> [Float] {
    let buffer = FloatBuffer.poisoned(indices.count * examples.width)
    indices.withUnsafeBufferPointer {
      examples.read($0, into: buffer.matrix(rows: indices.count, columns: examples.width))
    }
    return buffer.values
  }

  @Test(arguments: [(10, 0.1), (10, 0.5), (1797, 0.1), (3, 0.34)])
  func heldOutExamplesAreDisjointAndCoverTheArray(count: Int, fraction: Double) throws {
    let folder = try TemporaryFolder()
    let array = try Self.array((0..<count).map { [Float($0)] }, folder)
    let (train, test) = try Examples.holdOut(
      array, testFraction: fraction, seed: 3, scale: 1)
    #expect(test.count == Int((Double(count) * fraction).rounded()))
    let seen =
      Self.read(train, Array(0..<UInt32(train.count)))
      + Self.read(test, Array(0..<UInt32(test.count)))
    #expect(seen.sorted() == (0..<count).map { Float($0) })
    // The same again for the same seed.
    let again = try Examples.holdOut(array, testFraction: fraction, seed: 3, scale: 1)
    #expect(
      Self.read(again.test, Array(0..<UInt32(test.count)))
        == Self.read(test, Array(0..<UInt32(test.count))))
  }

  @Test(arguments: [0.01, 0.99]) func aSplitThatLeavesNothingIsRefused(fraction: Double) throws {
    let folder = try TemporaryFolder()
    let array = try Self.array([[1], [2], [3]], folder)
    #expect(throws: DataError.emptySplit(fraction: fraction, count: 3)) {
      try Examples.holdOut(array, testFraction: fraction, seed: 0, scale: 1)
    }
  }

  @Test func valuesAreDividedByTheScale() throws {
    let folder = try TemporaryFolder()
    let examples = Examples(
      try Self.array([[1, 2], [3, 4], [5, 6]], folder), split: .train, scale: 2)
    #expect(Self.read(examples, [2, 0]) == [2.5, 3, 0.5, 1])
  }

  static func binarized(
    _ kind: Binarization, split: Split = .train, epoch: Int?, indices: [UInt32]
  ) throws -> [Float] {
    let folder = try TemporaryFolder()
    let array = try Self.array(
      (0..<40).map { _ in [Float](repeating: 0.3, count: 50) }, folder)
    let reader = BatchReader(
      Examples(array, split: split, scale: 1), binarization: kind, seed: 1, capacity: 40,
      team: try WorkerTeam(count: 3))
    return indices.withUnsafeBufferPointer { Array(reader.read($0, epoch: epoch).elements) }
  }

  @Test func binarizationDrawsFromTheGreyValue() throws {
    let all = Array(UInt32(0)..<40)
    let values = try Self.binarized(.dynamic, epoch: 0, indices: all)
    #expect(values.allSatisfy { $0 == 0 || $0 == 1 })
    // Binomial(2000, 0.3): 600, standard deviation 20.5.
    #expect(abs(values.count { $0 == 1 } - 600) < 82)
    #expect(try Self.binarized(.none, epoch: 0, indices: [0])[0] == 0.3)
  }

  @Test func dynamicChangesWithTheEpochAndStaticDoesNot() throws {
    func draw(_ kind: Binarization, _ epoch: Int?, _ split: Split = .train) throws -> [Float] {
      try Self.binarized(kind, split: split, epoch: epoch, indices: [0, 1, 2])
    }
    #expect(try draw(.dynamic, 0) == draw(.dynamic, 0))
    #expect(try draw(.dynamic, 0) != draw(.dynamic, 1))
    #expect(try draw(.dynamic, nil) == draw(.dynamic, nil))
    #expect(try draw(.static, 0) == draw(.static, 7))
    #expect(try draw(.static, nil) == draw(.static, 0))
    #expect(try draw(.static, nil) != draw(.static, nil, .test))
    #expect(try draw(.dynamic, nil) != draw(.dynamic, nil, .test))
  }

  @Test func aDrawDependsOnTheExampleAlone() throws {
    let together = try Self.binarized(.dynamic, epoch: 3, indices: [5, 9, 7])
    let alone = try Self.binarized(.dynamic, epoch: 3, indices: [9])
    #expect(Array(together[50..<100]) == alone)
  }
}
