#include "CKernels.h"
#include "vector_math.h"

VD_DISPATCHED
void vd_kernel_convert_bytes(size_t count, const uint8_t *restrict source, float scale,
                             float *restrict destination) {
  for (size_t i = 0; i < count; i++) destination[i] = scale * (float)source[i];
}

VD_DISPATCHED
void vd_kernel_scale(size_t count, const float *source, float scale, float *destination) {
#pragma clang loop vectorize(assume_safety)
  for (size_t i = 0; i < count; i++) destination[i] = scale * source[i];
}

VD_DISPATCHED
void vd_kernel_binarize(size_t count, const float *restrict uniforms, float *restrict values) {
  for (size_t i = 0; i < count; i++) values[i] = uniforms[i] < values[i] ? 1.0f : 0.0f;
}
