/// What data call their values and classes, where they do.
public struct DataNames: Sendable, Equatable, Codable {
  /// The name of each value of an example; empty where values have none.
  public var columns: [String] = []
  /// What the numbers of a value that stands for a text are, by the value's place: number k is the kth of them.
  public var classes: [Int: [String]] = [:]
  /// What the numbers of labels are; empty where they are numbers by themselves.
  public var labels: [String] = []

  /// No names.
  public init() {}

  /// Whether nothing has a name.
  public var isEmpty: Bool { columns.isEmpty && classes.isEmpty && labels.isEmpty }

  /// What a class is called, or its number where it has no name.
  public static func name(_ number: Int, of names: [String]) -> String {
    names.indices.contains(number) ? names[number] : "\(number)"
  }

  /// Texts in order without repetition, and the number of each in that order.
  ///
  /// - Parameter texts: Any texts.
  /// - Returns: The different ones, sorted, and for each text its number among them.
  static func number(_ texts: [String]) -> (names: [String], numbers: [Int]) {
    let names = Set(texts).sorted()
    let places = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    return (names, texts.map { places[$0, default: 0] })
  }
}

/// Which columns of a table of text are read, and as what.
public struct ColumnChoice: Sendable, Equatable {
  /// Columns that are left out, each by its name or its number from 1 on.
  public var skipped: [String] = []
  /// The names that a model was trained with: columns are found by them, and texts are their classes.
  public var known: DataNames?
  /// The only column that is read.
  var only: String?

  /// All columns, as the file has them, or some.
  public init(skipping skipped: [String] = [], known: DataNames? = nil) {
    self.skipped = skipped
    self.known = known
  }

  /// The same columns and classes, of another file beside the first.
  func like(_ first: NumericArray) -> ColumnChoice {
    var choice = self
    choice.known = first.names
    return choice
  }
}
