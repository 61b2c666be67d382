extension TrainingConfiguration {
  /// Checks every range that does not depend on the data.
  ///
  /// - Throws: ``TrainingError/invalidSetting(name:value:expected:)`` for the first that is wrong,
  ///   or ``TrainingError/batchSmallerThanRanks(globalBatchSize:worldSize:)``.
  public func validate(worldSize: Int) throws(TrainingError) {
    try require(.hidden, hidden.allSatisfy { $0 > 0 }, "widths above 0")
    try requirePositive(.latent, latent)
    try requirePositive(.draws, draws)
    try require(.draws, draws < 1 << 24, "below 16777216")
    try requirePositive(.epochs, epochs)
    try requirePositive(.steps, steps)
    try requirePositive(.globalBatchSize, globalBatchSize)
    try requirePositive(.threads, threads)
    try requirePositive(.evaluateEvery, evaluateEvery)
    try requirePositive(.checkpointEvery, checkpointEvery)
    try requirePositive(.checkpointEverySteps, checkpointEverySteps)
    try requirePositive(.keep, keep)
    try require(.warmupSteps, warmupSteps >= 0, "0 or more")
    try require(.testFraction, testFraction > 0 && testFraction < 1, "between 0 and 1")
    try require(.scale, scale.map { $0 > 0 && $0.isFinite } ?? true, "above 0")
    try require(.learningRate, learningRate > 0 && learningRate.isFinite, "above 0")
    try require(.momentum, momentum >= 0 && momentum < 1, "at least 0 and below 1")
    try require(.weightDecay, weightDecay >= 0 && weightDecay.isFinite, "0 or more")
    try require(
      .clipGradientNorm, clipGradientNorm.map { $0 > 0 && $0.isFinite } ?? true, "above 0")
    if globalBatchSize < worldSize {
      throw .batchSmallerThanRanks(globalBatchSize: globalBatchSize, worldSize: worldSize)
    }
  }

  private func requirePositive(_ key: CodingKeys, _ value: Int?) throws(TrainingError) {
    try require(key, value.map { $0 > 0 } ?? true, "at least 1")
  }

  private func require(
    _ key: CodingKeys, _ holds: Bool, _ expected: String
  ) throws(TrainingError) {
    if holds { return }
    let value = settings.first { $0.name == key.rawValue }?.value ?? ""
    throw .invalidSetting(name: key.rawValue, value: value, expected: expected)
  }
}
