internal import CLibcrypto

/// SHA-256 of bytes, through libcrypto, which uses the processor's own instructions.
public struct SHA256 {
  private let context: Context

  // Frees libcrypto's context with the last copy.
  private final class Context {
    let handle: OpaquePointer?
    init() { handle = EVP_MD_CTX_new() }
    deinit { EVP_MD_CTX_free(handle) }
  }

  /// The digest of nothing yet.
  public init() {
    context = Context()
    let status = EVP_DigestInit_ex(context.handle, EVP_sha256(), nil)
    precondition(status == 1, "libcrypto has no SHA-256")
  }

  /// Continues with these bytes.
  public func update(_ bytes: UnsafeRawBufferPointer) {
    let status = EVP_DigestUpdate(context.handle, bytes.baseAddress, bytes.count)
    precondition(status == 1, "libcrypto cannot continue a SHA-256")
  }

  /// The 32 bytes of the digest; the last call on a value.
  public func finish() -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    let status = EVP_DigestFinal_ex(context.handle, &digest, nil)
    precondition(status == 1, "libcrypto cannot finish a SHA-256")
    return digest
  }

  /// The 32 bytes of the digest of these bytes.
  public static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    let hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  /// The digest of a text's UTF-8 bytes, in hexadecimal.
  public static func hexadecimal(of text: String) -> String {
    hexadecimal(Array(text.utf8).withUnsafeBytes { digest($0) })
  }

  /// Bytes as lower-case hexadecimal digits.
  public static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}
