import Foundation
import Inference
import TestSupport
import Testing

/// Directions of known variance, turned, are found again.
@Suite struct PrincipalComponentsTests {
  @Test func knownDirectionsAreFound() throws {
    // Deviations 3, 2 and 0.5 along three orthonormal directions of five dimensions.
    let directions: [[Double]] = [
      [0.6, 0.8, 0, 0, 0], [-0.8, 0.6, 0, 0, 0], [0, 0, 0.6, 0, 0.8],
    ]
    var random = TestRandom(seed: 3)
    let count = 4_000
    var points: [Float] = []
    var along: [(Double, Double)] = []
    for _ in 0..<count {
      let parts = zip([3, 2, 0.5], random.normal(3)).map { $0 * $1 }
      along.append((parts[0], parts[1]))
      points += (0..<5).map { axis in
        Float(10 + (0..<3).reduce(0.0) { $0 + parts[$1] * directions[$1][axis] })
      }
    }
    let found = PrincipalComponents(points, dimensions: 5)
    #expect(abs(found.shares.first - 9 / 13.25) < 0.02)
    #expect(abs(found.shares.second - 4 / 13.25) < 0.02)
    // The second direction's largest part, −0.8, is made positive.
    let means = along.reduce((0.0, 0.0)) {
      ($0.0 + $1.0 / Double(count), $0.1 + $1.1 / Double(count))
    }
    for (place, own) in zip(found.places, along) {
      #expect(abs(place.first - (own.0 - means.0)) < 0.3)
      #expect(abs(place.second + (own.1 - means.1)) < 0.3)
    }
  }

  @Test func pointsThatDoNotDifferHaveNoDirections() {
    let found = PrincipalComponents([1, 2, 1, 2, 1, 2], dimensions: 2)
    #expect(found.shares.first == 0 && found.places.count == 3)
    #expect(found.places.allSatisfy { abs($0.first) < 1e-12 && abs($0.second) < 1e-12 })
    #expect(PrincipalComponents([], dimensions: 3).places.isEmpty)
  }

  @Test func interpolationsKeepTheirEndsAndLengths() {
    let (one, other): ([Float], [Float]) = ([3, 0], [0, 1])
    let straight = LatentPaths.interpolate(from: one, to: other, count: 5, isSpherical: false)
    #expect(straight.count == 10 && Array(straight.prefix(2)) == one)
    #expect(Array(straight.suffix(2)) == other && straight[4] == 1.5 && straight[5] == 0.5)
    // Along the circle: 45° at the middle.
    let round = LatentPaths.interpolate(
      from: [2, 0], to: [0, 2], count: 3, isSpherical: true)
    #expect(abs(round[2] - Float(2.0.squareRoot())) < 1e-6 && abs(round[2] - round[3]) < 1e-6)
  }
}
