// The functions of CKernels/vector_math.h on arrays, for measuring their error.

#ifndef VD_VECTOR_MATH_PROBE_H
#define VD_VECTOR_MATH_PROBE_H

#include <stddef.h>

void vd_probe_exp(size_t count, const float *inputs, float *outputs);
void vd_probe_log1p_unit(size_t count, const float *inputs, float *outputs);
void vd_probe_log(size_t count, const float *inputs, float *outputs);
void vd_probe_tanh(size_t count, const float *inputs, float *outputs);
void vd_probe_log1p(size_t count, const float *inputs, float *outputs);

#endif
