import Foundation
import TensorKernels
import TestSupport
import Testing

/// A mixture of Gaussians against the formula in `Double`.
@Suite struct MixtureTests {
  struct Setup {
    let components: Int
    let latent: Int
    var means: [Double]
    var logVariances: [Double]
    var logits: [Double]

    init(components: Int, latent: Int, seed: UInt64) {
      var random = TestRandom(seed: seed)
      self.components = components
      self.latent = latent
      means = random.uniform(components * latent, in: -2...2).map { Double(Float($0)) }
      logVariances = random.uniform(components * latent, in: -2...1).map { Double(Float($0)) }
      logits = random.uniform(components, in: -2...2).map { Double(Float($0)) }
    }

    func logDensity(_ z: [Double]) -> Double {
      let total = log(logits.reduce(0) { $0 + exp($1) })
      let terms = (0..<components).map { k in
        (0..<latent).reduce(logits[k] - total) { sum, j in
          let (d, v) = (z[j] - means[k * latent + j], logVariances[k * latent + j])
          return sum - 0.5 * (log(2 * Double.pi) + v + d * d * exp(-v))
        }
      }
      let largest = terms.max() ?? 0
      return largest + log(terms.reduce(0) { $0 + exp($1 - largest) })
    }

    var mixture: GaussianMixture {
      let mixture = GaussianMixture(components: components, latent: latent)
      let logits = FloatBuffer(logits)
      mixture.set(
        means: FloatBuffer(means).matrix(rows: components, columns: latent),
        logVariances: FloatBuffer(logVariances).matrix(rows: components, columns: latent),
        logits: logits.elements)
      return mixture
    }

    func densities(_ z: [[Double]]) -> [Double] {
      let mixture = mixture
      let shares = FloatBuffer.poisoned(z.count * mixture.stride)
      return withFigures(z.count) {
        mixture.density(
          of: matrix(z, columns: latent),
          responsibilities: shares.matrix(rows: z.count, columns: mixture.stride), into: $0)
      }
    }
  }

  @Test(arguments: [(1, 1), (3, 2), (16, 5), (17, 20), (100, 7), (500, 40)])
  func densityAndGradientAreThoseOfTheFormula(_ components: Int, _ latent: Int) {
    let setup = Setup(components: components, latent: latent, seed: UInt64(components))
    var random = TestRandom(seed: 5)
    // Near the first components, so that these answer for something.
    let z = (0..<6).map { row in
      random.uniform(latent).enumerated().map {
        Double(Float(setup.means[min(row, components - 1) * latent + $0.offset] + $0.element))
      }
    }
    let densities = setup.densities(z)
    for (row, density) in zip(z, densities) {
      // Sums of up to 40 float terms.
      #expect(abs(density - setup.logDensity(row)) < 1e-6 * (10 + abs(density)))
    }

    let weights = random.uniform(6, in: 0...1).map { Double(Float($0)) }
    let mixture = setup.mixture
    let latents = matrix(z, columns: latent)
    let shares = FloatBuffer.poisoned(6 * mixture.stride)
      .matrix(rows: 6, columns: mixture.stride)
    _ = withFigures(6) { mixture.density(of: latents, responsibilities: shares, into: $0) }
    let scores = FloatBuffer.poisoned(6 * latent).matrix(rows: 6, columns: latent)
    mixture.scores(of: latents, responsibilities: shares, into: scores)
    // Rows that lie apart, as those of a posterior do.
    let means = FloatBuffer.poisoned(components * 2 * latent)
      .matrix(rows: components, columns: 2 * latent)
    let logits = FloatBuffer.poisoned(components)
    let drawWeights = FloatBuffer(weights)
    mixture.gradient(
      of: latents, responsibilities: shares, drawWeights: drawWeights.elements, scale: 0.5,
      means: means.columns(0..<latent), logVariances: means.columns(latent..<2 * latent),
      logits: logits.mutableElements)

    let h = 1e-5
    func objective(_ setup: Setup) -> Double {
      zip(z, weights).reduce(0) { $0 - 0.5 * $1.1 * setup.logDensity($1.0) }
    }
    func differences(_ path: WritableKeyPath<Setup, [Double]>, _ indices: Range<Int>) -> [Double] {
      indices.map { index in
        var (above, below) = (setup, setup)
        above[keyPath: path][index] += h
        below[keyPath: path][index] -= h
        return (objective(above) - objective(below)) / (2 * h)
      }
    }
    // The first components are enough of them.
    let some = min(components, 4)
    expectClose(
      means.columns(0..<latent).rows(0..<some).values, differences(\.means, 0..<some * latent),
      within: 2e-5, "means")
    expectClose(
      means.columns(latent..<2 * latent).rows(0..<some).values,
      differences(\.logVariances, 0..<some * latent), within: 2e-5, "log variances")
    expectClose(
      logits.values.prefix(some), differences(\.logits, 0..<some), within: 2e-5, "logits")
    for (index, row) in z.enumerated() {
      let expected = row.indices.map { j in
        var (above, below) = (row, row)
        above[j] += h
        below[j] -= h
        return (setup.logDensity(below) - setup.logDensity(above)) / (2 * h)
      }
      expectClose(scores.rows(index..<index + 1).values, expected, within: 1e-5, "scores")
    }
  }

  @Test func densityIntegratesToOne() {
    let setup = Setup(components: 5, latent: 1, seed: 4)
    let step = 0.01
    let points = stride(from: -12.0, through: 12, by: step).map { [$0] }
    let sum = setup.densities(points).reduce(0) { $0 + exp($1) * step }
    #expect(abs(sum - 1) < 1e-5)
  }

  // A component that has shrunk to a point somewhere else changes nothing.
  @Test(arguments: [-60.0, -85, -100, -300]) func narrowComponentsElsewhereAreSilent(
    _ logVariance: Double
  ) {
    var setup = Setup(components: 2, latent: 1, seed: 3)
    setup.means = [0, 3]
    setup.logVariances = [0, logVariance]
    setup.logits = [0, 0]
    let mixture = setup.mixture
    let latents = matrix([[0.5]], columns: 1)
    let shares = FloatBuffer(count: mixture.stride).matrix(rows: 1, columns: mixture.stride)
    let density = withFigures(1) {
      mixture.density(of: latents, responsibilities: shares, into: $0)
    }[0]
    #expect(abs(density - (log(0.5) - 0.5 * (log(2 * Double.pi) + 0.25))) < 1e-6)
    let scores = FloatBuffer.poisoned(1).matrix(rows: 1, columns: 1)
    mixture.scores(of: latents, responsibilities: shares, into: scores)
    #expect(scores.row(0)[0] == 0.5)
    let (means, variances, logits) = (
      FloatBuffer.poisoned(2), FloatBuffer.poisoned(2), FloatBuffer.poisoned(2)
    )
    let weights = FloatBuffer([1])
    mixture.gradient(
      of: latents, responsibilities: shares, drawWeights: weights.elements, scale: 1,
      means: means.matrix(rows: 2, columns: 1), logVariances: variances.matrix(rows: 2, columns: 1),
      logits: logits.mutableElements)
    #expect(means.values == [-0.5, 0] && variances.base[1] == 0)
    #expect(logits.values == [-0.5, 0.5])
  }

  // Where every component is far away, their log densities alone count.
  @Test func farAwayIsFinite() {
    let setup = Setup(components: 3, latent: 2, seed: 1)
    let density = setup.densities([[1e4, -1e4]])[0]
    #expect(density.isFinite && abs(density / setup.logDensity([1e4, -1e4]) - 1) < 1e-6)
  }
}
