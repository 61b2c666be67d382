#if canImport(Glibc)
internal import Glibc
#endif

/// What one rank knows of another: where it runs, and how far it said it had come.
struct WatchedRank: Sendable {
  /// What a message begins with.
  static let magic: UInt64 = 0x7661_652d_6469_7374

  let host: String
  /// Among which processes its number means something: containers on one machine have their own.
  let processSpace: String
  let process: Int32
  /// Where it listens; nil if it cannot be reached.
  let address: DatagramSocket.Address?

  /// When a message came last, seconds.
  var heardAt = 0.0
  /// Whether one has ever come.
  private(set) var isKnown = false
  /// Whether it uses the processor, or a disk, and so may come further yet.
  private(set) var hasReason = false
  /// Whether it has said that it ends.
  private(set) var hasLeft = false
  /// What it was doing.
  private(set) var activity = RankActivity.Snapshot()
  /// The longest that a piece of its work has taken, seconds.
  private(set) var slowest = 0.0
  private var idleWhenHeard = 0.0

  /// This process.
  init(listeningOn socket: DatagramSocket?, isOneNode: Bool) {
    host = Self.hostName
    processSpace = Self.processSpace
    process = getpid()
    address = Self.address(of: socket, isOneNode: isOneNode)
  }

  /// Whether its process can be looked at from here.
  func isBeside(_ other: WatchedRank) -> Bool {
    host == other.host && processSpace == other.processSpace && !processSpace.isEmpty
  }

  /// How long it has made no progress, as far as is known, seconds.
  func idle(_ now: Double) -> Double { idleWhenHeard + now - heardAt }

  /// Takes note of a message.
  mutating func note(_ words: [UInt64], at now: Double) {
    heardAt = now
    isKnown = true
    activity.step = Int(truncatingIfNeeded: words[2])
    activity.phase =
      RankActivity.Phase(rawValue: UInt8(truncatingIfNeeded: words[3])) ?? .starting
    activity.isWaiting = words[3] & 256 != 0
    hasLeft = words[3] & 512 != 0
    hasReason = words[3] & 1024 != 0
    idleWhenHeard = Double(words[4]) / 1000
    slowest = Double(words[5]) / 1000
  }

  /// The state of a process of this machine: `R`, `S`, `T` for stopped, `Z` for dead; nil if there is none.
  var state: Character? {
    guard let file = fopen("/proc/\(process)/stat", "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 512)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(
      decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // The name before it is in parentheses, and may hold any.
    return text.lastIndex(of: ")").flatMap { text[$0...].dropFirst(2).first }
  }

  /// Whether the process, one of this machine, has ended.
  var isGone: Bool {
    if kill(process, 0) != 0 && errno == ESRCH { return true }
    return state == "Z" || state == "X"
  }

  private static var processSpace: String {
    var name = [CChar](repeating: 0, count: 256)
    let count = readlink("/proc/self/ns/pid", &name, name.count)
    return String(decoding: name.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func address(
    of socket: DatagramSocket?, isOneNode: Bool
  ) -> DatagramSocket.Address? {
    guard let socket else { return nil }
    let loopback = UInt32(0x7f00_0001).bigEndian
    guard let host = isOneNode ? loopback : DatagramSocket.ownHost else { return nil }
    return DatagramSocket.Address(host: host, port: socket.port)
  }

  // MARK: For the other ranks

  var encoded: [UInt8] {
    var numbers: [UInt64] = [
      UInt64(UInt32(bitPattern: process)), address == nil ? 0 : 1, UInt64(address?.host ?? 0),
      UInt64(address?.port ?? 0),
    ]
    return numbers.withUnsafeMutableBytes { Array($0) }
      + Array("\(host)\u{1f}\(processSpace)".utf8)
  }

  init(encoded bytes: [UInt8]) {
    let numbers = bytes.withUnsafeBytes { raw in
      (0..<4).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
    }
    let names = String(decoding: bytes.dropFirst(32), as: UTF8.self).split(
      separator: "\u{1f}", omittingEmptySubsequences: false)
    host = String(names[0])
    processSpace = String(names.last ?? "")
    process = Int32(bitPattern: UInt32(truncatingIfNeeded: numbers[0]))
    address =
      numbers[1] == 0
      ? nil
      : DatagramSocket.Address(
        host: UInt32(truncatingIfNeeded: numbers[2]), port: UInt16(truncatingIfNeeded: numbers[3]))
  }
}
