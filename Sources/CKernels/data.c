#include "CKernels.h"
#include "vector_math.h"

VD_DISPATCHED
void vd_kernel_convert_bytes(size_t count, const uint8_t *restrict source, float scale,
                             float *restrict destination) {
  for (size_t i = 0; i < count; i++) destination[i] = scale * (float)source[i];
}

// Rows lie far apart, so each comes from memory that no cache holds, and the processor cannot guess
// the next one: ask for it while earlier ones are converted.
VD_DISPATCHED
void vd_kernel_gather_bytes(size_t row_count, size_t columns, const uint32_t *rows,
                            const uint8_t *source, float scale, float *restrict destination) {
  const size_t ahead = 4, line = 64;
  for (size_t i = 0; i < row_count + ahead; i++) {
    if (i < row_count) {
      const uint8_t *coming = source + (size_t)rows[i] * columns;
      for (size_t j = 0; j < columns; j += line) __builtin_prefetch(coming + j);
    }
    if (i < ahead) continue;
    const uint8_t *row = source + (size_t)rows[i - ahead] * columns;
    float *out = destination + (i - ahead) * columns;
    for (size_t j = 0; j < columns; j++) out[j] = scale * (float)row[j];
  }
}

// 64 sums side by side, each of which every later step maps one to one, so that one changed element always
// shows.
VD_DISPATCHED
uint64_t vd_kernel_digest(size_t count, const float *values) {
  enum { lanes = 64 };
  uint32_t sums[lanes] = {0};
  size_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (size_t lane = 0; lane < lanes; lane++)
      sums[lane] = (sums[lane] + vd_to_bits(values[i + lane])) * 0x9e3779b1u;
  for (size_t lane = 0; i + lane < count; lane++)
    sums[lane] = (sums[lane] + vd_to_bits(values[i + lane])) * 0x9e3779b1u;
  uint64_t digest = count;
  for (size_t lane = 0; lane < lanes; lane++) {
    digest = (digest ^ sums[lane]) * 0x9e3779b97f4a7c15u;
    digest ^= digest >> 29;
  }
  return digest;
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

VD_DISPATCHED
void vd_kernel_round_to_bfloat16(size_t count, const float *restrict source,
                                 uint16_t *restrict destination) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = vd_to_bits(source[i]);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    // Rounding must not turn a NaN into an infinity.
    int is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    destination[i] = (uint16_t)(is_nan ? 0x7fc0u : rounded);
  }
}

VD_DISPATCHED
void vd_kernel_widen_bfloat16(size_t count, const uint16_t *restrict source,
                              float *restrict destination) {
  for (size_t i = 0; i < count; i++) destination[i] = vd_from_bits((uint32_t)source[i] << 16);
}
