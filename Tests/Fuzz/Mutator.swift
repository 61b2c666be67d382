/// Changes valid files at random, in ways that have broken readers before.
struct Mutator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

  /// A whole number below a bound.
  mutating func number(below bound: Int) -> Int {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Int(truncatingIfNeeded: state >> 1) % max(bound, 1)
  }

  // Sizes and offsets at which arithmetic goes wrong.
  private static let edges: [UInt64] = [
    0, 1, 7, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
    1 << 40, 1 << 62, 0x7fff_ffff_ffff_ffff, 1 << 63, .max,
  ]
  private static let words = [
    "-1", "0", "1e999", "nan", "inf", "9223372036854775807", "18446744073709551616", "4294967296",
    "\"", "{", "}", "[", "]", ":", ",", "\n", "null", "true", "()", "'descr'", "'<f8'", "'|O'",
    "'fortran_order': True", "F64", "BF16", "data_offsets", "__metadata__", "\u{0}", "- ", "&a",
    "*a", "!!", "|", "é",
  ]

  /// A file with one to eight changes, from one of the files or the middle of two.
  mutating func mutate(_ files: [[UInt8]]) -> [UInt8] {
    var bytes = files[number(below: files.count)]
    for _ in 0...number(below: 8) { change(&bytes, files) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8], _ files: [[UInt8]]) {
    // Headers are where readers decide.
    let reach = number(below: 3) == 0 ? bytes.count : min(bytes.count, 160)
    let place = number(below: reach + 1)
    let length = 1 << number(below: 7)
    switch number(below: 9) {
    case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8(number(below: 8))
    case 1 where place < bytes.count: bytes[place] = UInt8(number(below: 256))
    case 2: bytes.removeSubrange(place..<min(place + length, bytes.count))
    case 3:
      let part = bytes[place..<min(place + length, bytes.count)]
      bytes.insert(contentsOf: part, at: place)
    case 4: bytes.removeSubrange(place...)
    case 5:
      let edge = Self.edges[number(below: Self.edges.count)]
      let width = [1, 2, 4, 8][number(below: 4)]
      let isBig = number(below: 2) == 0
      for index in 0..<width where place + index < bytes.count {
        let shift = UInt64(8 * (isBig ? width - 1 - index : index))
        bytes[place + index] = UInt8(truncatingIfNeeded: edge >> shift)
      }
    case 6:
      bytes.insert(contentsOf: Self.words[number(below: Self.words.count)].utf8, at: place)
    case 7:
      // A number of the text becomes another one.
      guard
        let start = bytes[min(place, bytes.count)...].firstIndex(where: { (48...57).contains($0) })
      else { return }
      let end = bytes[start...].firstIndex { !(48...57).contains($0) } ?? bytes.count
      bytes.replaceSubrange(
        start..<end, with: String(Self.edges[number(below: Self.edges.count)]).utf8)
    case 8:
      let other = files[number(below: files.count)]
      bytes = Array(bytes[..<place] + other[number(below: other.count + 1)...])
    default: break
    }
    if bytes.count > 1 << 16 { bytes.removeSubrange((1 << 16)...) }
  }
}
