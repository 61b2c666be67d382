internal import CKernels
internal import COneDNN

/// An elementwise nonlinearity h = f(a).
public enum Activation: String, CaseIterable, Sendable, Codable {
  /// f(a) = a.
  case identity
  /// f(a) = max(a, 0).
  case relu
  /// f(a) = a for a > 0, else 0.01 a.
  case leakyReLU = "leaky-relu"
  /// f(a) = tanh a.
  case tanh
  /// f(a) = 1 / (1 + e⁻ᵃ).
  case sigmoid
  /// f(a) = a for a > 0, else eᵃ − 1.
  case elu
  /// f(a) = log(1 + eᵃ).
  case softplus
  /// f(a) = a · sigmoid(a), also called swish.
  case silu
  /// f(a) = a Φ(a), with the exact Φ (not the tanh form).
  case gelu

  /// Whether the derivative needs a, so that a must be kept beside f(a).
  ///
  /// The others' derivatives follow from f(a) alone, and oneDNN applies them inside the product.
  public var needsInputs: Bool { self == .silu || self == .gelu }

  /// The slope of leaky ReLU below zero; the alpha of ELU; 1 where softplus asks for it.
  var slope: Float {
    switch self {
    case .leakyReLU: 0.01
    case .elu, .softplus: 1
    default: 0
    }
  }

  var kernel: vd_kernel_activation {
    switch self {
    case .identity: VD_KERNEL_IDENTITY
    case .relu: VD_KERNEL_RELU
    case .leakyReLU: VD_KERNEL_LEAKY_RELU
    case .tanh: VD_KERNEL_TANH
    case .sigmoid: VD_KERNEL_SIGMOID
    case .elu: VD_KERNEL_ELU
    case .softplus: VD_KERNEL_SOFTPLUS
    case .silu: VD_KERNEL_SILU
    case .gelu: VD_KERNEL_GELU
    }
  }

  /// What oneDNN can do inside the product; identity where ``needsInputs``.
  var fused: vd_dnnl_activation {
    switch self {
    case .identity, .silu, .gelu: VD_DNNL_IDENTITY
    case .relu: VD_DNNL_RELU
    case .leakyReLU: VD_DNNL_LEAKY_RELU
    case .tanh: VD_DNNL_TANH
    case .sigmoid: VD_DNNL_SIGMOID
    case .elu: VD_DNNL_ELU
    case .softplus: VD_DNNL_SOFTPLUS
    }
  }

  /// outputs = f(inputs), where no product has applied f already.
  ///
  /// - Shape: `inputs` and `outputs` are alike, and may be the same. What lies between their rows is
  ///   transformed too.
  public func apply(to inputs: MatrixView, into outputs: MatrixView) {
    precondition(
      inputs.rows == outputs.rows && inputs.columns == outputs.columns
        && inputs.stride == outputs.stride,
      "Cannot apply \(rawValue) to \(inputs.shape) into \(outputs.shape)")
    vd_kernel_activate(kernel, slope, inputs.rows * inputs.stride, inputs.base, outputs.base)
  }

  /// gradient ⊙= f′, in place: from ∂/∂f(a) to ∂/∂a.
  ///
  /// - Shape: `values` and `gradient` are alike. What lies between their rows is transformed too.
  /// - Parameters:
  ///   - gradient: The gradient of the outputs on entry, of the inputs on return.
  ///   - values: The outputs f(a), or the inputs a where ``needsInputs``.
  public func backward(_ gradient: MatrixView, values: MatrixView) {
    precondition(
      gradient.rows == values.rows && gradient.columns == values.columns
        && gradient.stride == values.stride,
      "Cannot multiply a gradient \(gradient.shape) by a derivative at \(values.shape)")
    if self == .identity { return }
    vd_kernel_activation_backward(
      kernel, slope, gradient.rows * gradient.stride, values.base, gradient.base)
  }
}
