internal import DataLoading
internal import Layers
internal import TensorKernels
internal import VAEObjective

extension TrainingConfiguration {
  /// Checks every range that does not depend on the data.
  ///
  /// - Throws: ``TrainingError/invalidSetting(name:value:expected:)`` for the first that is wrong,
  ///   or ``TrainingError/batchSmallerThanRanks(globalBatchSize:worldSize:)``.
  public func validate(worldSize: Int) throws(TrainingError) {
    try require(
      .hidden, hidden.allSatisfy { $0 > 0 && $0 <= Self.largestExtent },
      "widths from 1 to \(Self.largestExtent)")
    try validateNetwork()
    try requirePositive(.latent, latent, atMost: Self.largestExtent)
    try requirePositive(.draws, draws, atMost: Self.largestExtent)
    try requirePositive(.epochs, epochs, atMost: Self.largestCount)
    try requirePositive(.steps, steps, atMost: Self.largestCount)
    try requirePositive(.globalBatchSize, globalBatchSize, atMost: Self.largestCount)
    try requirePositive(.threads, threads, atMost: 4096)
    try requirePositive(.evaluateEvery, evaluateEvery)
    try requirePositive(.patience, patience)
    try requirePositive(.checkpointEvery, checkpointEvery)
    try requirePositive(.checkpointEverySteps, checkpointEverySteps)
    try requirePositive(.keep, keep)
    try requirePositive(.compareReplicasEvery, compareReplicasEvery)
    try require(.hangTimeout, hangTimeout >= 0, "at least 0 seconds")
    try require(
      .warmupSteps, warmupSteps >= 0 && warmupSteps <= Self.largestCount,
      "from 0 to \(Self.largestCount)")
    try require(.testFraction, testFraction > 0 && testFraction < 1, "between 0 and 1")
    try require(.scale, scale.map { Float($0) > 0 && Float($0).isFinite } ?? true, "above 0")
    try require(.learningRate, learningRate > 0 && learningRate.isFinite, "above 0")
    try require(.momentum, momentum >= 0 && momentum < 1, "at least 0 and below 1")
    try require(.weightDecay, weightDecay >= 0 && weightDecay.isFinite, "0 or more")
    try require(
      .clipGradientNorm, clipGradientNorm.map { $0 > 0 && $0.isFinite } ?? true, "above 0")
    try validateCondition()
    try validatePrior()
    try validateLikelihood()
    try validateObjective()
    try require(.momentum, momentum == 0 || optimizer == .sgd, "0 without --optimizer sgd")
    try requirePositive(.bucketBytes, bucketBytes, atMost: 1 << 30)
    try require(
      .allReducePrecision, allReducePrecision == .f32 || allReduce != .sharedMemory,
      "f32 with --all-reduce shared-memory, where nothing travels")
    try requirePositive(.microBatchSize, microBatchSize, atMost: Self.largestCount)
    try require(
      .microBatchSize, microBatchSize == nil || deterministic, "left out without --deterministic")
    try require(
      .allReducePrecision, allReducePrecision == .f32 || !deterministic, "f32 with --deterministic")
    try require(
      .allReduce, allReduce != .overlapped || !deterministic,
      "automatic, shared-memory or blocking with --deterministic")
    if globalBatchSize < worldSize {
      throw .batchSmallerThanRanks(globalBatchSize: globalBatchSize, worldSize: worldSize)
    }
  }

  private func validateNetwork() throws(TrainingError) {
    try require(
      .image, image.map { Extents($0) != nil } ?? true, "the extents of an example: 28x28x1")
    try require(
      .image, image == nil || seesImages, "left out with --network mlp, which sees values alone")
    try require(.encoder, encoder == nil || decoder != nil, "given with --decoder")
    try require(.decoder, decoder == nil || encoder != nil, "given with --encoder")
    try require(
      .network, network == .mlp || encoder == nil, "left out with --encoder and --decoder")
    try require(
      .hidden, !seesImages || hidden == Self().hidden,
      "left out with \(encoder == nil ? "--network conv" : "--encoder and --decoder")")
    do throws(NetworkError) { _ = try ownLayers() } catch { throw .unfitNetwork(error.description) }
  }

  private func validateCondition() throws(TrainingError) {
    let needs = "left out without --condition labels"
    try require(.classes, classes == nil || condition == .labels, needs)
    try requirePositive(.classes, classes, atMost: Labels.mostClasses)
  }

  private func validatePrior() throws(TrainingError) {
    try requirePositive(.priorComponents, priorComponents, atMost: 1_000_000)
    try require(
      .priorComponents, priorComponents == nil || prior != .standard,
      "left out with --prior standard")
    let needsLatents =
      "standard with --free-bits or --kl-capacity, which need a KL divergence of"
      + " each latent or of all in closed form"
    try require(
      .prior, prior == .standard || (freeBits == 0 && klCapacity == nil), needsLatents)
  }

