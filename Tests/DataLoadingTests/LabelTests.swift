import DataLoading
import Foundation
import TestSupport
import Testing

/// Labels beside the data, and what is wrong with them.
@Suite struct LabelTests {
  static let wanted = LabelRequest(train: nil, test: nil)

  static func labels(_ values: [Float]) -> [UInt8] {
    npy(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (\(values.count),), }",
      values.withUnsafeBytes { Array($0) })
  }

  @Test func digitsHaveTheirOwn() throws {
    let labels = try #require(try DataSource(name: "digits", labels: Self.wanted).trainLabels)
    #expect(labels.values.count == 1797 && labels.classCount == 10)
    #expect(labels.values.prefix(12) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    // 183 threes, as its description counts them.
    #expect(labels.values.count { $0 == 3 } == 183)
    #expect(try DataSource(name: "digits").trainLabels == nil)
  }

  @Test func foldersAndFiles() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(npy([[1], [2], [3]]), to: "train.npy")
    _ = try folder.write(npy([[1], [2]]), to: "test.npy")
    #expect(throws: DataError.noLabels(data: folder.path, flag: "--labels")) {
      _ = try DataSource(name: folder.path, labels: Self.wanted)
    }
    let train = try folder.write(Self.labels([2, 0, 1]), to: "train_labels.npy")
    #expect(throws: DataError.noLabels(data: folder.path, flag: "--test-labels")) {
      _ = try DataSource(name: folder.path, labels: Self.wanted)
    }
    let idx = ArrayFileTests.idx(0x08, [2], [1, 1])
    let test = try folder.write(idx, to: "t10k-labels-idx1-ubyte")
    let source = try DataSource(name: folder.path, labels: Self.wanted)
    #expect(source.trainLabels?.values == [2, 0, 1] && source.testLabels?.values == [1, 1])
    // Given ones come first; test examples from elsewhere have none beside the data.
    let other = try folder.write(Self.labels([0, 0, 0]), to: "other.npy")
    let given = try DataSource(
      name: folder.path, labels: LabelRequest(train: other, test: nil))
    #expect(given.trainLabels?.values == [0, 0, 0] && given.testLabels?.values == [1, 1])
    #expect(throws: DataError.noLabels(data: folder.path("test.npy"), flag: "--test-labels")) {
      _ = try DataSource(
        name: folder.path, testPath: folder.path("test.npy"), labels: Self.wanted)
    }
    _ = (train, test)
  }

  @Test(arguments: [
    ([0, 1] as [Float], "has the shape [2, 1]; labels are one number for each of the 3 examples"),
    ([0, 1.5, 2], "has 1.5 for example 1; labels are whole numbers from 0 to 65535"),
    ([0, -1, 2], "has -1.0 for example 1"),
    ([0, 1, .nan], "has nan for example 2"),
    ([0, 1, 65_536], "has 65536.0 for example 2"),
  ]) func wrongOnesAreNamed(_ values: [Float], _ sentence: String) throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(npy([[1], [2], [3]]), to: "x.npy")
    let path = try folder.write(Self.labels(values), to: "labels.npy")
    do throws(DataError) {
      _ = try DataSource(name: data, labels: LabelRequest(train: path, test: nil))
      Issue.record("\(values) was accepted")
    } catch {
      #expect(error.description.contains(sentence), "\(error)")
    }
  }

  @Test func classesThatThereAreNot() throws {
    let labels = try #require(try DataSource(name: "digits", labels: Self.wanted).trainLabels)
    try labels.check(classes: 10)
    #expect(throws: DataError.otherClass(path: "digits", example: 9, label: 9, classes: 9)) {
      try labels.check(classes: 9)
    }
  }

  // Held-out examples keep their own labels.
  @Test func splitsKeepLabelsWithExamples() throws {
    let folder = try TemporaryFolder()
    let rows = (0..<50).map { [Float($0), Float($0)] }
    let data = try folder.write(npy(rows), to: "x.npy")
    let path = try folder.write(Self.labels((0..<50).map { Float($0 * 7 % 50) }), to: "y.npy")
    let source = try DataSource(name: data, labels: LabelRequest(train: path, test: nil))
    let (train, test) = try Examples.holdOut(
      source.train, testFraction: 0.3, seed: 5, scale: 1, labels: source.trainLabels)
    for examples in [train, test] {
      let indices = (0..<UInt32(examples.count)).map { $0 }
      var classes = [UInt32](repeating: 99, count: indices.count)
      let values = matrix(rows.prefix(examples.count).map { $0.map(Double.init) }, columns: 2)
      indices.withUnsafeBufferPointer { indices in
        examples.read(indices, into: values)
        classes.withUnsafeMutableBufferPointer { examples.readLabels(indices, into: $0) }
      }
      for (row, label) in classes.enumerated() {
        #expect(Int(label) == Int(values.row(row)[0]) * 7 % 50)
      }
    }
  }
}
