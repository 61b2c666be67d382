internal import Collectives
public import DataLoading
internal import Digests
internal import TensorKernels

/// Data that were opened, scanned, checked and split; the same on every rank.
public struct PreparedData: Sendable {
  /// The examples to learn from.
  public let train: Examples
  /// The examples to evaluate on.
  public let test: Examples
  /// SHA-256 of the training and test arrays' shapes, formats and elements.
  public let digest: String
  /// Whether training and test examples are different ones.
  public let hasSplit: Bool
  /// What the files' values are divided by.
  public let scale: Float
  /// The smallest and the largest value of the training array, scaled.
  public let range: ClosedRange<Float>
  /// How many classes the examples have; nil where labels are not asked for.
  public let classes: Int?
  /// What the data call values and classes.
  public let names: DataNames
  /// What the columns of a table are, standardized by the training examples unless the configuration
  /// says by what; nil for other data.
  let columns: TableDescription?

  /// Opens, scans and splits what the configuration names.
  ///
  /// Collective: each rank scans its part of the elements.
  ///
  /// - Parameters:
  ///   - configuration: What to open and how.
  ///   - agreement: The ranks.
  ///   - holdsOut: Whether test examples are held out where the data have none; otherwise all
  ///     examples are both.
  ///   - split: The only part whose labels are wanted; nil for all.
  ///   - known: What a model calls values and classes, where others than its own data are read.
  /// - Throws: ``SharedFailure`` if the data are missing, damaged, different between ranks, or not
  ///   what the likelihood needs.
  public init(
    _ configuration: TrainingConfiguration, agreement: Agreement, holdsOut: Bool = true,
    labelsOnlyOf split: Split? = nil, known: DataNames? = nil
  ) throws {
    let source = try agreement.onEveryRank {
      let source = try DataSource(
        name: configuration.data, testPath: configuration.testData,
        labels: configuration.labelRequest(only: split),
        choice: configuration.columnChoice(known: known))
      try Self.checkTexts(source.train, configuration)
      return source
    }
    names = source.names
    let labels = [source.trainLabels, source.testLabels].compactMap { $0 }
    let classes =
      configuration.classes ?? (labels.isEmpty ? nil : labels.map(\.classCount).max())
    self.classes = classes
    try agreement.onEveryRank {
      guard let classes else { return }
      for labels in labels { try labels.check(classes: classes) }
    }
    if holdsOut {
      try agreement.onEveryRank { try Self.checkShownLabels(source, configuration) }
    }
    try agreement.requireEqual(Self.form(source))
    try agreement.requireEqual(labels.map { ("labels", String($0.digest.prefix(12))) })
    try Self.load([source.train, source.test].compactMap { $0 }, agreement)
    try agreement.requireEqual(agreement.onEveryRank { try Self.fingerprint(source) })
    let trainScan = try Self.scan(source.train, "training data", agreement)
    let testScan = try source.test.map { try Self.scan($0, "test data", agreement) }
    let scale =
      configuration.scale.map { Float($0) }
      ?? (configuration.likelihood == .table
        ? 1 : Self.usualScale(configuration.valueNeed.need, source, trainScan))
    digest = SHA256.hexadecimal(
      of: trainScan.digest(of: source.train)
        + (source.test.flatMap { array in testScan.map { $0.digest(of: array) } } ?? "")
        + labels.map(\.digest).joined())
    self.scale = scale
    hasSplit = source.test != nil || holdsOut
    (train, test) = try agreement.onEveryRank {
      try Self.check(
        source.train, trainScan, configuration, scale: scale, isScored: !holdsOut)
      guard let testArray = source.test, let testScan else {
        if !holdsOut {
          return (
            Examples(source.train, split: .train, scale: scale, labels: source.trainLabels),
            Examples(source.train, split: .test, scale: scale, labels: source.trainLabels)
          )
        }
        return try Examples.holdOut(
          source.train, testFraction: configuration.testFraction, seed: configuration.seed,
          scale: scale, labels: source.trainLabels)
      }
      try Self.check(
        testArray, testScan, configuration, scale: scale, isScored: !holdsOut)
      return (
        Examples(source.train, split: .train, scale: scale, labels: source.trainLabels),
        Examples(testArray, split: .test, scale: scale, labels: source.testLabels)
      )
    }
    columns = try TableDescription(
      configuration, train: train, test: source.test, agreement: agreement)
    // Of a table without any value there is none.
    range =
      trainScan.minimum <= trainScan.maximum
      ? trainScan.minimum / scale...trainScan.maximum / scale : 0...0
  }

