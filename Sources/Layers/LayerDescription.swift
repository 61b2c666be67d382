public import TensorKernels

/// What stands between a layer's product and its activation.
public enum Normalization: Sendable, Hashable {
  /// Nothing.
  case none
  /// Mean 0 and variance 1 over all of an example's activations (Ba, Kiros & Hinton 2016).
  case layer
  /// The same over each group of channels (Wu & He 2018).
  case group(Int)

  func groups(channels: Int) -> Int? {
    switch self {
    case .none: nil
    case .layer: 1
    case .group(let groups): groups
    }
  }
}

/// The window of a convolution.
public struct Window: Sendable, Hashable {
  /// Pixels along each side.
  public var kernel: Int
  /// Pixels from one window to the next.
  public var stride: Int
  /// Zeros around the image, on each side.
  public var padding: Int

  /// With the usual padding, which keeps an image's size at stride 1 if the kernel is odd.
  public init(kernel: Int, stride: Int = 1, padding: Int? = nil) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding ?? (kernel - 1) / 2
  }
}

/// Pixels along both sides of an image: `1`, or `1x0` where they differ.
public struct PixelPair: Sendable, Hashable, CustomStringConvertible {
  /// Rows of pixels.
  public var height: Int
  /// Pixels in a row.
  public var width: Int

  /// Both.
  public init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }

  /// The text that reads back as the same.
  public var description: String { height == width ? "\(height)" : "\(height)x\(width)" }
}

/// One layer of a network as people write it: `conv 32 kernel 4 stride 2 group-norm 8`.
///
/// Each layer but ``dropout(_:)`` ends with the network's activation. Where outputs are nil, it is the
/// layer that gives the network's outputs, and has none.
public enum LayerDescription: Sendable, Hashable {
  /// Each output sums over all inputs: `dense 256`, or `dense 7x7x64` where an image is to follow.
  case dense(Extents, Normalization)
  /// `conv 32 kernel 4 stride 2 padding 1`.
  case convolution(channels: Int?, Window, Normalization)
  /// `transposed-conv 32 kernel 4 stride 2 padding 1 output-padding 0`; the padding is taken off.
  case transposedConvolution(channels: Int?, Window, outputPadding: PixelPair, Normalization)
  /// Two convolutions with stride 1, around which the inputs are added: `residual 64 kernel 3`.
  ///
  /// h = f(s + b(f(a(x)))), where s is x, or a convolution of it with a kernel of 1 if the channels
  /// change (He et al. 2016).
  case residual(channels: Int, kernel: Int, Normalization)
  /// Numbers set to zero with this probability in training: `dropout 0.1`.
  case dropout(Float)
}

/// What is wrong with the description of a network.
public struct NetworkError: Error, CustomStringConvertible {
  /// One sentence.
  public let description: String

  /// One sentence.
  public init(_ description: String) {
    self.description = description
  }
}

// MARK: Text

extension LayerDescription: CustomStringConvertible {
  /// The text that reads back as the same layer.
  public var description: String {
    func words(_ window: Window) -> String {
      "kernel \(window.kernel) stride \(window.stride) padding \(window.padding)"
    }
    func words(_ normalization: Normalization) -> String {
      switch normalization {
      case .none: ""
      case .layer: " layer-norm"
      case .group(let groups): " group-norm \(groups)"
      }
    }
    func number(_ channels: Int?) -> String { channels.map { " \($0)" } ?? "" }
    switch self {
    case .dense(let outputs, let normalization):
      return "dense \(outputs)\(words(normalization))"
    case .convolution(let channels, let window, let normalization):
      return "conv\(number(channels)) \(words(window))\(words(normalization))"
    case .transposedConvolution(let channels, let window, let outputPadding, let normalization):
      return "transposed-conv\(number(channels)) \(words(window))"
        + " output-padding \(outputPadding)\(words(normalization))"
    case .residual(let channels, let kernel, let normalization):
      return "residual \(channels) kernel \(kernel)\(words(normalization))"
    case .dropout(let probability):
      return "dropout \(probability)"
    }
  }

  /// Reads one layer.
  ///
  /// - Throws: ``NetworkError`` with what is wrong and what would be right.
  public init(_ text: String) throws(NetworkError) {
    var words = LayerWords(text)
    switch words.kind {
    case "dense":
      guard let outputs = words.leading.flatMap({ Extents($0) }) else {
        throw words.error("needs its outputs: dense 256, or dense 7x7x64")
      }
      self = .dense(outputs, try words.takeNormalization())
    case "conv":
      self = .convolution(
        channels: try words.takeLeadingNumber(), try words.takeWindow(),
        try words.takeNormalization())
    case "transposed-conv":
      self = .transposedConvolution(
        channels: try words.takeLeadingNumber(), try words.takeWindow(),
        outputPadding: try words.takeOutputPadding(),
        try words.takeNormalization())
    case "residual":
      guard let channels = try words.takeLeadingNumber() else {
        throw words.error("needs its channels: residual 64")
      }
      let kernel = try words.take("kernel", from: 1) ?? 3
      if kernel % 2 == 0 { throw words.error("needs an odd kernel, which keeps an image's size") }
      self = .residual(channels: channels, kernel: kernel, try words.takeNormalization())
    case "dropout":
      guard let probability = words.leading.flatMap({ Float($0) }), probability >= 0,
        probability < 1
      else { throw words.error("needs a probability from 0 to below 1: dropout 0.1") }
      self = .dropout(probability)
    default:
      throw words.error(
        "begins with none of dense, conv, transposed-conv, residual, dropout")
    }
    try words.finish()
  }

