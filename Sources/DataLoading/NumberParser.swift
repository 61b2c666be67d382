#if canImport(Glibc)
internal import Glibc
#endif

/// Numbers as people and programs write them.
///
/// Up to 19 digits and small powers of ten are exact in `Double` (Clinger 1990, *How to Read Floating Point Numbers
/// Accurately*, the fast path); others are left to the C library.
enum NumberParser {
  private static let powers: [Double] = (0...22).map { power in
    (0..<power).reduce(1.0) { product, _ in product * 10 }
  }

  /// A field: a number, NaN where it is empty or says that a value is missing; nil for text.
  static func field(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Float? {
    var (first, last) = (start, end)
    while first < last && first.pointee <= 32 { first += 1 }
    while first < last && (last - 1).pointee <= 32 { last -= 1 }
    if first == last { return .nan }
    return decimal(first, last) ?? word(first, last)
  }

  // 12, -3.5, +.5e-3; nil for anything that the fast path does not hold.
  private static func decimal(
    _ first: UnsafePointer<UInt8>, _ last: UnsafePointer<UInt8>
  ) -> Float? {
    var p = first
    let isNegative = p.pointee == 45
    if p.pointee == 45 || p.pointee == 43 { p += 1 }
    var (mantissa, digits, exponent) = (UInt64(0), 0, 0)
    while p < last, case let digit = p.pointee &- 48, digit < 10 {
      mantissa = mantissa &* 10 &+ UInt64(digit)
      digits += 1
      p += 1
    }
    if p < last && p.pointee == 46 {
      p += 1
      while p < last, case let digit = p.pointee &- 48, digit < 10 {
        mantissa = mantissa &* 10 &+ UInt64(digit)
        digits += 1
        exponent -= 1
        p += 1
      }
    }
    if digits == 0 || digits > 18 { return nil }
    if p < last && (p.pointee | 32) == 101 {
      p += 1
      let isSmall = p < last && p.pointee == 45
      if p < last && (p.pointee == 45 || p.pointee == 43) { p += 1 }
      var (power, count) = (0, 0)
      while p < last, case let digit = p.pointee &- 48, digit < 10, count < 4 {
        power = power * 10 + Int(digit)
        count += 1
        p += 1
      }
      if count == 0 { return nil }
      exponent += isSmall ? -power : power
    }
    if p != last || mantissa > 1 << 53 || exponent < -22 || exponent > 22 { return nil }
    let value =
      exponent < 0 ? Double(mantissa) / powers[-exponent] : Double(mantissa) * powers[exponent]
    return Float(isNegative ? -value : value)
  }

  // As pandas has it: in a column of texts, "none" is one of them.
  private static let missingTexts: Set<String> = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
  ]

  /// Whether a field of a column of texts says that there is none.
  static func isMissing(_ text: String) -> Bool { missingTexts.contains(text) }

  private static let missing = ["na", "n/a", "nan", "null", "none", "nil", "?", "-", "."]

  private static func word(
    _ first: UnsafePointer<UInt8>, _ last: UnsafePointer<UInt8>
  ) -> Float? {
    let text = String(
      decoding: UnsafeBufferPointer(start: first, count: last - first), as: UTF8.self)
    let word = text.lowercased()
    if missing.contains(word) { return .nan }
    if word == "true" { return 1 }
    if word == "false" { return 0 }
    // Hexadecimal and the like are not meant.
    guard word.allSatisfy({ $0.isASCII && ($0.isNumber || "+-.einfty".contains($0)) }) else {
      return nil
    }
    return text.withCString { start in
      var end: UnsafeMutablePointer<CChar>?
      let value = strtod(start, &end)
      guard let end, end - UnsafeMutablePointer(mutating: start) == text.utf8.count else {
        return nil
      }
      return Float(value)
    }
  }
}
