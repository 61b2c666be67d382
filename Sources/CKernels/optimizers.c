// The same update on every processor, so that nodes of different kinds keep equal replicas. The loops
// wait for memory, not for arithmetic.
#pragma STDC FP_CONTRACT OFF

#include "CKernels.h"
#include "vector_math.h"

// 1 for NaN and infinities, which a sum of floats could not tell without being reordered.
VD_INLINE uint32_t is_not_finite(float value) {
  return (vd_to_bits(value) & 0x7fffffffu) >= 0x7f800000u;
}

// Where the gradient is lost the state shows it and the parameter stays as it was, so that the step can be
// looked into.
VD_INLINE float unless_lost(uint32_t lost, float updated, float before) {
  return lost ? before : updated;
}

#define VD_SQRT __builtin_elementwise_sqrt // never sets errno, so it vectorises

VD_DISPATCHED
int vd_kernel_adam(size_t count, float *restrict parameters, const float *restrict gradient,
                    float *restrict first_moment, float *restrict second_moment,
                    float gradient_scale, float learning_rate, float beta1, float beta2,
                    float epsilon, float first_correction, float second_correction,
                    float weight_decay, int decoupled) {
  float coupled_decay = decoupled ? 0.0f : weight_decay;
  float kept = decoupled ? 1.0f - learning_rate * weight_decay : 1.0f;
  float rate = learning_rate / first_correction;
  float inverse_root = 1.0f / sqrtf(second_correction);
  uint32_t lost = 0;
  for (size_t i = 0; i < count; i++) {
    float p = parameters[i];
    float g = gradient_scale * gradient[i] + coupled_decay * p;
    float m = beta1 * first_moment[i] + (1.0f - beta1) * g;
    float v = beta2 * second_moment[i] + (1.0f - beta2) * (g * g);
    first_moment[i] = m;
    second_moment[i] = v;
    uint32_t is_lost = is_not_finite(v);
    float updated = kept * p - rate * m / (VD_SQRT(v) * inverse_root + epsilon);
    parameters[i] = unless_lost(is_lost, updated, p);
    lost |= is_lost | is_not_finite(updated);
  }
  return lost == 0;
}

VD_DISPATCHED
int vd_kernel_adagrad(size_t count, float *restrict parameters, const float *restrict gradient,
                       float *restrict squared_sum, float gradient_scale, float learning_rate,
                       float epsilon, float weight_decay) {
  uint32_t lost = 0;
  for (size_t i = 0; i < count; i++) {
    float p = parameters[i];
    float g = gradient_scale * gradient[i] + weight_decay * p;
    float sum = squared_sum[i] + g * g;
    squared_sum[i] = sum;
    uint32_t is_lost = is_not_finite(sum);
    float updated = p - learning_rate * g / (VD_SQRT(sum) + epsilon);
    parameters[i] = unless_lost(is_lost, updated, p);
    lost |= is_lost | is_not_finite(updated);
  }
  return lost == 0;
}

VD_DISPATCHED
int vd_kernel_sgd(size_t count, float *restrict parameters, const float *restrict gradient,
                   float *restrict velocity, float gradient_scale, float learning_rate,
                   float momentum, float weight_decay) {
  uint32_t lost = 0;
  for (size_t i = 0; i < count; i++) {
    float p = parameters[i];
    float g = gradient_scale * gradient[i] + weight_decay * p;
    float v = momentum * velocity[i] + g;
    velocity[i] = v;
    uint32_t is_lost = is_not_finite(v);
    float updated = p - learning_rate * v;
    parameters[i] = unless_lost(is_lost, updated, p);
    lost |= is_lost | is_not_finite(updated);
  }
  return lost == 0;
}

VD_DISPATCHED
double vd_kernel_sum_of_squares(size_t count, const float *values) {
#pragma clang fp reassociate(on)
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)values[i] * (double)values[i];
  return sum;
}

VD_DISPATCHED
void vd_kernel_add(size_t count, const float *restrict source, float *restrict destination) {
  for (size_t i = 0; i < count; i++) destination[i] += source[i];
}

VD_DISPATCHED
void vd_kernel_sum(size_t count, const float *restrict first, const float *restrict second,
                   float *restrict sum) {
  for (size_t i = 0; i < count; i++) sum[i] = first[i] + second[i];
}
