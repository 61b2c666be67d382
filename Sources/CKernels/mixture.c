#include "CKernels.h"
#include "vector_math.h"

// Components lie side by side, one latent after the other, so that the loops over them have no sums to
// fold. Gaps at the ends of rows have a precision of 0 and a log weight of −∞: they answer for nothing.

// log w_k − ½ Σ_j p_jk (z_j − m_jk)², in place.
VD_INLINE void component_densities(const vd_kernel_mixture *m, const float *restrict z,
                                   float *restrict densities) {
  for (size_t k = 0; k < m->stride; k++) densities[k] = 0;
  for (size_t j = 0; j < m->latents; j++) {
    const float *restrict means = m->means + j * m->stride;
    const float *restrict precisions = m->precisions + j * m->stride;
    float value = z[j];
    for (size_t k = 0; k < m->stride; k++) {
      float d = value - means[k];
      densities[k] += d * d * precisions[k];
    }
  }
  for (size_t k = 0; k < m->stride; k++) densities[k] = m->log_weights[k] - 0.5f * densities[k];
}

VD_DISPATCHED
void vd_kernel_mixture_density(const vd_kernel_mixture *m, size_t rows, const float *z,
                               float *responsibilities, double *log_density) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict shares = responsibilities + r * m->stride;
    component_densities(m, z + r * m->latents, shares);
    float largest = shares[0], total = 0;
    {
#pragma clang fp reassociate(on)
      for (size_t k = 0; k < m->components; k++) largest = shares[k] > largest ? shares[k] : largest;
      for (size_t k = 0; k < m->components; k++) {
        // vd_exp never gives 0, which what is far away must have: its distance may be huge.
        float rest = shares[k] - largest;
        shares[k] = rest > -87.0f ? vd_exp(rest) : 0.0f;
        total += shares[k];
      }
    }
    float inverse = 1.0f / total;
    for (size_t k = 0; k < m->components; k++) shares[k] *= inverse;
    for (size_t k = m->components; k < m->stride; k++) shares[k] = 0;
    log_density[r] = (double)largest + (double)vd_log(total);
  }
}

// With d = (z_j − m_jk) p_jk and the responsibility ρ_k, of −log p(z):
//   ∂/∂z_j = Σ_k ρ_k d,   ∂/∂m_jk = −ρ_k d,   ∂/∂v_jk = ½ ρ_k (1 − d (z_j − m_jk)).
VD_DISPATCHED
void vd_kernel_mixture_scores(const vd_kernel_mixture *m, size_t rows, const float *z,
                              const float *responsibilities, float *restrict scores) {
  for (size_t r = 0; r < rows; r++) {
    const float *restrict shares = responsibilities + r * m->stride;
    for (size_t j = 0; j < m->latents; j++) {
      const float *restrict means = m->means + j * m->stride;
      const float *restrict precisions = m->precisions + j * m->stride;
      float value = z[r * m->latents + j], sum = 0;
      {
#pragma clang fp reassociate(on)
        for (size_t k = 0; k < m->stride; k++) sum += shares[k] * (value - means[k]) * precisions[k];
      }
      scores[r * m->latents + j] = sum;
    }
  }
}

VD_DISPATCHED
void vd_kernel_mixture_gradient(const vd_kernel_mixture *m, size_t rows, const float *z,
                                const float *responsibilities, const float *weights, float scale,
                                float *restrict mean_gradient, float *restrict variance_gradient,
                                float *restrict weight_gradient) {
  for (size_t r = 0; r < rows; r++) {
    const float *restrict shares = responsibilities + r * m->stride;
    float weight = scale * weights[r];
    for (size_t j = 0; j < m->latents; j++) {
      const float *restrict means = m->means + j * m->stride;
      const float *restrict precisions = m->precisions + j * m->stride;
      float *restrict of_mean = mean_gradient + j * m->stride;
      float *restrict of_variance = variance_gradient + j * m->stride;
      float value = z[r * m->latents + j];
      for (size_t k = 0; k < m->stride; k++) {
        float difference = value - means[k], share = weight * shares[k];
        float part = share * difference * precisions[k];
        of_mean[k] -= part;
        of_variance[k] += 0.5f * (share - part * difference);
      }
    }
    for (size_t k = 0; k < m->stride; k++) weight_gradient[k] -= weight * shares[k];
  }
}

VD_DISPATCHED
void vd_kernel_log_posterior(size_t rows, size_t latents, size_t draws, const float *posterior,
                             const float *noise, double *log_density) {
  for (size_t r = 0; r < rows; r++) {
    const float *log_variance = posterior + r / draws * 2 * latents + latents;
    const float *eps = noise + r * latents;
    float sum = 0;
    {
#pragma clang fp reassociate(on)
      for (size_t j = 0; j < latents; j++) sum += eps[j] * eps[j] + log_variance[j];
    }
    log_density[r] = -0.5 * ((double)sum + 1.8378770664093453 * (double)latents);
  }
}
