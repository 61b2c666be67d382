#include "CKernels.h"
#include "vector_math.h"

// A row's terms are added in several lanes at once, in float, in pieces of at most 4,096 terms
// whose sums are added in double.
static const size_t piece = 4096;

// e^−|l| gives both softplus(l) = max(l, 0) + log(1 + e^−|l|) and sigmoid(l) without overflow.
VD_INLINE float bernoulli_piece(size_t count, const float *restrict x, const float *l) {
#pragma clang fp reassociate(on)
  float sum = 0;
  for (size_t j = 0; j < count; j++) {
    float logit = l[j];
    float e = vd_exp(-fabsf(logit));
    float positive = logit > 0 ? logit : 0.0f;
    sum += x[j] * logit - positive - vd_log1p_unit(e);
  }
  return sum;
}

VD_INLINE float bernoulli_gradient_piece(size_t count, const float *restrict x, const float *l,
                                         float scale, float *gradient) {
#pragma clang fp reassociate(on)
  float sum = 0;
#pragma clang loop vectorize(assume_safety)
  for (size_t j = 0; j < count; j++) {
    float logit = l[j];
    float e = vd_exp(-fabsf(logit));
    float positive = logit > 0 ? logit : 0.0f;
    sum += x[j] * logit - positive - vd_log1p_unit(e);
    float inverse = 1.0f / (1.0f + e);
    float mean = logit >= 0 ? inverse : e * inverse;
    gradient[j] = scale * (mean - x[j]);
  }
  return sum;
}

VD_DISPATCHED
void vd_kernel_bernoulli(size_t rows, size_t columns, size_t draws, const float *data,
                         const float *logits, float scale, double *log_likelihood,
                         float *gradient) {
  for (size_t r = 0; r < rows; r++) {
    const float *x = data + r / draws * columns;
    const float *l = logits + r * columns;
    double sum = 0;
    for (size_t start = 0; start < columns; start += piece) {
      size_t count = columns - start < piece ? columns - start : piece;
      if (gradient)
        sum += bernoulli_gradient_piece(count, x + start, l + start, scale,
                                        gradient + r * columns + start);
      else
        sum += bernoulli_piece(count, x + start, l + start);
    }
    log_likelihood[r] = sum;
  }
}

// −log N(x; m, e^v) = ½ (log 2π + v + (x − m)² e^−v). With u = (x − m) e^−v:
// ∂/∂m = −u, ∂/∂v = ½ (1 − (x − m) u); through m = sigmoid(a), ∂/∂a = −u m (1 − m).
VD_INLINE float gaussian_piece(size_t count, int sigmoid_mean, const float *restrict x,
                               const float *m, const float *v) {
#pragma clang fp reassociate(on)
  float sum = 0;
  for (size_t j = 0; j < count; j++) {
    float mean = sigmoid_mean ? 1.0f / (1.0f + vd_exp(-m[j])) : m[j];
    float difference = x[j] - mean;
    sum += v[j] + difference * difference * vd_exp(-v[j]);
  }
  return sum;
}

VD_INLINE float gaussian_gradient_piece(size_t count, int sigmoid_mean, const float *restrict x,
                                        const float *m, const float *v, float scale,
                                        float *mean_gradient, float *variance_gradient) {
#pragma clang fp reassociate(on)
  float sum = 0;
#pragma clang loop vectorize(assume_safety)
  for (size_t j = 0; j < count; j++) {
    float mean = sigmoid_mean ? 1.0f / (1.0f + vd_exp(-m[j])) : m[j];
    float slope = sigmoid_mean ? mean * (1.0f - mean) : 1.0f;
    float difference = x[j] - mean;
    float log_variance = v[j];
    float u = difference * vd_exp(-log_variance);
    sum += log_variance + difference * u;
    mean_gradient[j] = -scale * u * slope;
    variance_gradient[j] = 0.5f * scale * (1.0f - difference * u);
  }
  return sum;
}

VD_DISPATCHED
void vd_kernel_gaussian(size_t rows, size_t columns, size_t draws, int sigmoid_mean,
                        const float *data, const float *parameters, float scale,
                        double *log_likelihood, float *gradient) {
  const double log_two_pi = 1.8378770664093454836;
  for (size_t r = 0; r < rows; r++) {
    const float *x = data + r / draws * columns;
    const float *m = parameters + r * 2 * columns;
    const float *v = m + columns;
    double sum = 0;
    for (size_t start = 0; start < columns; start += piece) {
      size_t count = columns - start < piece ? columns - start : piece;
      if (gradient) {
        float *g = gradient + r * 2 * columns + start;
        sum += gaussian_gradient_piece(count, sigmoid_mean, x + start, m + start, v + start, scale,
                                       g, g + columns);
      } else {
        sum += gaussian_piece(count, sigmoid_mean, x + start, m + start, v + start);
      }
    }
    log_likelihood[r] = -0.5 * ((double)columns * log_two_pi + sum);
  }
}