  /// Height, width and channels of an example, where the file's arrays have such axes.
  var imageExtents: Extents? {
    let shape = train.array.shape.dropFirst().map { $0 }
    switch shape.count {
    case 2: return Extents(height: shape[0], width: shape[1], channels: 1)
    case 3: return Extents(height: shape[0], width: shape[1], channels: shape[2])
    default: return nil
    }
  }

  /// The examples of a split.
  public func examples(_ split: Split) -> Examples { split == .train ? train : test }

  // The numbers of texts mean nothing by themselves.
  private static func checkTexts(
    _ array: NumericArray, _ configuration: TrainingConfiguration
  ) throws(DataError) {
    if configuration.likelihood == .table { return }
    if let first = array.names.classes.min(by: { $0.key < $1.key }) {
      throw .textColumn(
        path: array.path, column: array.columnName(first.key), texts: first.value)
    }
  }

  // Labels that the model does not see are wanted at the run's end: what is wrong with them is said at its start.
  private static func checkShownLabels(
    _ source: DataSource, _ configuration: TrainingConfiguration
  ) throws(DataError) {
    if configuration.condition == .labels { return }
    if let path = configuration.labels {
      _ = try DataSource.labelsIfAny(
        of: source.train, beside: configuration.data, split: .train, given: path)
    }
    guard let path = configuration.testLabels else { return }
    guard let test = source.test else { throw .labelsWithoutExamples(path: path) }
    _ = try DataSource.labelsIfAny(of: test, beside: configuration.data, split: .test, given: path)
  }

  // What can be compared before anything is loaded: ranks must agree on what there is to load, since
  // one of a node reads its file for all of them.
  private static func form(_ source: DataSource) -> [(name: String, value: String)] {
    [("training data", source.train), ("test data", source.test)].compactMap { name, array in
      array.map { array in
        let pending = array.pendingByteCount
        let place = pending > 0 ? "\(pending) bytes to load" : "\(array.residence)"
        return (name, "\(array.type.rawValue) \(array.shape) \(array.checksum), \(place)")
      }
    }
  }

  // What cannot be mapped is loaded once for all ranks of a node; each array by another rank.
  private static func load(_ arrays: [NumericArray], _ agreement: Agreement) throws {
    let communicator = agreement.communicator
    let pending = arrays.filter { $0.pendingByteCount > 0 }
    if pending.isEmpty { return }
    if communicator.worldSize == 1 {
      return try agreement.onEveryRank { for array in pending { try array.load() } }
    }
    let shared = try pending.enumerated().map { index, array in
      let loader = index % communicator.nodeSize
      let memory = try communicator.shareMemory(
        byteCount: communicator.nodeRank == loader ? array.pendingByteCount : 0)
      return (array: array, loader: loader, memory: memory)
    }
    try agreement.onEveryRank {
      for (array, loader, memory) in shared {
        guard let memory else {
          try array.load()
          continue
        }
        try array.load(
          into: memory.segments[loader], owner: memory, fills: communicator.nodeRank == loader)
        memory.publish()
      }
    }
    for (_, _, memory) in shared { memory?.publish() }
  }

