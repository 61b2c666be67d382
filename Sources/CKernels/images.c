#include "CKernels.h"
#include "vector_math.h"

VD_DISPATCHED
void vd_kernel_add_bias(size_t rows, size_t columns, const float *restrict bias,
                        float *restrict values) {
  // Several short rows at once, so that the loop inside is never short.
  float pattern[256];
  size_t repeats = columns >= 64 ? 1 : 256 / columns;
  const float *addend = bias;
  if (repeats > 1) {
    for (size_t i = 0; i < repeats * columns; i++) pattern[i] = bias[i % columns];
    addend = pattern;
  }
  size_t period = repeats * columns;
  size_t count = rows * columns;
  for (size_t start = 0; start < count; start += period) {
    size_t end = count - start < period ? count - start : period;
    for (size_t i = 0; i < end; i++) values[start + i] += addend[i];
  }
}

VD_DISPATCHED
void vd_kernel_drop_out(size_t count, float probability, float *restrict factors,
                        const float *restrict inputs, float *restrict outputs) {
  float kept = 1.0f / (1.0f - probability);
  for (size_t i = 0; i < count; i++) {
    factors[i] = factors[i] < probability ? 0.0f : kept;
    outputs[i] = inputs[i] * factors[i];
  }
}

VD_DISPATCHED
void vd_kernel_multiply(size_t count, const float *restrict factors, float *restrict values) {
  for (size_t i = 0; i < count; i++) values[i] *= factors[i];
}

VD_DISPATCHED
void vd_kernel_split_heads(size_t rows, size_t pixels, size_t heads, size_t channels,
                           const float *restrict together, float *restrict apart) {
  for (size_t row = 0; row < rows; row++)
    for (size_t head = 0; head < heads; head++) {
      const float *from = together + (row * pixels * heads + head) * channels;
      float *to = apart + (row * heads + head) * pixels * channels;
      for (size_t pixel = 0; pixel < pixels; pixel++)
        for (size_t c = 0; c < channels; c++)
          to[pixel * channels + c] = from[pixel * heads * channels + c];
    }
}

VD_DISPATCHED
void vd_kernel_join_heads(size_t rows, size_t pixels, size_t heads, size_t channels,
                          const float *restrict apart, float *restrict together) {
  for (size_t row = 0; row < rows; row++)
    for (size_t head = 0; head < heads; head++) {
      const float *from = apart + (row * heads + head) * pixels * channels;
      float *to = together + (row * pixels * heads + head) * channels;
      for (size_t pixel = 0; pixel < pixels; pixel++)
        for (size_t c = 0; c < channels; c++)
          to[pixel * heads * channels + c] = from[pixel * channels + c];
    }
}
