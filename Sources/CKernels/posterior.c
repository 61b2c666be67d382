#include "CKernels.h"
#include "vector_math.h"

VD_DISPATCHED
void vd_kernel_reparameterize(size_t rows, size_t latents, size_t draws, const float *posterior,
                              const float *noise, float *restrict latent_values,
                              double *kl_divergence) {
  for (size_t b = 0; b < rows; b++) {
    const float *mean = posterior + b * 2 * latents;
    const float *log_variance = mean + latents;
    for (size_t l = 0; l < draws; l++) {
      const float *eps = noise + (b * draws + l) * latents;
      float *z = latent_values + (b * draws + l) * latents;
      for (size_t j = 0; j < latents; j++) z[j] = mean[j] + vd_exp(0.5f * log_variance[j]) * eps[j];
    }
    float sum = 0;
    {
#pragma clang fp reassociate(on)
      for (size_t j = 0; j < latents; j++) {
        float variance = vd_exp(log_variance[j]);
        sum += mean[j] * mean[j] + ((variance - 1.0f) - log_variance[j]);
      }
    }
    kl_divergence[b] = 0.5 * (double)sum;
  }
}

// z = m + e^(v/2) ε and KL = ½ Σ (m² + e^v − 1 − v), so with g = ∂/∂z:
// ∂/∂m = Σ_l g + m;  ∂/∂v = ½ e^(v/2) Σ_l g ε + ½ (e^v − 1).
VD_DISPATCHED
void vd_kernel_reparameterize_backward(size_t rows, size_t latents, size_t draws,
                                       const float *posterior, const float *noise,
                                       const float *latent_gradient,
                                       float *restrict posterior_gradient) {
  for (size_t b = 0; b < rows; b++) {
    const float *mean = posterior + b * 2 * latents;
    const float *log_variance = mean + latents;
    float *mean_gradient = posterior_gradient + b * 2 * latents;
    float *variance_gradient = mean_gradient + latents;
    for (size_t j = 0; j < latents; j++) {
      mean_gradient[j] = 0;
      variance_gradient[j] = 0;
    }
    for (size_t l = 0; l < draws; l++) {
      const float *g = latent_gradient + (b * draws + l) * latents;
      const float *eps = noise + (b * draws + l) * latents;
      for (size_t j = 0; j < latents; j++) {
        mean_gradient[j] += g[j];
        variance_gradient[j] += g[j] * eps[j];
      }
    }
    for (size_t j = 0; j < latents; j++) {
      float deviation = vd_exp(0.5f * log_variance[j]);
      mean_gradient[j] += mean[j];
      variance_gradient[j] =
          0.5f * (deviation * variance_gradient[j] + (deviation * deviation - 1.0f));
    }
  }
}

VD_DISPATCHED
void vd_kernel_log_prior_ratio(size_t rows, size_t latents, size_t draws, const float *posterior,
                               const float *noise, const float *latent_values, double *log_ratio) {
  for (size_t r = 0; r < rows; r++) {
    const float *log_variance = posterior + r / draws * 2 * latents + latents;
    const float *eps = noise + r * latents;
    const float *z = latent_values + r * latents;
    float sum = 0;
    {
#pragma clang fp reassociate(on)
      for (size_t j = 0; j < latents; j++) sum += (eps[j] * eps[j] - z[j] * z[j]) + log_variance[j];
    }
    log_ratio[r] = 0.5 * (double)sum;
  }
}
