public import Checkpointing
internal import Foundation

/// An event file of TensorBoard, which may read it while it grows.
///
/// Records are TFRecords (length, its checksum, an `Event` message, its checksum).
public final class TensorBoardFile {
  /// Where it is.
  public let path: String
  private let handle: FileHandle

  /// Begins a file of its own in a folder.
  ///
  /// - Parameters:
  ///   - folder: The folder, made if it is not there.
  ///   - time: Seconds since 1970, which the name has.
  ///   - restart: The first step whose events in older files are void; nil for none.
  /// - Throws: `CheckpointError.unwritable`.
  public init(
    in folder: String, time: Double, restart: Int? = nil
  ) throws(CheckpointError) {
    // Two files of one second must not be one.
    var number = 0
    func name() -> String {
      String(format: "%@/events.out.tfevents.%010.0f.vae-dist.%d", folder, time, number)
    }
    while DurableFile.exists(name()) { number += 1 }
    path = name()
    try DurableFile.makePlace(for: path)
    guard FileManager.default.createFile(atPath: path, contents: nil),
      let handle = FileHandle(forWritingAtPath: path)
    else { throw .unwritable(path: path, reason: String(cString: strerror(errno))) }
    self.handle = handle
    try write(
      ProtobufMessage {
        $0.add(1, time)
        $0.add(3, "brain.Event:2")
      })
    guard let restart else { return }
    try write(
      ProtobufMessage {
        $0.add(1, time)
        $0.add(2, restart)
        $0.add(7) { $0.add(1, 1) }  // SessionLog.START
      })
  }

  /// What an event shows.
  public enum Value: Sendable {
    /// A number.
    case scalar(Float)
    /// An image.
    case picture(Picture)
    /// How often which numbers are found.
    case histogram([Float])
  }

  /// Adds values of one step.
  ///
  /// - Parameters:
  ///   - values: Each with its tag, whose part before a slash groups it.
  ///   - step: Updates done.
  ///   - time: Seconds since 1970.
  /// - Throws: `CheckpointError.unwritable`.
  public func add(
    _ values: [(tag: String, value: Value)], step: Int, time: Double
  ) throws(CheckpointError) {
    if values.isEmpty { return }
    try write(
      ProtobufMessage { event in
        event.add(1, time)
        event.add(2, step)
        event.add(5) { summary in
          for (tag, value) in values { summary.add(1, Self.message(tag, value)) }
        }
      })
  }

  private static func message(_ tag: String, _ value: Value) -> ProtobufMessage {
    ProtobufMessage { message in
      message.add(1, tag)
      switch value {
      case .scalar(let number): message.add(2, number)
      case .picture(let picture):
        message.add(4) {
          $0.add(1, picture.height)
          $0.add(2, picture.width)
          $0.add(3, picture.channels)
          $0.add(4, bytes: picture.png ?? [])
        }
      case .histogram(let numbers): message.add(5, histogram(numbers))
      }
    }
  }

  // 30 parts of equal width from the least to the largest.
  private static func histogram(_ numbers: [Float]) -> ProtobufMessage {
    let finite = numbers.lazy.filter(\.isFinite).map { Double($0) }
    let (low, high) = (finite.min() ?? 0, finite.max() ?? 0)
    let count = low < high ? 30 : 1
    let width = max(high - low, 1e-12) / Double(count)
    var counts = [Double](repeating: 0, count: count)
    var (total, sum, squares) = (0.0, 0.0, 0.0)
    for number in finite {
      counts[min(Int((number - low) / width), count - 1)] += 1
      (total, sum, squares) = (total + 1, sum + number, squares + number * number)
    }
    return ProtobufMessage {
      $0.add(1, low)
      $0.add(2, high)
      $0.add(3, total)
      $0.add(4, sum)
      $0.add(5, squares)
      $0.add(
        6,
        packed: (1...count).map { $0 == count ? max(high, low + width) : low + Double($0) * width })
      $0.add(7, packed: counts)
    }
  }

  private func write(_ event: ProtobufMessage) throws(CheckpointError) {
    var record: [UInt8] = []
    withUnsafeBytes(of: UInt64(event.bytes.count).littleEndian) { record += $0 }
    record += Self.checksum(record)
    record += event.bytes
    record += Self.checksum(event.bytes)
    do {
      try handle.write(contentsOf: Data(record))
    } catch {
      throw .unwritable(path: path, reason: error.localizedDescription)
    }
  }

  // CRC-32C, turned and shifted, as TFRecord has it.
  private static func checksum(_ bytes: [UInt8]) -> [UInt8] {
    var crc = ~UInt32(0)
    for byte in bytes { crc = table[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] ^ crc >> 8 }
    crc = ~crc
    let masked = (crc >> 15 | crc << 17) &+ 0xA282_EAD8
    return withUnsafeBytes(of: masked.littleEndian) { Array($0) }
  }

  private static let table = (0..<256).map { index -> UInt32 in
    (0..<8).reduce(UInt32(index)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
  }
}