  // Each rank scans a part, so two files that differ could pass for one. Some rows that every rank
  // reads show that, before other ranks' words about the rest are believed.
  private static func fingerprint(
    _ source: DataSource
  ) throws -> [(name: String, value: String)] {
    try [("training data", source.train), ("test data", source.test)].compactMap { name, array in
      guard let array else { return nil }
      let row = FloatBuffer(count: array.width)
      let hash = SHA256()
      let count = isSmall(array) ? 32 : 1024
      for number in 0..<count {
        try array.read(
          example: number * (array.exampleCount - 1) / (count - 1), scale: 1,
          into: row.mutableElements)
        hash.update(UnsafeRawBufferPointer(row.elements))
      }
      let digest = SHA256.hexadecimal(hash.finish()).prefix(12)
      return (name, "\(array.type.rawValue) \(array.shape) \(digest)")
    }
  }

  // The ranks of each node scan together everything that they will read, if they read one file, and each by
  // itself otherwise; unless that takes too long: then all ranks together do.
  private static func scan(
    _ array: NumericArray, _ name: String, _ agreement: Agreement
  ) throws -> DataScan {
    let communicator = agreement.communicator
    let isSmall = isSmall(array)
    let leaders = try communicator.allGather(Array("\(communicator.nodeLeader)".utf8))
    let files = try communicator.allGather(Array(array.identity.utf8))
    let areShared = zip(files, leaders).allSatisfy { file, leader in
      Int(String(decoding: leader, as: UTF8.self)).map { files[$0] == file } ?? false
    }
    if isSmall && !areShared {
      let scan = try agreement.onEveryRank {
        try DataScan(array, pieces: 0..<DataScan.pieceCount(of: array))
      }
      try agreement.requireEqual([(name, String(scan.digest(of: array).prefix(12)))])
      return scan
    }
    let pieces =
      isSmall
      ? EpochSampler.slice(
        of: 0..<DataScan.pieceCount(of: array), rank: communicator.nodeRank,
        worldSize: communicator.nodeSize)
      : ownPieces(of: array, communicator)
    let part = try agreement.onEveryRank { try DataScan(array, pieces: pieces) }
    let parts = try communicator.allGather(part.encoded)
    let own = leaders[communicator.rank]
    let scan = DataScan(
      joining: zip(parts, leaders).filter { !isSmall || $1 == own }.map { DataScan(encoded: $0.0) })
    try agreement.requireEqual([(name, String(scan.digest(of: array).prefix(12)))])
    return scan
  }

  // Four gigabytes take some seconds.
  private static func isSmall(_ array: NumericArray) -> Bool { array.storedByteCount <= 4 << 30 }

  static func ownPieces(
    of array: NumericArray, _ communicator: any Communicator
  ) -> Range<Int> {
    EpochSampler.slice(
      of: 0..<DataScan.pieceCount(of: array), rank: communicator.rank,
      worldSize: communicator.worldSize)
  }

  private static func check(
    _ array: NumericArray, _ scan: DataScan, _ configuration: TrainingConfiguration, scale: Float,
    isScored: Bool
  ) throws(DataError) {
    if let position = scan.firstNonFinite, configuration.likelihood != .table {
      throw .nonFinite(
        path: array.path, example: position / array.width, position: position % array.width)
    }
    if configuration.likelihood == .table { return }
    let (need, reason) = configuration.valueNeed
    let values = FoundValues(
      range: scan.minimum...scan.maximum, isIntegral: scan.isIntegral, scale: scale)
    if !need.isMet(by: values) {
      throw .unsuitable(
        path: array.path, values: values, needs: need, reason: reason, isScored: isScored)
    }
  }

  // What values are divided by where nobody says.
  private static func usualScale(
    _ need: ValueNeed, _ source: DataSource, _ scan: DataScan
  ) -> Float {
    switch need {
    case .counts, .classes: 1
    case .bytes: 255
    case .anything, .unitInterval:
      // Shades of grey reach further than 16; small numbers may be counts or classes.
      source.knownScale ?? (source.train.type == .uint8 && scan.maximum > 16 ? 255 : 1)
    }
  }
}
