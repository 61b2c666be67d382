#if canImport(Glibc)
internal import Glibc
#endif

/// The two directions in which points differ most.
public struct PrincipalComponents: Sendable {
  /// Each point's place along the first and the second direction.
  public let places: [(first: Double, second: Double)]
  /// What part of the variance each direction holds.
  public let shares: (first: Double, second: Double)

  /// The directions of some points, by orthogonal iteration on their covariance.
  ///
  /// - Parameters:
  ///   - points: `[count, dimensions]`.
  ///   - dimensions: 2 or more.
  public init(_ points: [Float], dimensions: Int) {
    let count = points.count / dimensions
    var means = [Double](repeating: 0, count: dimensions)
    for index in points.indices { means[index % dimensions] += Double(points[index]) }
    for index in means.indices { means[index] /= Double(max(count, 1)) }
    let centered = points.indices.map { Double(points[$0]) - means[$0 % dimensions] }
    var covariance = [Double](repeating: 0, count: dimensions * dimensions)
    for point in 0..<count {
      let row = centered[point * dimensions..<(point + 1) * dimensions]
      for i in 0..<dimensions {
        let own = row[row.startIndex + i]
        for j in 0..<dimensions { covariance[i * dimensions + j] += own * row[row.startIndex + j] }
      }
    }
    func times(_ vector: [Double]) -> [Double] {
      (0..<dimensions).map { i in
        (0..<dimensions).reduce(0.0) { $0 + covariance[i * dimensions + $1] * vector[$1] }
      }
    }
    let total = (0..<dimensions).reduce(0.0) { $0 + covariance[$1 * dimensions + $1] }
    // Begin with what no axis is orthogonal to.
    var first = Self.unit((0..<dimensions).map { 1 + 0.1 * sin(Double($0)) })
    var second = Self.unit(
      Self.without(first, (0..<dimensions).map { cos(1.7 * Double($0)) + 0.01 }))
    for _ in 0..<300 {
      (first, second) = (Self.unit(times(first)), times(second))
      second = Self.unit(Self.without(first, second))
    }
    // Of two directions either sign is as good: the largest part is made positive.
    first = Self.signed(first)
    second = Self.signed(second)
    func variance(_ direction: [Double]) -> Double {
      zip(direction, times(direction)).reduce(0) { $0 + $1.0 * $1.1 }
    }
    shares = total > 0 ? (variance(first) / total, variance(second) / total) : (0, 0)
    let (one, two) = (first, second)
    places = (0..<count).map { point in
      var place = (first: 0.0, second: 0.0)
      for index in 0..<dimensions {
        place.first += one[index] * centered[point * dimensions + index]
        place.second += two[index] * centered[point * dimensions + index]
      }
      return place
    }
  }

  private static func unit(_ vector: [Double]) -> [Double] {
    let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return length > 0 ? vector.map { $0 / length } : vector
  }

  private static func without(_ direction: [Double], _ vector: [Double]) -> [Double] {
    let along = zip(direction, vector).reduce(0) { $0 + $1.0 * $1.1 }
    return zip(vector, direction).map { $0 - along * $1 }
  }

  private static func signed(_ vector: [Double]) -> [Double] {
    let largest = vector.max { abs($0) < abs($1) } ?? 0
    return largest < 0 ? vector.map { -$0 } : vector
  }
}
