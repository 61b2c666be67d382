internal import CLibpng
public import Checkpointing

/// Images side by side, as one picture.
public struct Picture: Sendable {
  /// What a tile is.
  public struct Tile: Sendable, Equatable {
    /// Rows of pixels.
    public var height: Int
    /// Pixels in a row.
    public var width: Int
    /// 1 for shades of grey, 3 for red, green and blue.
    public var channels: Int

    /// An image's extents; nil for what cannot be shown: other numbers of channels than 1 and 3.
    public init?(height: Int, width: Int, channels: Int) {
      if height < 1 || width < 1 || (channels != 1 && channels != 3) { return nil }
      self.height = height
      self.width = width
      self.channels = channels
    }

    var count: Int { height * width * channels }
    /// How often each pixel is repeated, so that an image can be seen: 28 pixels high at least.
    var zoom: Int { max(1, (28 + height - 1) / height) }
  }

  /// Rows of pixels.
  public let height: Int
  /// Pixels in a row.
  public let width: Int
  /// 1 or 3.
  public let channels: Int
  /// `[height, width, channels]`.
  public let pixels: [UInt8]

  private static let margin = 2
  private static let background: UInt8 = 128

  /// Puts images into rows.
  ///
  /// - Parameters:
  ///   - values: `[count, height, width, channels]`.
  ///   - tile: What each image is.
  ///   - columns: Images in a row.
  ///   - range: The values that are black and white; others are cut off.
  public init(
    _ values: [Float], tile: Tile, columns: Int, range: ClosedRange<Float>
  ) {
    let count = values.count / tile.count
    let columns = max(1, min(columns, count))
    let rows = (count + columns - 1) / columns
    let zoom = tile.zoom
    let (tileHeight, tileWidth) = (tile.height * zoom, tile.width * zoom)
    let margin = Self.margin
    height = rows * (tileHeight + margin) + margin
    width = columns * (tileWidth + margin) + margin
    channels = tile.channels
    var pixels = [UInt8](repeating: Self.background, count: height * width * channels)
    let scale = 255 / max(range.upperBound - range.lowerBound, .leastNormalMagnitude)
    for index in 0..<count {
      let top = margin + index / columns * (tileHeight + margin)
      let left = margin + index % columns * (tileWidth + margin)
      for y in 0..<tileHeight {
        for x in 0..<tileWidth {
          for channel in 0..<channels {
            let place = ((y / zoom) * tile.width + x / zoom) * channels + channel
            let shade = (values[index * tile.count + place] - range.lowerBound) * scale
            pixels[((top + y) * width + left + x) * channels + channel] =
              shade.isNaN ? 0 : UInt8(min(max(shade.rounded(), 0), 255))
          }
        }
      }
    }
    self.pixels = pixels
  }

  /// Writes the picture as PNG.
  ///
  /// - Throws: `CheckpointError.unwritable`.
  public func write(to path: String) throws(CheckpointError) {
    try DurableFile.makePlace(for: path)
    guard let bytes = png else {
      throw .unwritable(path: path, reason: "libpng takes no picture of \(width)x\(height) pixels")
    }
    let file = try DurableFileWriter(path)
    try file.write(bytes)
    try file.commit()
  }

  /// The bytes of a PNG file; nil if libpng refuses.
  public var png: [UInt8]? {
    var image = png_image()
    image.version = vd_png_version
    image.width = UInt32(width)
    image.height = UInt32(height)
    image.format = channels == 1 ? vd_png_gray : vd_png_rgb
    var size = png_alloc_size_t(0)
    guard png_image_write_to_memory(&image, nil, &size, 0, pixels, 0, nil) != 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(size))
    guard png_image_write_to_memory(&image, &bytes, &size, 0, pixels, 0, nil) != 0 else {
      return nil
    }
    return Array(bytes.prefix(Int(size)))
  }
}
