#if canImport(Glibc)
internal import Glibc
#endif

/// Small messages between processes, which may be lost: UDP over IPv4.
final class DatagramSocket: Sendable {
  /// Where a socket can be reached.
  struct Address: Equatable, Sendable {
    /// IPv4, in network order.
    var host: UInt32
    /// In network order.
    var port: UInt16
  }

  private let descriptor: Int32

  /// Opens a socket on any free port; nil if the system does not give one.
  init?() {
    descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    if descriptor < 0 { return nil }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if status != 0 {
      close(descriptor)
      return nil
    }
  }

  deinit { close(descriptor) }

  /// The port, in network order.
  var port: UInt16 {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
    }
    return address.sin_port
  }

  /// Sends without waiting; what cannot be sent is lost.
  func send(_ words: [UInt64], to receiver: Address) {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = receiver.port
    address.sin_addr.s_addr = receiver.host
    _ = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        words.withUnsafeBytes {
          sendto(
            descriptor, $0.baseAddress, $0.count,
            Int32(MSG_DONTWAIT | MSG_NOSIGNAL), address,
            socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
  }

  /// A message of so many words that has come; nil if there is none.
  func receive(wordCount: Int) -> [UInt64]? {
    var words = [UInt64](repeating: 0, count: wordCount + 1)
    while true {
      let count = words.withUnsafeMutableBytes {
        recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
      }
      if count < 0 { return nil }
      if count == 8 * wordCount { return Array(words.dropLast()) }
    }
  }

  /// This machine's addresses towards others, in network order; the first that is up.
  static var ownHost: UInt32? {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&first) == 0 else { return nil }
    defer { freeifaddrs(first) }
    for interface in sequence(first: first, next: { $0?.pointee.ifa_next }) {
      guard let interface = interface?.pointee, let address = interface.ifa_addr else { break }
      let flags = Int32(bitPattern: interface.ifa_flags)
      if address.pointee.sa_family != sa_family_t(AF_INET)
        || flags & Int32(IFF_LOOPBACK) != 0 || flags & Int32(IFF_UP) == 0
      {
        continue
      }
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        $0.pointee.sin_addr.s_addr
      }
    }
    return nil
  }
}
