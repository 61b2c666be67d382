// Sums of whole numbers have no order: the same bits however a sum is divided.

#include "CKernels.h"
#include "vector_math.h"

// A power of two changes no digit of a float; rounding to a whole number is the only loss.
VD_INLINE int64_t to_whole(float value) { return (int64_t)__builtin_elementwise_rint(value); }

VD_DISPATCHED
float vd_kernel_to_fixed_point(size_t count, const float *restrict values, float factor, int adds,
                               int64_t *restrict sums) {
  // As bits, NaN is larger than infinity, and that than all numbers.
  uint32_t largest = 0;
  if (adds) {
    for (size_t i = 0; i < count; i++) {
      uint32_t size = vd_to_bits(values[i]) & 0x7fffffffu;
      largest = size > largest ? size : largest;
      sums[i] += to_whole(values[i] * factor);
    }
  } else {
    for (size_t i = 0; i < count; i++) {
      uint32_t size = vd_to_bits(values[i]) & 0x7fffffffu;
      largest = size > largest ? size : largest;
      sums[i] = to_whole(values[i] * factor);
    }
  }
  return vd_from_bits(largest);
}

VD_DISPATCHED
void vd_kernel_add_fixed_point(size_t count, const int64_t *restrict values,
                               int64_t *restrict sums) {
  for (size_t i = 0; i < count; i++) sums[i] += values[i];
}

VD_DISPATCHED
void vd_kernel_from_fixed_point(size_t count, const int64_t *restrict sums, float inverse,
                                float *restrict values) {
  for (size_t i = 0; i < count; i++) values[i] = (float)sums[i] * inverse;
}