  /// Reads several layers, separated by commas.
  ///
  /// - Throws: ``NetworkError`` for the first that is wrong.
  public static func list(_ text: String) throws(NetworkError) -> [LayerDescription] {
    var layers: [LayerDescription] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      layers.append(try LayerDescription(String(part)))
    }
    return layers
  }
}

extension Extents {
  /// Reads `28x28x1`, `28x28` or `400`; nil for anything else.
  public init?(_ text: String) {
    let numbers = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    let extents = numbers.compactMap { $0 }
    guard extents.count == numbers.count,
      extents.allSatisfy({ $0 >= 1 && $0 <= LayerWords.largest })
    else { return nil }
    // What 32-bit extents of oneDNN hold.
    if extents.reduce(1.0, { $0 * Double($1) }) > Double(Int32.max) { return nil }
    switch extents.count {
    case 1: self.init(vector: extents[0])
    case 2: self.init(height: extents[0], width: extents[1], channels: 1)
    case 3: self.init(height: extents[0], width: extents[1], channels: extents[2])
    default: return nil
    }
  }
}

/// The words of one layer, taken one after the other.
private struct LayerWords {
  static let largest = (1 << 24) - 1
  static let largestOption = 65_535

  private let text: String
  let kind: String
  private(set) var leading: String?
  private var options: [String: String] = [:]
  private var unknown: String?

  // A name of an option, then its value; layer-norm has none.
  init(_ text: String) {
    let words = text.split { $0 == " " || $0 == "\t" || $0 == "\n" }.map(String.init)
    self.text = words.joined(separator: " ")
    kind = words.first ?? ""
    var rest = words.dropFirst()
    if let first = rest.first, first.first?.isNumber == true {
      leading = first
      rest = rest.dropFirst()
    }
    while let name = rest.popFirst() {
      let value = name == "layer-norm" ? "" : rest.popFirst()
      if let value, options[name] == nil {
        options[name] = value
      } else {
        unknown = unknown ?? name
      }
    }
  }

  func error(_ sentence: String) -> NetworkError { NetworkError("layer '\(text)' \(sentence)") }

  mutating func take(_ name: String, from least: Int) throws(NetworkError) -> Int? {
    guard let value = options.removeValue(forKey: name) else { return nil }
    guard let number = Int(value), number >= least, number <= Self.largestOption else {
      throw error(
        "has \(name) \(value); it must be a number from \(least) to \(Self.largestOption)")
    }
    return number
  }

  func takeLeadingNumber() throws(NetworkError) -> Int? {
    guard let leading else { return nil }
    guard let number = Int(leading), number >= 1, number <= Self.largest else {
      throw error("has \(leading) channels; it must be a number from 1")
    }
    return number
  }

  mutating func takeWindow() throws(NetworkError) -> Window {
    guard let kernel = try take("kernel", from: 1) else {
      throw error("needs the pixels along its window: kernel 4")
    }
    let stride = try take("stride", from: 1) ?? 1
    let padding = try take("padding", from: 0)
    let window = Window(kernel: kernel, stride: stride, padding: padding)
    if window.padding >= kernel { throw error("has more padding than its window can see") }
    return window
  }

  mutating func takeOutputPadding() throws(NetworkError) -> PixelPair {
    guard let value = options.removeValue(forKey: "output-padding") else {
      return PixelPair(height: 0, width: 0)
    }
    let numbers = value.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard let height = numbers.first ?? nil, let width = numbers.last ?? nil, numbers.count <= 2,
      (0...Self.largestOption).contains(height), (0...Self.largestOption).contains(width)
    else { throw error("has output-padding \(value); it must be a number from 0, or two: 1x0") }
    return PixelPair(height: height, width: width)
  }

  mutating func takeNormalization() throws(NetworkError) -> Normalization {
    let groups = try take("group-norm", from: 1)
    let isLayer = options.removeValue(forKey: "layer-norm") != nil
    if groups != nil && isLayer { throw error("has two normalizations") }
    return isLayer ? .layer : groups.map { .group($0) } ?? .none
  }

  func finish() throws(NetworkError) {
    guard let word = unknown ?? options.keys.sorted().first else { return }
    throw error("has '\(word)', which it does not know or which lacks its value")
  }
}
