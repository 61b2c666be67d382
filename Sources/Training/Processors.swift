public import Collectives
public import TensorKernels

#if canImport(Glibc)
internal import Glibc
#endif

/// The processor cores that a rank may use.
public enum Processors {
  /// Threads for a rank where none are asked for: its share of the cores that it may run on.
  ///
  /// Ranks of one host that may run on the same cores share them equally; a rank that the launcher
  /// has bound to cores of its own takes all of those. Collective.
  ///
  /// - Throws: A `CollectiveError` if the ranks cannot be asked.
  public static func defaultThreadCount(_ communicator: any Communicator) throws -> Int {
    let mask = allowedProcessorMask()
    let cores =
      mask.isEmpty
      ? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) : mask.reduce(0) { $0 + $1.nonzeroBitCount }
    let own = hostName() + [0] + mask
    let sharing = try communicator.allGather(own).count { $0 == own }
    return max(1, cores / max(sharing, 1))
  }

  /// The processor's own name.
  public static var name: String {
    guard let file = fopen("/proc/cpuinfo", "re") else { return "unknown" }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1024)
    while fgets(&line, Int32(line.count), file) != nil {
      let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
      let text = String(decoding: bytes, as: UTF8.self)
      if text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") {
        return String(text[text.index(after: colon)...].drop { $0 == " " })
      }
    }
    return "unknown"
  }

  /// How long a product takes in a number format, against `f32`.
  ///
  /// Having instructions does not make them fast: some processors multiply bfloat16 at half the
  /// rate of `f32`.
  ///
  /// - Throws: A `KernelError` if oneDNN refuses the product.
  public static func relativeProductTime(_ precision: Precision) throws(KernelError) -> Double {
    precision == .f32 ? 1 : try productSeconds(precision) / productSeconds(.f32)
  }

  private static func productSeconds(_ precision: Precision) throws(KernelError) -> Double {
    let (rows, columns) = (64, 512)
    let stride = FloatBuffer.rowStride(columns: columns)
    func matrix(_ rows: Int) -> MatrixView {
      FloatBuffer(count: rows * stride).matrix(rows: rows, columns: columns, stride: stride)
    }
    let (input, weights, output) = (matrix(rows), matrix(columns), matrix(rows))
    let product = MatrixProduct(
      .forward, leading: columns, columns: columns, precision: precision)
    let roundedInput = BFloat16Buffer(rows: rows, columns: columns).round(input)
    let roundedWeights = BFloat16Buffer(rows: columns, columns: columns).round(weights)
    var best = Double.infinity
    for _ in 0..<10 {
      let start = ContinuousClock.now
      switch precision {
      case .f32: try product.run(input, weights, into: output)
      case .bf16: try product.run(roundedInput, roundedWeights, into: output)
      }
      best = min(best, start.secondsUntilNow)
    }
    return best
  }

  /// This machine's name.
  public static func hostName() -> [UInt8] {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
  }
}
