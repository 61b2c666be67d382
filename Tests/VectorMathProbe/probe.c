#include "VectorMathProbe.h"
#include "vector_math.h"

VD_DISPATCHED
void vd_probe_exp(size_t count, const float *inputs, float *outputs) {
  for (size_t i = 0; i < count; i++) outputs[i] = vd_exp(inputs[i]);
}

VD_DISPATCHED
void vd_probe_log1p_unit(size_t count, const float *inputs, float *outputs) {
  for (size_t i = 0; i < count; i++) outputs[i] = vd_log1p_unit(inputs[i]);
}

VD_DISPATCHED
void vd_probe_log(size_t count, const float *inputs, float *outputs) {
  for (size_t i = 0; i < count; i++) outputs[i] = vd_log(inputs[i]);
}

VD_DISPATCHED
void vd_probe_log1p(size_t count, const float *inputs, float *outputs) {
  for (size_t i = 0; i < count; i++) outputs[i] = vd_log1p(inputs[i]);
}

VD_DISPATCHED
void vd_probe_tanh(size_t count, const float *inputs, float *outputs) {
  for (size_t i = 0; i < count; i++) outputs[i] = vd_tanh(inputs[i]);
}
