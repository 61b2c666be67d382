/// How many numbers lie along each axis of one example's activations.
///
/// - Shape: `[height, width, channels]`, row-major, channels being neighbours. A vector is one pixel of
///   many channels.
public struct Extents: Sendable, Hashable, CustomStringConvertible {
  /// Rows of pixels.
  public var height: Int
  /// Pixels in a row.
  public var width: Int
  /// Numbers in a pixel.
  public var channels: Int

  /// An image.
  public init(height: Int, width: Int, channels: Int) {
    self.height = height
    self.width = width
    self.channels = channels
  }

  /// A vector.
  public init(vector count: Int) {
    self.init(height: 1, width: 1, channels: count)
  }

  /// Numbers in all.
  public var count: Int { height * width * channels }
  /// Pixels in all.
  public var pixelCount: Int { height * width }
  /// Whether there is one pixel only.
  public var isVector: Bool { height == 1 && width == 1 }

  /// As people write them: `28x28x1`, or `400`.
  public var description: String {
    isVector ? "\(channels)" : "\(height)x\(width)x\(channels)"
  }
}
