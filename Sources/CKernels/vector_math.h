// exp, log(1 + x) and their like as straight-line code that the compiler can vectorise.
// The largest errors that are stated here were measured with fused multiply-add, over all exponents,
// against double precision; VectorMathTests holds them.

#ifndef VD_VECTOR_MATH_H
#define VD_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VD_INLINE static inline __attribute__((always_inline))

// One copy of a loop per instruction set; the loader picks one. Elsewhere: one copy.
#if defined(__x86_64__)
#define VD_DISPATCHED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VD_DISPATCHED
#endif

VD_INLINE float vd_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

VD_INLINE uint32_t vd_to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// eˣ, within 1 unit in the last place (0.993 seen). Inputs are clamped to [−87.3, 88.3], so that the
/// result is finite and normal. NaN stays NaN.
VD_INLINE float vd_exp(float x) {
  float clamped = x < -87.3f ? -87.3f : x;
  clamped = clamped > 88.3f ? 88.3f : clamped;
  // n = round(x / log 2), through the rounding of a large addend.
  float shifted = clamped * 1.44269504f + 12582912.0f;
  float n = shifted - 12582912.0f;
  // r = x − n log 2 in two parts, |r| ≤ ½ log 2.
  float r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  // Minimax polynomial of (eʳ − 1 − r) / r² (Cephes, expf).
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float power = vd_from_bits((vd_to_bits(shifted) << 23) + 0x3f800000u);
  return (p * (r * r) + r + 1.0f) * power;
}

/// (log(1 + f) − f + ½ f²) / f³ for f in [−0.29, 0.41] (Cephes, logf).
VD_INLINE float vd_log_polynomial(float f) {
  float p = 7.0376836292e-2f;
  p = p * f + -1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f + -1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f + -1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f + -2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return p;
}

/// log(1 + y) for y in [0, 1], within 2 units in the last place (1.80 seen), without rounding 1 + y.
VD_INLINE float vd_log1p_unit(float y) {
  int above = y > 0.41421356f;
  float f = above ? 0.5f * (y - 1.0f) : y;
  float square = f * f;
  float p = vd_log_polynomial(f);
  float result = f - 0.5f * square + square * f * p;
  return above ? result + 0.693147181f : result;
}

/// log x for positive x, within 2 units in the last place; denormals count as 2⁻¹²⁶.
VD_INLINE float vd_log(float x) {
  uint32_t bits = vd_to_bits(x < 1.17549435e-38f ? 1.17549435e-38f : x);
  // x = 2ⁿ m with m in [√½, √2).
  uint32_t shifted = bits - 0x3f3504f3u;
  float n = (float)((int32_t)shifted >> 23);
  float f = vd_from_bits((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  float square = f * f;
  float p = vd_log_polynomial(f);
  float low = square * f * p + n * -2.12194440e-4f - 0.5f * square;
  float result = f + low + n * 0.693359375f;
  // Infinity and NaN.
  return x < 3.4e38f ? result : x;
}

/// log(1 + y) for y > −1, within 3 units in the last place: what rounding 1 + y lost is put back.
VD_INLINE float vd_log1p(float y) {
  float u = 1.0f + y;
  float lost = y - (u - 1.0f);
  float correction = u < 1e30f ? lost / u : 0.0f;
  return vd_log(u) + correction;
}

/// tanh x, within 3 units in the last place: Cephes' polynomial below 0.625, 1 − 2 / (e²ˣ + 1) above.
VD_INLINE float vd_tanh(float x) {
  float square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square + -5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square + -3.33332819422e-1f;
  float small = p * square * x + x;
  float size = fabsf(x);
  float large = 1.0f - 2.0f / (vd_exp(2.0f * size) + 1.0f);
  return size < 0.625f ? small : copysignf(large, x);
}

#endif