  // A setting that the likelihood does not have is a mistake of its user, not a wish to be passed over.
  private func validateLikelihood() throws(TrainingError) {
    let name = "--likelihood \(likelihood.rawValue)"
    try require(
      .observationMean, observationMean == .linear || likelihood.hasScale,
      "linear with \(name), which has no location")
    try require(
      .observationScale, observationScale == .decoder || likelihood.hasScale,
      "decoder with \(name), which has no scale")
    try require(
      .observationScaleValue,
      observationScaleValue > 0 && Float(observationScaleValue).isNormal, "above 0")
    try require(
      .observationScaleFloor,
      observationScaleFloor >= 0 && Float(observationScaleFloor).isFinite, "0 or more")
    let defaults = Self()
    try require(
      .observationScaleValue,
      observationScaleValue == defaults.observationScaleValue
        || (likelihood.hasScale && observationScale != .decoder),
      "left out where the decoder gives the scale, or there is none")
    try require(
      .observationScaleFloor,
      observationScaleFloor == defaults.observationScaleFloor || observationScaleFloor == 0
        || (likelihood.hasScale && observationScale != .fixed) || likelihood == .table,
      "left out where no scale is learned")
    try require(
      .librarySize, librarySize == .none || likelihood.isOfCounts,
      "none with \(name), which is not of counts")
    try require(
      .categories, categories == nil || likelihood == .categorical,
      "left out with \(name), which has no classes")
    try require(
      .columns, columns == nil || likelihood == .table, "left out with \(name), which has none")
    try require(
      .likelihood, likelihood != .table || columns != nil,
      "given with --columns, what each column is: '3 gaussian, bernoulli, categorical 4' (vae-dist inspect DATA prints them)"
    )
    if let columns {
      do throws(TableDescription.Problem) { _ = try TableDescription(columns) } catch {
        throw .unfitColumns(error.description)
      }
    }
    try require(.scale, scale == nil || scale == 1 || likelihood != .table, "1 with \(name)")
    try require(
      .likelihood, likelihood != .categorical || categories != nil,
      "given with --categories, the number of classes")
    try require(
      .categories, (categories ?? 2) >= 2 && (categories ?? 2) <= 65_536, "from 2 to 65536")
    try require(
      .binarize,
      binarize == .none
        || !(likelihood.isOfCounts
          || [.categorical, .discretizedLogistic, .table].contains(likelihood)),
      "none with \(name)")
  }

  private func validateObjective() throws(TrainingError) {
    try require(.beta, beta >= 0 && beta <= Self.mostNats, "from 0 to 1e9")
    try require(
      .klWarmupSteps, klWarmupSteps >= 0 && klWarmupSteps <= Self.largestCount,
      "from 0 to \(Self.largestCount)")
    try require(
      .klCycles, klCycles >= 0 && klCycles <= Self.largestCount, "from 0 to \(Self.largestCount)")
    try require(
      .klCycles, klCycles == 0 || klWarmupSteps == 0,
      "0 with --kl-warmup-steps \(klWarmupSteps), since both say how the penalty rises")
    try require(
      .freeBits, freeBits >= 0 && freeBits <= Self.mostNats, "from 0 to 1e9")
    try require(
      .freeBitsGroups, freeBitsGroups.map { $0 >= 1 && $0 <= latent } ?? true,
      "from 1 to --latent \(latent)")
    try require(
      .freeBitsGroups, freeBitsGroups == nil || freeBits > 0, "left out without --free-bits")
    try require(
      .klCapacity, klCapacity.map { $0 >= 0 && $0 <= Self.mostNats } ?? true,
      "from 0 to 1e9")
    try require(
      .klCapacity, klCapacity == nil || freeBits == 0,
      "left out with --free-bits, since both say how much divergence is free")
    try require(
      .klCapacitySteps, klCapacitySteps >= 0 && klCapacitySteps <= Self.largestCount,
      "from 0 to \(Self.largestCount)")
    try require(
      .klCapacitySteps, klCapacitySteps == 0 || klCapacity != nil, "0 without --kl-capacity")
    let changesPenalty =
      beta != 1 || klWarmupSteps > 0 || klCycles > 0 || freeBits > 0 || klCapacity != nil
    try require(
      .bound, bound == .elbo || !changesPenalty,
      "elbo with --beta, --kl-warmup-steps, --kl-cycles, --free-bits or --kl-capacity, since the"
        + " importance-weighted bound has no KL divergence to weigh")
    try require(
      .gradientEstimator, gradientEstimator != .doublyReparameterized || bound == .iwae,
      "standard or stl without --bound iwae, whose weights it differentiates")
    try require(
      .gradientEstimator, gradientEstimator == .standard || (freeBits == 0 && klCapacity == nil),
      "standard with --free-bits or --kl-capacity, which need the closed form of the divergence")
  }

  // What fits into 24 bits of a random counter, and what can be multiplied without a thought.
  private static let largestExtent = (1 << 24) - 1
  private static let largestCount = 1_000_000_000
  // Sums of it over any number of examples are finite.
  private static let mostNats = 1e9

  private func requirePositive(
    _ key: CodingKeys, _ value: Int?, atMost largest: Int = largestCount
  ) throws(TrainingError) {
    guard let value, value < 1 || value > largest else { return }
    try require(key, false, value < 1 ? "at least 1" : "at most \(largest)")
  }

  private func require(
    _ key: CodingKeys, _ holds: Bool, _ expected: String
  ) throws(TrainingError) {
    if holds { return }
    let value = settings.first { $0.name == key.rawValue }?.value ?? ""
    throw .invalidSetting(name: key.rawValue, value: value, expected: expected)
  }
}
