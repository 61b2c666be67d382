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

VD_DISPATCHED
void vd_kernel_add_divergences(size_t rows, size_t latents, const float *posterior,
                               double *restrict sums) {
  for (size_t b = 0; b < rows; b++) {
    const float *mean = posterior + b * 2 * latents;
    const float *log_variance = mean + latents;
    for (size_t j = 0; j < latents; j++) {
      float rest = (vd_exp(log_variance[j]) - 1.0f) - log_variance[j];
      sums[j] += 0.5 * (double)(mean[j] * mean[j] + rest);
    }
  }
}

// z = m + e^(v/2) ε and KL = ½ Σ w (m² + e^v − 1 − v), so with g = ∂/∂z:
// ∂/∂m = Σ_l g + w m;  ∂/∂v = ½ e^(v/2) Σ_l g ε + ½ w (e^v − 1).
VD_DISPATCHED
void vd_kernel_reparameterize_backward(size_t rows, size_t latents, size_t draws,
                                       const float *posterior, const float *noise,
                                       const float *latent_gradient, const float *weights,
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
      mean_gradient[j] += weights[j] * mean[j];
      variance_gradient[j] =
          0.5f * (deviation * variance_gradient[j] + weights[j] * (deviation * deviation - 1.0f));
    }
  }
}

// −log w = −log p(x|z) − log p(z) + log q(z|x), of which `latent_gradient` brings c g, g = ∂/∂z of the
// first part, and s is that of the second. Along the path z(m, v), with σ = e^(v/2):
//   whole:  ∂/∂m = Σ c (g + s),               ∂/∂v = ½ σ Σ c (g + s) ε − ½ Σ c
//   path alone, log q's own parameters held:  h = g + β (s − ε / σ);
//           ∂/∂m = Σ c h,                     ∂/∂v = ½ σ Σ c h ε
// and with c² in place of c for the doubly reparameterized one.
VD_DISPATCHED
void vd_kernel_draw_gradient(size_t rows, size_t latents, size_t draws,
                             enum vd_kernel_estimator estimator, float beta,
                             const float *posterior, const float *noise,
                             const float *prior_scores, const float *latent_gradient,
                             const float *weights, float *restrict posterior_gradient) {
  float is_path = estimator == VD_KERNEL_WHOLE ? 0.0f : beta;
  for (size_t b = 0; b < rows; b++) {
    const float *log_variance = posterior + b * 2 * latents + latents;
    float *mean_gradient = posterior_gradient + b * 2 * latents;
    float *variance_gradient = mean_gradient + latents;
    float total = 0;
    for (size_t j = 0; j < latents; j++) {
      mean_gradient[j] = 0;
      variance_gradient[j] = 0;
    }
    for (size_t l = b * draws; l < (b + 1) * draws; l++) {
      const float *g = latent_gradient + l * latents;
      const float *s = prior_scores + l * latents;
      const float *eps = noise + l * latents;
      float c = weights[l], again = estimator == VD_KERNEL_DOUBLY ? c : 1.0f;
      total += c;
      for (size_t j = 0; j < latents; j++) {
        float held = is_path * eps[j] * vd_exp(-0.5f * log_variance[j]);
        float h = again * (g[j] + c * (beta * s[j] - held));
        mean_gradient[j] += h;
        variance_gradient[j] += h * eps[j];
      }
    }
    float direct = estimator == VD_KERNEL_WHOLE ? beta * total : 0.0f;
    for (size_t j = 0; j < latents; j++)
      variance_gradient[j] =
          0.5f * (vd_exp(0.5f * log_variance[j]) * variance_gradient[j] - direct);
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
