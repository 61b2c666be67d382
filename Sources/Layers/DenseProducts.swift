internal import TensorKernels

/// The four products of a fully connected layer, in one number format.
///
/// Forward before the gradients, with the same rows; ``begin(_:)`` before the gradients.
protocol DenseProducts: AnyObject {
  /// output = f(input · weights + bias).
  func forward(
    _ input: MatrixView, weights: MatrixView, bias: UnsafePointer<Float>, into output: MatrixView
  ) throws(KernelError)
  /// The gradient of the outputs is final.
  func begin(_ gradient: MatrixView)
  /// Some rows of the gradient of the weights: destination = inputᵀ · gradient.
  func weightGradient(
    _ input: MatrixView, _ gradient: MatrixView, rows: Range<Int>, into destination: MatrixView
  ) throws(KernelError)
  /// destination = gradient · weightsᵀ.
  func inputGradient(
    _ gradient: MatrixView, weights: MatrixView, into destination: MatrixView
  ) throws(KernelError)
}

/// Products on the matrices as they are.
final class SinglePrecisionProducts: DenseProducts {
  private let forwardProduct: MatrixProduct
  private let weightProduct: MatrixProduct
  private let inputProduct: MatrixProduct

  init(inputs: Int, outputs: Int, activation: Activation) {
    forwardProduct = MatrixProduct(
      .forward, leading: inputs, columns: outputs, hasBias: true, activation: activation)
    weightProduct = MatrixProduct(
      .weightGradient, leading: inputs, columns: outputs)
    inputProduct = MatrixProduct(.inputGradient, leading: outputs, columns: inputs)
  }

  func forward(
    _ input: MatrixView, weights: MatrixView, bias: UnsafePointer<Float>, into output: MatrixView
  ) throws(KernelError) {
    try forwardProduct.run(input, weights, bias: bias, into: output)
  }

  func begin(_: MatrixView) {}

  func weightGradient(
    _ input: MatrixView, _ gradient: MatrixView, rows: Range<Int>, into destination: MatrixView
  ) throws(KernelError) {
    try weightProduct.run(input, gradient, into: destination, rows: rows)
  }

  func inputGradient(
    _ gradient: MatrixView, weights: MatrixView, into destination: MatrixView
  ) throws(KernelError) {
    try inputProduct.run(gradient, weights, into: destination)
  }
}

/// Products on copies rounded to bfloat16, added up in single precision.
///
/// Each operand is rounded once and used twice: inputs for the forward and the weights' gradient,
/// gradients for the weights' and the inputs', weights for the forward and the inputs' gradient.
final class BFloat16Products: DenseProducts {
  private let forwardProduct: MatrixProduct
  private let weightProduct: MatrixProduct
  private let inputProduct: MatrixProduct
  private let weights: BFloat16Buffer  // [inputs, outputs]
  private let input: BFloat16Buffer  // [capacity, inputs]
  private let gradient: BFloat16Buffer  // [capacity, outputs]
  private let outputs: Int

  init(inputs: Int, outputs: Int, activation: Activation, capacity: Int) {
    forwardProduct = MatrixProduct(
      .forward, leading: inputs, columns: outputs, hasBias: true, activation: activation,
      precision: .bf16)
    weightProduct = MatrixProduct(
      .weightGradient, leading: inputs, columns: outputs, precision: .bf16)
    inputProduct = MatrixProduct(
      .inputGradient, leading: outputs, columns: inputs, precision: .bf16)
    weights = BFloat16Buffer(rows: inputs, columns: outputs)
    input = BFloat16Buffer(rows: capacity, columns: inputs)
    gradient = BFloat16Buffer(rows: capacity, columns: outputs)
    self.outputs = outputs
  }

  func forward(
    _ input: MatrixView, weights: MatrixView, bias: UnsafePointer<Float>, into output: MatrixView
  ) throws(KernelError) {
    try forwardProduct.run(
      self.input.round(input), self.weights.round(weights), bias: bias, into: output)
  }

  func begin(_ gradient: MatrixView) { _ = self.gradient.round(gradient) }

  func weightGradient(
    _ input: MatrixView, _ gradient: MatrixView, rows: Range<Int>, into destination: MatrixView
  ) throws(KernelError) {
    try weightProduct.run(
      self.input.matrix(rows: input.rows, columns: input.columns),
      self.gradient.matrix(rows: gradient.rows, columns: outputs), into: destination, rows: rows)
  }

  func inputGradient(
    _ gradient: MatrixView, weights: MatrixView, into destination: MatrixView
  ) throws(KernelError) {
    try inputProduct.run(
      self.gradient.matrix(rows: gradient.rows, columns: outputs),
      self.weights.matrix(rows: weights.rows, columns: weights.columns), into: destination)
  }
}
