internal import Layers
internal import TensorKernels

/// What the encoder reads: the data as its likelihood shows them, labels beside them, pseudo-inputs
/// behind them; one a thread.
///
/// - Shape: `[examples + pseudo-inputs, encoder inputs]`; a row holds the numbers of each pixel and
///   behind them, where there are labels, 1 at the example's class and 0 at the others.
final class EncoderInputs {
  private let likelihood: Likelihood
  private let classes: Int
  private let extents: Extents
  private let pseudoInputCount: Int
  private let slot: ArenaSlot?
  private let transformedSlot: ArenaSlot?
  /// Where the pseudo-inputs lie in the flat buffers; nil where there are none.
  let range: Range<Int>?

  /// Takes the places of pseudo-inputs in the layout, before everything else, and of what is read in the
  /// arena.
  init(
    _ configuration: ModelConfiguration, capacity: Int, layout: inout ParameterLayout,
    plan: inout ArenaPlan
  ) {
    likelihood = configuration.likelihood
    classes = configuration.classes
    extents = configuration.encoder.input
    pseudoInputCount = configuration.prior.pseudoInputCount
    let isTransformed =
      if case .data = likelihood.encoderInput { false } else { true }
    slot =
      isTransformed || classes > 0 || pseudoInputCount > 0
      ? plan.reserve(capacity: capacity + pseudoInputCount, columns: extents.count) : nil
    transformedSlot =
      isTransformed && classes > 0
      ? plan.reserve(capacity: capacity, columns: extents.count - classes * extents.pixelCount)
      : nil
    if pseudoInputCount > 0 {
      let start = layout.bufferCount
      layout.addFree(
        name: "prior.pseudo_inputs", rows: pseudoInputCount, extents: extents, start: .constant(0))
      range = start..<layout.bufferCount
    } else {
      range = nil
    }
  }

  /// The encoder's inputs, in the arena until the next call unless they are the data themselves.
  ///
  /// - Parameters:
  ///   - data: The examples.
  ///   - labels: The class of each; nil where the model knows none.
  ///   - parameters: The flat parameters; nil leaves pseudo-inputs out.
  ///   - arena: Where they lie.
  /// - Returns: The inputs.
  func prepare(
    _ data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, parameters: FloatBuffer?,
    arena: Arena
  ) -> MatrixView {
    precondition(
      (labels?.count ?? 0) == (classes > 0 ? data.rows : 0),
      "\(labels?.count ?? 0) labels of \(classes) classes do not fit data \(data.shape)")
    guard let slot else { return data }
    let extra = parameters == nil ? 0 : pseudoInputCount
    let inputs = arena.matrix(slot, rows: data.rows + extra)
    let own = inputs.rows(0..<data.rows)
    let shown = transformedSlot.map { arena.matrix($0, rows: data.rows) } ?? own
    switch likelihood.encoderInput {
    case .data:
      if labels == nil { own.copy(data) }
    case .log1p: log1p(of: data, into: shown)
    case .oneHot(let classes): oneHot(data, classes: classes, into: shown)
    case .table(let columns): tableInputs(data, columns, into: shown)
    }
    if let labels {
      join(
        transformedSlot == nil ? data : shown, labels, classes: classes,
        pixelCount: extents.pixelCount, into: own)
    }
    if let range, let parameters, extra > 0 {
      inputs.rows(data.rows..<inputs.rows).copy(pseudoInputs(in: parameters, range))
    }
    return inputs
  }

  /// The pseudo-inputs, where there are any.
  func pseudoInputs(_ parameters: FloatBuffer) -> MatrixView? {
    range.map { pseudoInputs(in: parameters, $0) }
  }

  /// Writes examples as pseudo-inputs, from number `first` on.
  func setPseudoInputs(
    from data: MatrixView, labels: UnsafeBufferPointer<UInt32>?, first: Int,
    parameters: FloatBuffer, arena: Arena
  ) {
    guard let range else { return }
    let inputs = prepare(data, labels: labels, parameters: nil, arena: arena)
    pseudoInputs(in: parameters, range).rows(first..<first + data.rows).copy(inputs)
  }

  /// Takes the pseudo-inputs' gradient out of that of all inputs.
  func storeGradient(_ inputGradient: MatrixView, into gradient: FloatBuffer) {
    guard let range else { return }
    pseudoInputs(in: gradient, range).copy(
      inputGradient.rows(inputGradient.rows - pseudoInputCount..<inputGradient.rows))
  }

  private func pseudoInputs(in flat: FloatBuffer, _ range: Range<Int>) -> MatrixView {
    flat.matrix(rows: pseudoInputCount, columns: extents.count, offset: range.lowerBound)
  }
}

/// The numbers of each pixel, and behind them 1 at the row's class and 0 at the others.
///
/// - Parameters:
///   - values: `[rows, pixels * channels]`.
///   - labels: Classes; as many neighbouring rows have each as there are rows for a label.
///   - classes: How many there are.
///   - pixelCount: Pixels of a row; 1 of a vector.
///   - inputs: Receives `[rows, pixels * (channels + classes)]`.
func join(
  _ values: MatrixView, _ labels: UnsafeBufferPointer<UInt32>, classes: Int, pixelCount: Int,
  into inputs: MatrixView
) {
  let channels = values.columns / pixelCount
  let rowsPerLabel = labels.isEmpty ? 1 : values.rows / labels.count
  for row in 0..<values.rows {
    let (from, to) = (values.row(row), inputs.row(row))
    to.update(repeating: 0)
    for pixel in 0..<pixelCount {
      let start = pixel * (channels + classes)
      for channel in 0..<channels { to[start + channel] = from[pixel * channels + channel] }
      to[start + channels + min(Int(labels[row / rowsPerLabel]), classes - 1)] = 1
    }
  }
}
