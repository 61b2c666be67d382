import DataLoading
import Foundation
import TestSupport
import Testing

/// HDF5, AnnData and JPEG files that Python's libraries wrote.
@Suite struct ContainerFileTests {
  static let layouts: [(String, NumericArray.Residence)] = [
    ("plain", .mapped), ("chunks", .mapped), ("tiles", .loaded), ("gzip", .loaded),
  ]

  @Test(arguments: layouts) func layoutsOfHDF5(
    _ name: String, residence: NumericArray.Residence
  ) throws {
    let array = try NumericArray(path: "\(golden("hdf5/layouts.h5")):\(name)")
    #expect(array.shape == [4, 3, 2])
    #expect(array.residence == residence)
    #expect(try ArrayFileTests.rows(array) == ArrayFileTests.counting)
    let scan = try DataScan(array, pieces: 0..<1)
    #expect(scan.minimum == 0 && scan.maximum == 23 && scan.isIntegral)
  }

  @Test(arguments: [("csr", NumericArray.Residence.mapped), ("csr-gzip", .loaded)])
  func sparseMatricesOfAnnData(_ name: String, residence: NumericArray.Residence) throws {
    let path = golden("hdf5/\(name).h5ad")
    let source = try DataSource(
      name: path, labels: LabelRequest(train: "\(path):obs/kind", test: nil))
    try source.train.load()
    #expect(source.train.shape == [4, 6])
    #expect(source.train.residence == residence)
    #expect(try ArrayFileTests.rows(source.train) == ArrayFileTests.counting)
    #expect(source.trainLabels?.values == [1, 0, 1, 2])
    // A row whose values are all stored has no zero of its own; the first has.
    let scan = try DataScan(source.train, pieces: 0..<1)
    #expect(scan.minimum == 0 && scan.maximum == 23)
    let dense = try NumericArray(path: "\(golden("hdf5/layouts.h5")):plain")
    #expect(
      try TableScan(source.train, pieces: 0..<1).columns
        == TableScan(dense, pieces: 0..<1).columns)
  }

  static let unfit: [(String, String)] = [
    ("layouts.h5", "name the one to read, for example"), ("layouts.h5:none", "and no 'none'"),
    ("layouts.h5:words", "has elements of type 'text'"),
    ("layouts.h5:lengths", "has the shape [4]; data need examples"),
  ]

  @Test(arguments: unfit) func whatIsNoDataIsSaid(_ name: String, sentence: String) throws {
    let error = #expect(throws: DataError.self) {
      try NumericArray(path: golden("hdf5/\(name)"))
    }
    #expect(error?.description.contains(sentence) == true, "\(error?.description ?? "")")
  }

  @Test(arguments: ["grey", "colour"]) func imagesInJPEG(_ name: String) throws {
    let folder = try TemporaryFolder()
    for copy in ["a.jpg", "b.JPEG"] {
      _ = try folder.write(try contents(golden("jpeg/\(name).jpg")), to: copy)
    }
    let images = try DataSource(name: folder.path).train
    try images.load()
    let decoded = try NumericArray(path: golden("jpeg/\(name).npy"))
    #expect(images.shape == [2] + decoded.shape)
    let row = try ArrayFileTests.rows(decoded).flatMap { $0 }
    #expect(try ArrayFileTests.rows(images) == [row, row])
  }

  @Test func imagesBesideFoldersOfImagesAreRefused() throws {
    let folder = try TemporaryFolder()
    let image = try contents(golden("jpeg/grey.jpg"))
    try FileManager.default.createDirectory(
      atPath: folder.path("cat"), withIntermediateDirectories: true)
    for name in ["a.jpg", "cat/b.jpg"] { _ = try folder.write(image, to: name) }
    #expect(throws: DataError.mixedFolder(path: folder.path, folder: "cat")) {
      _ = try DataSource(name: folder.path)
    }
  }

  @Test func imagesOfBothKindsLieTogether() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(try contents(golden("jpeg/grey.jpg")), to: "a.jpg")
    _ = try folder.write(try contents(golden("jpeg/colour.jpg")), to: "b.jpg")
    let images = try DataSource(name: folder.path).train
    try images.load()
    #expect(images.shape == [2, 11, 13, 3])
    let rows = try ArrayFileTests.rows(images)
    #expect(rows[0][0] == rows[0][1] && rows[0][1] == rows[0][2])
  }

  @Test func imagesThatAreCutShort() throws {
    let folder = try TemporaryFolder()
    let whole = try contents(golden("jpeg/colour.jpg"))
    _ = try folder.write(whole, to: "a.jpg")
    _ = try folder.write(Array(whole.prefix(whole.count - 40)), to: "b.jpg")
    let error = #expect(throws: DataError.self) { try DataSource(name: folder.path).train.load() }
    #expect(error?.description.contains("b.jpg' cannot be read as an image") == true)
  }
}
