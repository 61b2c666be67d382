#include "CKernels.h"
#include "vector_math.h"

VD_INLINE float sigmoid(float x) { return 1.0f / (1.0f + vd_exp(-x)); }

// GELU by its definition, x Φ(x), with Φ from a rational approximation of erf of float accuracy.
// erf(a) for |a| ≤ 4 (Eigen's and XNNPACK's minimax form, degrees 13 / 8); ±1 beyond.
VD_INLINE float erf_unit(float a) {
  float x = a < -4.0f ? -4.0f : a;
  x = x > 4.0f ? 4.0f : x;
  float s = x * x;
  float p = -2.72614225801306e-10f;
  p = p * s + 2.77068142495902e-08f;
  p = p * s + -2.10102402082508e-06f;
  p = p * s + -5.69250639462346e-05f;
  p = p * s + -7.34990630326855e-04f;
  p = p * s + -2.95459980854025e-03f;
  p = p * s + -1.60960333262415e-02f;
  float q = -1.45660718464996e-05f;
  q = q * s + -2.13374055278905e-04f;
  q = q * s + -1.68282697438203e-03f;
  q = q * s + -7.37332916720468e-03f;
  q = q * s + -1.42647390514189e-02f;
  return x * p / q;
}

VD_INLINE float normal_cumulative(float x) { return 0.5f + 0.5f * erf_unit(0.707106781f * x); }

VD_DISPATCHED
void vd_kernel_activate(enum vd_kernel_activation activation, float slope, size_t count,
                        const float *inputs, float *outputs) {
  switch (activation) {
  case VD_KERNEL_IDENTITY:
    if (inputs != outputs) memcpy(outputs, inputs, count * sizeof(float));
    break;
  case VD_KERNEL_RELU: // NaN stays NaN
    for (size_t i = 0; i < count; i++) outputs[i] = inputs[i] < 0 ? 0.0f : inputs[i];
    break;
  case VD_KERNEL_LEAKY_RELU:
    for (size_t i = 0; i < count; i++) outputs[i] = inputs[i] < 0 ? slope * inputs[i] : inputs[i];
    break;
  case VD_KERNEL_TANH:
    for (size_t i = 0; i < count; i++) outputs[i] = vd_tanh(inputs[i]);
    break;
  case VD_KERNEL_SIGMOID:
    for (size_t i = 0; i < count; i++) outputs[i] = sigmoid(inputs[i]);
    break;
  case VD_KERNEL_ELU:
    for (size_t i = 0; i < count; i++) {
      float below = slope * (vd_exp(inputs[i]) - 1.0f);
      outputs[i] = inputs[i] < 0 ? below : inputs[i];
    }
    break;
  case VD_KERNEL_SOFTPLUS: // max(x, 0) + log(1 + e^−|x|)
    for (size_t i = 0; i < count; i++) {
      float above = inputs[i] < 0 ? 0.0f : inputs[i];
      outputs[i] = above + vd_log1p_unit(vd_exp(-fabsf(inputs[i])));
    }
    break;
  case VD_KERNEL_SILU:
    for (size_t i = 0; i < count; i++) outputs[i] = inputs[i] * sigmoid(inputs[i]);
    break;
  case VD_KERNEL_GELU:
    for (size_t i = 0; i < count; i++) outputs[i] = inputs[i] * normal_cumulative(inputs[i]);
    break;
  }
}

VD_DISPATCHED
void vd_kernel_activation_backward(enum vd_kernel_activation activation, float slope, size_t count,
                                   const float *restrict values, float *restrict gradient) {
  switch (activation) {
  case VD_KERNEL_IDENTITY:
    break;
  case VD_KERNEL_RELU: // h = max(x, 0)
    for (size_t i = 0; i < count; i++) gradient[i] = values[i] > 0 ? gradient[i] : 0.0f;
    break;
  case VD_KERNEL_LEAKY_RELU: // h = x > 0 ? x : slope · x
    for (size_t i = 0; i < count; i++) gradient[i] *= values[i] > 0 ? 1.0f : slope;
    break;
  case VD_KERNEL_TANH: // h = tanh x; h' = 1 − h²
    for (size_t i = 0; i < count; i++) gradient[i] *= 1.0f - values[i] * values[i];
    break;
  case VD_KERNEL_SIGMOID: // h' = h (1 − h)
    for (size_t i = 0; i < count; i++) gradient[i] *= values[i] * (1.0f - values[i]);
    break;
  case VD_KERNEL_ELU: // h = x > 0 ? x : slope (eˣ − 1); h' = x > 0 ? 1 : h + slope
    for (size_t i = 0; i < count; i++) gradient[i] *= values[i] > 0 ? 1.0f : values[i] + slope;
    break;
  case VD_KERNEL_SOFTPLUS: // h = log(1 + eˣ); h' = sigmoid(x) = 1 − e⁻ʰ
    for (size_t i = 0; i < count; i++) gradient[i] *= 1.0f - vd_exp(-values[i]);
    break;
  case VD_KERNEL_SILU: // h = x s(x); h' = s (1 + x (1 − s))
    for (size_t i = 0; i < count; i++) {
      float s = sigmoid(values[i]);
      gradient[i] *= s * (1.0f + values[i] * (1.0f - s));
    }
    break;
  case VD_KERNEL_GELU: // h = x Φ(x); h' = Φ(x) + x φ(x)
    for (size_t i = 0; i < count; i++) {
      float x = values[i];
      float density = 0.398942280f * vd_exp(-0.5f * x * x);
      gradient[i] *= normal_cumulative(x) + x * density;
    }
    break;
  }
}

VD_DISPATCHED
void vd_kernel_column_sums(size_t rows, size_t columns, size_t stride,
                           const float *restrict matrix, float *restrict sums) {
  // Strips of 64 columns: their sums stay in registers while the rows go by.
  size_t start = 0;
  for (; start + 64 <= columns; start += 64) {
    float strip[64];
    for (size_t j = 0; j < 64; j++) strip[j] = 0;
    for (size_t i = 0; i < rows; i++) {
      const float *row = matrix + i * stride + start;
      for (size_t j = 0; j < 64; j++) strip[j] += row[j];
    }
    for (size_t j = 0; j < 64; j++) sums[start + j] = strip[j];
  }
  if (start == columns) return;
  memset(sums + start, 0, (columns - start) * sizeof(float));
  for (size_t i = 0; i < rows; i++)
    for (size_t j = start; j < columns; j++) sums[j] += matrix[i * stride + j];
}
