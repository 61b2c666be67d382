#include "CKernels.h"
#include "vector_math.h"

// Group normalization (Wu & He 2018) of rows [pixels, channels], channels being neighbours. Sums run
// over pixels for each channel, so that loops are as long as there are channels; a group's sum
// is that of its channels.

VD_DISPATCHED
void vd_kernel_normalize(const vd_kernel_group_normalization *what, const float *restrict inputs,
                         float *restrict outputs) {
  size_t channels = what->channels, pixels = what->pixels, groups = what->groups;
  size_t width = channels / groups;
  double count = (double)(pixels * width);
  float *sums = what->scratch, *scale = sums + channels, *shift = scale + channels;
  for (size_t row = 0; row < what->rows; row++) {
    const float *x = inputs + row * pixels * channels;
    float *y = outputs + row * pixels * channels;
    float *means = what->means + row * groups;
    float *inverse_deviations = what->inverse_deviations + row * groups;
    memset(sums, 0, channels * sizeof(float));
    for (size_t p = 0; p < pixels; p++)
      for (size_t c = 0; c < channels; c++) sums[c] += x[p * channels + c];
    for (size_t g = 0; g < groups; g++) {
      double sum = 0;
      for (size_t c = g * width; c < (g + 1) * width; c++) sum += sums[c];
      means[g] = (float)(sum / count);
      for (size_t c = g * width; c < (g + 1) * width; c++) shift[c] = means[g];
    }
    // About the mean, so that nothing cancels.
    memset(sums, 0, channels * sizeof(float));
    for (size_t p = 0; p < pixels; p++)
      for (size_t c = 0; c < channels; c++) {
        float distance = x[p * channels + c] - shift[c];
        sums[c] += distance * distance;
      }
    for (size_t g = 0; g < groups; g++) {
      double sum = 0;
      for (size_t c = g * width; c < (g + 1) * width; c++) sum += sums[c];
      inverse_deviations[g] = (float)(1.0 / sqrt(sum / count + (double)what->epsilon));
      for (size_t c = g * width; c < (g + 1) * width; c++)
        scale[c] = what->scales[c] * inverse_deviations[g];
    }
    for (size_t p = 0; p < pixels; p++)
      for (size_t c = 0; c < channels; c++)
        y[p * channels + c] = (x[p * channels + c] - shift[c]) * scale[c] + what->shifts[c];
  }
}

VD_DISPATCHED
void vd_kernel_normalize_backward(const vd_kernel_group_normalization *what,
                                  const float *restrict inputs, float *restrict gradient,
                                  float *restrict scale_gradient,
                                  float *restrict shift_gradient) {
  size_t channels = what->channels, pixels = what->pixels, groups = what->groups;
  size_t width = channels / groups;
  double count = (double)(pixels * width);
  float *sums = what->scratch, *products = sums + channels;
  float *mean = products + channels, *inverse = mean + channels;
  memset(scale_gradient, 0, channels * sizeof(float));
  memset(shift_gradient, 0, channels * sizeof(float));
  for (size_t row = 0; row < what->rows; row++) {
    const float *x = inputs + row * pixels * channels;
    float *g = gradient + row * pixels * channels;
    for (size_t c = 0; c < channels; c++) {
      mean[c] = what->means[row * groups + c / width];
      inverse[c] = what->inverse_deviations[row * groups + c / width];
    }
    memset(sums, 0, channels * sizeof(float));
    memset(products, 0, channels * sizeof(float));
    for (size_t p = 0; p < pixels; p++)
      for (size_t c = 0; c < channels; c++) {
        float slope = g[p * channels + c];
        sums[c] += slope;
        products[c] += slope * ((x[p * channels + c] - mean[c]) * inverse[c]);
      }
    for (size_t c = 0; c < channels; c++) {
      shift_gradient[c] += sums[c];
      scale_gradient[c] += products[c];
    }
    // y = γ x̂ + β: ∂/∂x = (γ ∂/∂y − mean(γ ∂/∂y) − x̂ · mean(γ ∂/∂y · x̂)) / √(variance + ε)
    for (size_t k = 0; k < groups; k++) {
      double sum = 0, product = 0;
      for (size_t c = k * width; c < (k + 1) * width; c++) {
        sum += (double)(what->scales[c] * sums[c]);
        product += (double)(what->scales[c] * products[c]);
      }
      for (size_t c = k * width; c < (k + 1) * width; c++) {
        sums[c] = (float)(sum / count);
        products[c] = (float)(product / count);
      }
    }
    for (size_t p = 0; p < pixels; p++)
      for (size_t c = 0; c < channels; c++) {
        float normalized = (x[p * channels + c] - mean[c]) * inverse[c];
        g[p * channels + c] = inverse[c] * (what->scales[c] * g[p * channels + c] - sums[c] -
                                            normalized * products[c]);
      }
  }
}
