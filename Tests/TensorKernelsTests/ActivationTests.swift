import TensorKernels
import TestSupport
import Testing

@Suite struct ActivationTests {
  // Off the corner at zero, and a count that is no multiple of any vector's width.
  static let inputs = (0..<1999).map { (Double($0) - 999.5) / 90 }

  @Test(arguments: Activation.allCases) func referenceDerivativeIsTheSlope(
    _ activation: Activation
  ) {
    let reference = ReferenceScalars(activation)
    let h = 1e-5
    for a in Self.inputs {
      let slope = (reference.value(a + h) - reference.value(a - h)) / (2 * h)
      #expect(abs(slope - reference.derivative(a)) < 1e-8)
    }
  }

  @Test(arguments: Activation.allCases) func separateForward(
    _ activation: Activation
  ) {
    let outputs = FloatBuffer.poisoned(Self.inputs.count)
    let reference = ReferenceScalars(activation)
    activation.apply(
      to: FloatBuffer(Self.inputs).matrix(rows: 1, columns: Self.inputs.count),
      into: outputs.matrix(rows: 1, columns: Self.inputs.count))
    for (a, h) in zip(Self.inputs, outputs.values) {
      let expected = reference.value(Double(Float(a)))
      #expect(abs(Double(h) - expected) <= 1e-6 * max(1, abs(expected)), "f(\(a))")
    }
    // In place.
    let values = FloatBuffer(Self.inputs)
    let row = values.matrix(rows: 1, columns: Self.inputs.count)
    activation.apply(to: row, into: row)
    #expect(values.values == outputs.values)
  }

  @Test(arguments: Activation.allCases) func backwardMultipliesByTheDerivative(
    _ activation: Activation
  ) {
    let reference = ReferenceScalars(activation)
    let count = Self.inputs.count
    let incoming = (0..<count).map { 1 + Double($0 % 7) }
    let gradient = FloatBuffer(incoming)
    let values = activation.needsInputs ? Self.inputs : Self.inputs.map(reference.value)
    activation.backward(
      gradient.matrix(rows: 1, columns: count),
      values: FloatBuffer(values).matrix(rows: 1, columns: count))
    for index in 0..<count {
      let expected = incoming[index] * reference.derivative(Self.inputs[index])
      // Where outputs saturate, 1 − h² and its like keep an absolute error of about one rounding.
      #expect(abs(Double(gradient.base[index]) - expected) <= 2e-6 * incoming[index])
    }
  }
}
