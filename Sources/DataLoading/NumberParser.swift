#if canImport(Glibc)
internal import Glibc
#endif

/// Numbers as people and programs write them, as the nearest `Float`.
///
/// Digits and a power of ten are multiplied in `Double`, whose error of a few units in its last place matters only where
/// the product lies as near as that to the middle between two floats. Those, and what is no usual number, are left to
/// the C library (after Clinger 1990, *How to Read Floating Point Numbers Accurately*).
struct NumberParser {
  /// Of numbers with a point.
  static let shared = NumberParser(point: UInt8(ascii: "."))
  /// Of numbers with a decimal comma, or a point.
  static let ofCommas = NumberParser(point: UInt8(ascii: ","))

  private static let largestPower = 60
  private let powers: [Double] = (0...largestPower).map { strtod("1e\($0)", nil) }
  private let point: UInt8

  private init(point: UInt8) {
    self.point = point
  }

  /// A field: a number, NaN where it is empty or says that a value is missing; nil for text.
  func field(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Float? {
    var (first, last) = (start, end)
    while first < last && first.pointee <= 32 { first += 1 }
    while first < last && (last - 1).pointee <= 32 { last -= 1 }
    if first == last { return .nan }
    var p = first
    if let value = number(&p, last), p == last { return value }
    return word(first, last)
  }

  /// 12, -3.5 or +.5e-3, as far as it goes; nil for what is none, and for a hard case.
  ///
  /// - Parameters:
  ///   - p: Where it begins; afterwards, what is behind it.
  ///   - end: Where it must end.
  /// - Returns: The number.
  @inline(__always)
  func number(_ p: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Float? {
    if p == end { return nil }
    let isNegative = p.pointee == 45
    if isNegative || p.pointee == 43 { p += 1 }
    let first = p
    var mantissa = UInt64(0)
    Self.takeDigits(&p, end, &mantissa)
    var (digits, exponent) = (p - first, 0)
    if p < end && p.pointee == point {
      p += 1
      let fraction = p
      Self.takeDigits(&p, end, &mantissa)
      exponent = fraction - p
      digits -= exponent
    }
    if digits == 0 { return nil }
    // More than 64 bits may hold.
    if digits > 19 { exponent += Self.significantDigits(first, p, &mantissa) }
    if p < end && p.pointee | 32 == 101 {
      guard let power = Self.exponent(&p, end) else { return nil }
      exponent += power
    }
    if mantissa == 0 { return isNegative ? -0.0 : 0 }
    if exponent < -Self.largestPower || exponent > Self.largestPower { return nil }
    let value =
      exponent < 0 ? Double(mantissa) / powers[-exponent] : Double(mantissa) * powers[exponent]
    // Of a double's 53 digits a float keeps 24; the middle between two is a 1 with 28 zeros behind it.
    let rest = value.bitPattern & 0x1FFF_FFFF
    let isNearMiddle = rest >= 0x1000_0000 - 8 && rest <= 0x1000_0000 + 8
    if isNearMiddle || value < 0x1p-126 || value > 0x1p127 { return nil }
    return Float(isNegative ? -value : value)
  }

  @inline(__always)
  private static func takeDigits(
    _ p: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ mantissa: inout UInt64
  ) {
    while p < end, case let digit = p.pointee &- 48, digit < 10 {
      mantissa = mantissa &* 10 &+ UInt64(digit)
      p += 1
    }
  }

  // The first 19 digits that count, and how many digits follow; those are less than the error that is allowed for.
  private static func significantDigits(
    _ first: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ mantissa: inout UInt64
  ) -> Int {
    var (p, dropped) = (first, 0)
    mantissa = 0
    while p < end {
      let digit = p.pointee &- 48
      p += 1
      if digit > 9 { continue }  // the point
      if mantissa < 1_000_000_000_000_000_000 {
        mantissa = mantissa * 10 + UInt64(digit)
      } else {
        dropped += 1
      }
    }
    return dropped
  }

  // e-12, of four digits at most.
  private static func exponent(
    _ p: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
  ) -> Int? {
    p += 1
    let isNegative = p < end && p.pointee == 45
    if p < end && (isNegative || p.pointee == 43) { p += 1 }
    let first = p
    var power = UInt64(0)
    takeDigits(&p, end, &power)
    if p == first || p - first > 4 { return nil }
    return isNegative ? -Int(power) : Int(power)
  }

  // MARK: Words

  /// A field as text: a number, NaN for a missing value, nil for text.
  func number(_ text: String) -> Float? {
    var text = text
    return text.withUTF8 { bytes in
      guard let start = bytes.baseAddress else { return .nan }
      return field(start, start + bytes.count)
    }
  }

  private static let missing = ["na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "."]

  // What pandas takes for missing, and UCI's "?": in a column of texts, "none" is one of them.
  private static let missingTexts: Set<String> = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "?", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
  ]

  /// Whether a field of a column of texts says that there is none.
  static func isMissing(_ text: String) -> Bool { missingTexts.contains(text) }

  private func word(
    _ first: UnsafePointer<UInt8>, _ last: UnsafePointer<UInt8>
  ) -> Float? {
    var text = String(
      decoding: UnsafeBufferPointer(start: first, count: last - first), as: UTF8.self)
    if point == UInt8(ascii: ",") { text = text.replacing(",", with: ".") }
    let word = text.lowercased()
    if Self.missing.contains(word) || Self.isMissing(text) { return .nan }
    if word == "true" { return 1 }
    if word == "false" { return 0 }
    // Hexadecimal and the like are not meant.
    guard word.allSatisfy({ $0.isASCII && ($0.isNumber || "+-.einfty".contains($0)) }) else {
      return nil
    }
    return text.withCString { start in
      var end: UnsafeMutablePointer<CChar>?
      let value = strtof(start, &end)
      guard let end, end - UnsafeMutablePointer(mutating: start) == text.utf8.count else {
        return nil
      }
      return value
    }
  }
}
