internal import Checkpointing
internal import Reporting

/// A graph of ONNX operators, and the bytes of a model file that holds it.
///
/// Operator set 17. Source: onnx.ai, *Operators* and `onnx.proto`.
struct ONNXGraph {
  /// What an attribute of an operator is.
  enum Attribute {
    case int(Int)
    case ints([Int])
    case float(Float)
  }

  /// What numbers are.
  enum Element: Int {
    case float = 1
    case int64 = 7
    case bool = 9
  }

  /// An extent: a number, or a name for one that is open.
  enum Extent {
    case fixed(Int)
    case open(String)
  }

  private let name: String
  private var nodes: [ProtobufMessage] = []
  private var constants: [ProtobufMessage] = []
  private var inputs: [ProtobufMessage] = []
  private var outputs: [ProtobufMessage] = []
  private var names: Set<String> = []

  init(name: String) {
    self.name = name
  }

  // MARK: Values

  /// An input.
  mutating func input(_ name: String, _ element: Element, _ extents: [Extent]) -> String {
    inputs.append(Self.value(name, element, extents))
    names.insert(name)
    return name
  }

  /// Makes a value an output.
  mutating func output(
    _ name: String, _ value: String, _ extents: [Extent], _ element: Element = .float
  ) {
    outputs.append(Self.value(name, element, extents))
    names.insert(name)
    append("Identity", [value], [:], [name])
  }

  /// Numbers that do not change.
  mutating func constant(_ values: [Float], _ shape: [Int], name: String = "constant") -> String {
    let name = unique(name)
    constants.append(
      Self.tensor(name, .float, shape, values.withUnsafeBytes { Array($0) }))
    return name
  }

  /// One number that does not change.
  mutating func constant(_ value: Float) -> String { constant([value], []) }

  /// Whole numbers that do not change.
  mutating func constant(_ values: [Int]) -> String {
    let name = unique("extents")
    constants.append(
      Self.tensor(
        name, .int64, [values.count],
        values.map { Int64($0).littleEndian }.withUnsafeBytes { Array($0) }))
    return name
  }

  /// The result of an operator.
  mutating func add(
    _ type: String, _ operands: [String], _ attributes: [String: Attribute] = [:]
  ) -> String {
    let result = unique(type)
    append(type, operands, attributes, [result])
    return result
  }

  // MARK: What is often wanted

  /// The same numbers with other extents; −1 stands for what is left, 0 for what was there.
  mutating func reshape(_ value: String, _ extents: [Int]) -> String {
    add("Reshape", [value, constant(extents)])
  }

  /// Some of the columns of `[rows, columns]`.
  mutating func columns(_ value: String, _ range: Range<Int>) -> String {
    add(
      "Slice",
      [value, constant([range.lowerBound]), constant([range.upperBound]), constant([1])])
  }

  /// `[rows, …]` beside each other.
  mutating func concatenate(_ values: [String], axis: Int = 1) -> String {
    values.count == 1 ? values[0] : add("Concat", values, ["axis": .int(axis)])
  }

  /// 1 where whole numbers equal 0, 1, 2 … along a new last axis.
  mutating func oneHot(_ value: String, classes: Int) -> String {
    let places = constant((0..<classes).map { Float($0) }, [classes])
    let expanded = add("Unsqueeze", [value, constant([-1])])
    return add("Cast", [add("Equal", [expanded, places])], ["to": .int(Element.float.rawValue)])
  }

  // MARK: The file

  /// The bytes of a model.
  ///
  /// - Parameters:
  ///   - metadata: Names and values that the file holds beside the graph.
  ///   - version: The program's.
  /// - Returns: A `ModelProto`.
  func model(metadata: [(String, String)], version: String) -> [UInt8] {
    ProtobufMessage { model in
      model.add(1, 8)  // of the format
      model.add(2, "vae-dist")
      model.add(3, version)
      model.add(7) { graph in
        for node in nodes { graph.add(1, node) }
        graph.add(2, name)
        for constant in constants { graph.add(5, constant) }
        for input in inputs { graph.add(11, input) }
        for output in outputs { graph.add(12, output) }
      }
      model.add(8) {
        $0.add(1, "")
        $0.add(2, 17)
      }
      for (key, value) in metadata {
        model.add(14) {
          $0.add(1, key)
          $0.add(2, value)
        }
      }
    }.bytes
  }

  private mutating func unique(_ name: String) -> String {
    var candidate = name
    var number = 1
    while !names.insert(candidate).inserted {
      candidate = "\(name)_\(number)"
      number += 1
    }
    return candidate
  }

  private mutating func append(
    _ type: String, _ operands: [String], _ attributes: [String: Attribute], _ results: [String]
  ) {
    nodes.append(
      ProtobufMessage { node in
        for operand in operands { node.add(1, operand) }
        for result in results { node.add(2, result) }
        node.add(3, "node_\(nodes.count)")
        node.add(4, type)
        for (name, attribute) in attributes.sorted(by: { $0.key < $1.key }) {
          node.add(5) {
            $0.add(1, name)
            switch attribute {
            case .float(let value):
              $0.add(2, value)
              $0.add(20, 1)
            case .int(let value):
              $0.add(3, value)
              $0.add(20, 2)
            case .ints(let values):
              for value in values { $0.add(8, value) }
              $0.add(20, 7)
            }
          }
        }
      })
  }

  private static func tensor(
    _ name: String, _ element: Element, _ shape: [Int], _ bytes: [UInt8]
  ) -> ProtobufMessage {
    ProtobufMessage {
      for extent in shape { $0.add(1, extent) }
      $0.add(2, element.rawValue)
      $0.add(8, name)
      $0.add(9, bytes: bytes)
    }
  }

  private static func value(
    _ name: String, _ element: Element, _ extents: [Extent]
  ) -> ProtobufMessage {
    ProtobufMessage { value in
      value.add(1, name)
      value.add(2) { type in
        type.add(1) { tensor in
          tensor.add(1, element.rawValue)
          tensor.add(2) { shape in
            for extent in extents {
              shape.add(1) {
                switch extent {
                case .fixed(let count): $0.add(1, count)
                case .open(let name): $0.add(2, name)
                }
              }
            }
          }
        }
      }
    }
  }
}
