/// What `vae-dist benchmark` measures on this machine.
///
/// Names are a contract: other programs read them. Times are medians over rounds, as rank 0 saw
/// them.
public struct BenchmarkReport: Codable, Sendable {
  /// Milliseconds of a step, by part.
  public struct Milliseconds: Codable, Sendable {
    /// Reading and converting the batch.
    public var data: Double
    /// From the batch to its ELBO.
    public var forward: Double
    /// From the ELBO to the gradient.
    public var backward: Double
    /// Waiting for other ranks and moving gradients and parameters, with nothing else to do.
    public var allReduceExposed: Double
    /// Moving gradients while the rest of the backward was computed.
    public var allReduceHidden: Double
    /// Adding up gradients of the node and updating parameters.
    public var optimizer: Double
    /// What is in no other part.
    public var other: Double
    /// The whole step.
    public var step: Double
    /// The step's matrix products alone.
    public var products: Double

    enum CodingKeys: String, CodingKey {
      case data
      case forward
      case backward
      case allReduceExposed = "all_reduce_exposed"
      case allReduceHidden = "all_reduce_hidden"
      case optimizer
      case other
      case step
      case products
    }
  }

  /// The all-reduce of one step's gradient, on its own.
  public struct AllReduce: Codable, Sendable {
    /// `shared-memory`, `overlapped` or `blocking`.
    public var method: String
    /// The number format in which the gradient travels.
    public var precision: String
    /// Bytes of the gradient in that format.
    public var bytes: Int
    /// Bytes that leave together, where it is overlapped.
    public var bucketBytes: Int?
    /// How long it takes.
    public var milliseconds: Double
    /// How long `MPI_Allreduce` takes for the same gradient in `f32`.
    public var mpiMilliseconds: Double
    /// 2 (p − 1) / p · bytes / time, in 10⁹ bytes a second.
    public var busGigabytesPerSecond: Double

    enum CodingKeys: String, CodingKey {
      case method
      case precision
      case bytes
      case bucketBytes = "bucket_bytes"
      case milliseconds
      case mpiMilliseconds = "mpi_milliseconds"
      case busGigabytesPerSecond = "bus_gigabytes_per_second"
    }
  }

  /// The processor's name.
  public var processor: String
  /// Processes.
  public var ranks: Int
  /// Threads of rank 0.
  public var threads: Int
  /// Layer widths, as in `784-400-20-400-784`.
  public var network: String
  /// Trained numbers in the model.
  public var parameters: Int
  /// The number format of the products.
  public var precision: String
  /// Examples of a step, all ranks together.
  public var globalBatchSize: Int
  /// Steps measured.
  public var steps: Int
  /// Where the time goes.
  public var milliseconds: Milliseconds
  /// Examples of all ranks a second.
  public var examplesPerSecond: Double
  /// What the products alone would allow.
  public var productLimitExamplesPerSecond: Double
  /// The products' rate, 10⁹ operations a second and rank.
  public var productGigaflops: Double
  /// Time of the products ÷ time of the step.
  public var shareOfProductLimit: Double
  /// The all-reduce on its own; absent with one rank.
  public var allReduce: AllReduce?
  /// Rate ÷ (ranks × the rate of rank 0 alone at the same global batch); absent with one rank.
  public var efficiency: Double?
  /// The largest resident memory of any rank after some steps, bytes; what ranks share counts in each.
  public var peakResidentBytes: Int
  /// How long products take in this number format, against `f32`.
  public var relativeProductTime: Double

  enum CodingKeys: String, CodingKey {
    case processor
    case ranks
    case threads
    case network
    case parameters
    case precision
    case globalBatchSize = "global_batch_size"
    case steps
    case milliseconds
    case examplesPerSecond = "examples_per_second"
    case productLimitExamplesPerSecond = "product_limit_examples_per_second"
    case productGigaflops = "product_gigaflops"
    case shareOfProductLimit = "share_of_product_limit"
    case allReduce = "all_reduce"
    case efficiency
    case peakResidentBytes = "peak_resident_bytes"
    case relativeProductTime = "relative_product_time"
  }
}
