import CKernels
import TensorKernels
import TestSupport
import Testing

@Suite struct RandomStreamTests {
  // The known answers that come with the generator's authors' own library (Random123, kat_vectors).
  static let knownAnswers: [(counter: [UInt32], key: [UInt32], words: [UInt32])] = [
    ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    (
      [UInt32](repeating: .max, count: 4), [.max, .max],
      [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    ),
    (
      [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
      [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
    ),
  ]

  @Test(arguments: 0..<3) func philoxGivesTheKnownAnswers(_ number: Int) {
    let answer = Self.knownAnswers[number]
    var words = [UInt32](repeating: 0, count: 4)
    vd_kernel_philox(answer.counter, answer.key, &words)
    #expect(words == answer.words)
  }

  static func draw(
    _ stream: RandomStream, _ examples: [UInt32], columns: Int, firstDraw: Int = 0, draws: Int = 1,
    normal: Bool
  ) -> [[Float]] {
    let buffer = FloatBuffer.poisoned(examples.count * draws * columns)
    let matrix = buffer.matrix(rows: examples.count * draws, columns: columns)
    examples.withUnsafeBufferPointer {
      if normal {
        stream.fillNormal(matrix, examples: $0, firstDraw: firstDraw, draws: draws)
      } else {
        stream.fillUniform(matrix, examples: $0, firstDraw: firstDraw, draws: draws)
      }
    }
    return (0..<matrix.rows).map { Array(matrix.row($0)) }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 20, 63, 64, 65, 784], [false, true])
  func aRowDependsOnItsExampleAndDrawAlone(columns: Int, normal: Bool) {
    let stream = RandomStream(seed: 7, purpose: .trainingNoise, time: 3)
    let all = Self.draw(stream, Array(0..<40), columns: columns, draws: 3, normal: normal)
    for example in [0, 1, 17, 39] {
      let alone = Self.draw(
        stream, [UInt32(example)], columns: columns, firstDraw: 1, draws: 2, normal: normal)
      #expect(alone == Array(all[example * 3 + 1..<example * 3 + 3]))
    }
  }

  @Test func everyPartOfTheKeyMatters() {
    func first(_ stream: RandomStream, example: UInt32 = 0, draw: Int = 0) -> [Float] {
      Self.draw(stream, [example], columns: 4, firstDraw: draw, normal: false)[0]
    }
    let base = RandomStream(seed: 1, purpose: .trainingNoise, time: 0)
    let others = [
      first(RandomStream(seed: 2, purpose: .trainingNoise, time: 0)),
      first(RandomStream(seed: 1 << 40 + 1, purpose: .trainingNoise, time: 0)),
      first(RandomStream(seed: 1, purpose: .evaluationNoise, time: 0)),
      first(RandomStream(seed: 1, purpose: .trainingNoise, time: 1)),
      first(base, example: 1), first(base, draw: 1),
    ]
    for other in others { #expect(other != first(base)) }
    #expect(Set(others).count == others.count)
  }

  @Test func uniformsLieInTheirRangeAndFillIt() {
    let values = Self.draw(
      RandomStream(seed: 5, purpose: .shuffle), Array(0..<1000), columns: 100, normal: false
    ).flatMap { $0.map(Double.init) }
    #expect(values.allSatisfy { $0 >= 0 && $0 < 1 })
    let mean = values.reduce(0, +) / 1e5
    // Standard error of the mean: 1 / √(12 · 10⁵) = 0.0009; four of them.
    #expect(abs(mean - 0.5) < 0.0037)
    for tenth in 0..<10 {
      let count = values.count { Int($0 * 10) == tenth }
      // Binomial(10⁵, 0.1) has a standard deviation of 95.
      #expect(abs(count - 10_000) < 480)
    }
  }

  @Test func normalsHaveTheRightMomentsAndTails() {
    let values = Self.draw(
      RandomStream(seed: 11, purpose: .trainingNoise), Array(0..<4000), columns: 50, normal: true
    ).flatMap { $0.map(Double.init) }
    let count = Double(values.count)  // 2·10⁵
    func moment(_ power: Int) -> Double {
      values.reduce(0) { sum, value in sum + (0..<power).reduce(1.0) { p, _ in p * value } } / count
    }
    // Four standard errors: √(1, 2, 15, 96) / √(2·10⁵).
    #expect(abs(moment(1)) < 0.0090)
    #expect(abs(moment(2) - 1) < 0.0127)
    #expect(abs(moment(3)) < 0.0347)
    #expect(abs(moment(4) - 3) < 0.0877)
    let beyondTwo = values.count { abs($0) > 2 }
    // 0.0455 of 2·10⁵ = 9100, standard deviation 93.
    #expect(abs(beyondTwo - 9100) < 373)
    // Neighbours are not correlated: standard error 1/√(2·10⁵).
    let product = zip(values, values.dropFirst()).reduce(0) { $0 + $1.0 * $1.1 } / count
    #expect(abs(product) < 0.0090)
  }

  @Test(arguments: [1, 2, 3, 10, 1797]) func permutationsHoldEveryNumberOnce(_ count: Int) {
    let order = RandomStream(seed: 3, purpose: .shuffle, time: 1).permutation(of: count)
    #expect(order.sorted() == Array(0..<UInt32(count)))
    #expect(order == RandomStream(seed: 3, purpose: .shuffle, time: 1).permutation(of: count))
    if count > 9 {
      #expect(order != RandomStream(seed: 3, purpose: .shuffle, time: 2).permutation(of: count))
    }
  }

  @Test func permutationsAreUniform() {
    // Each of the 6 orders of 3, in 6,000 epochs: 1,000, standard deviation 29.
    var counts: [[UInt32]: Int] = [:]
    for epoch in 0..<6000 {
      counts[
        RandomStream(seed: 1, purpose: .shuffle, time: UInt32(epoch)).permutation(of: 3), default: 0
      ] += 1
    }
    #expect(counts.count == 6)
    for count in counts.values { #expect(abs(count - 1000) < 145) }
  }
}
