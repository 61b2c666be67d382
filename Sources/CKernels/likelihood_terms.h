// log p(x|z) of one value, and the derivatives of −log p, as straight-line code.
//
// Each function takes a value x and up to three operands. Formulas stand beside the code; the plain
// versions in double precision that they are tested against are in Tests/TestSupport.

#ifndef VD_LIKELIHOOD_TERMS_H
#define VD_LIKELIHOOD_TERMS_H

#include "CKernels.h"
#include "vector_math.h"

/// log p, and ∂(−log p)/∂ of each operand.
typedef struct {
  float log_p, a, b, c;
} vd_term;

typedef vd_term (*vd_term_function)(float x, float a, float b, float c,
                                    const vd_kernel_scoring *s);

// MARK: Pieces that several families share

VD_INLINE float vd_sigmoid(float x) {
  float e = vd_exp(-fabsf(x)), inverse = 1.0f / (1.0f + e);
  return x >= 0 ? inverse : e * inverse;
}

/// log(1 + eˣ).
VD_INLINE float vd_softplus(float x) {
  return (x > 0 ? x : 0.0f) + vd_log1p_unit(vd_exp(-fabsf(x)));
}

/// For a ≥ 0: log((1 − e⁻ᵃ) / a), and r = 1 / (1 − e⁻ᵃ) − 1 / a − ½, both without cancellation.
typedef struct {
  float log_ratio, r;
} vd_truncation;

VD_INLINE vd_truncation vd_truncate(float a) {
  float s = a * a;
  // Series in a² (Bernoulli numbers), to 2·10⁻⁹ at a = 1.
  float log_series =
      -0.5f * a + s * (1.0f / 24 + s * (-1.0f / 2880 + s * (1.0f / 181440 + s * -1.0334e-7f)));
  float r_series =
      a * (1.0f / 12 +
           s * (-1.0f / 720 + s * (1.0f / 30240 + s * (-1.0f / 1209600 + s * 2.0877e-8f))));
  float rest = 1.0f - vd_exp(-a), safe = a > 1 ? a : 1.0f;
  float safe_rest = a > 1 ? rest : 1.0f;
  return (vd_truncation){
      .log_ratio = a > 1 ? vd_log(safe_rest / safe) : log_series,
      .r = a > 1 ? 1.0f / safe_rest - 1.0f / safe - 0.5f : r_series,
  };
}

/// A spread u = eᵛ + floor: log u, 1 / u and ∂ log u / ∂v.
typedef struct {
  float log, inverse, slope;
} vd_spread;

VD_INLINE vd_spread vd_spread_of(float v, float floor) {
  float e = vd_exp(v), inverse = 1.0f / (e + floor);
  return (vd_spread){
      .log = floor > 0 ? vd_log(e + floor) : v,
      .inverse = floor > 0 ? inverse : vd_exp(-v),
      .slope = floor > 0 ? e * inverse : 1.0f,
  };
}

/// A location: a, or sigmoid(a) where asked for.
typedef struct {
  float value, slope;
} vd_location;

VD_INLINE vd_location vd_location_of(float a, const vd_kernel_scoring *s) {
  float m = vd_sigmoid(a);
  int through = s->sigmoid_location;
  return (vd_location){.value = through ? m : a, .slope = through ? m * (1.0f - m) : 1.0f};
}

// MARK: Values in [0, 1]

/// a: logit l. log p = x l − log(1 + eˡ).
VD_INLINE vd_term vd_bernoulli(float x, float a, float b, float c, const vd_kernel_scoring *s) {
  (void)b, (void)c, (void)s;
  float e = vd_exp(-fabsf(a));
  float inverse = 1.0f / (1.0f + e);
  float mean = a >= 0 ? inverse : e * inverse;
  return (vd_term){.log_p = x * a - (a > 0 ? a : 0.0f) - vd_log1p_unit(e), .a = mean - x};
}

/// a: logit l. p(x) = l eˡˣ / (eˡ − 1), whose mean is 1 / (1 − e⁻ˡ) − 1 / l.
/// Loaiza-Ganem & Cunningham 2019, equation 8, in the logit.
VD_INLINE vd_term vd_continuous_bernoulli(float x, float a, float b, float c,
                                          const vd_kernel_scoring *s) {
  (void)b, (void)c, (void)s;
  vd_truncation t = vd_truncate(fabsf(a));
  float mean = a >= 0 ? 0.5f + t.r : 0.5f - t.r;
  return (vd_term){.log_p = x * a - (a > 0 ? a : 0.0f) - t.log_ratio, .a = mean - x};
}

// MARK: Location and scale

/// a: mean, b: log variance v. log p = −½ (log 2π + log u + d² / u), u = eᵛ + floor².
VD_INLINE vd_term vd_gaussian(float x, float a, float b, float c, const vd_kernel_scoring *s) {
  (void)c;
  vd_location m = vd_location_of(a, s);
  vd_spread u = vd_spread_of(b, s->floor * s->floor);
  float d = x - m.value, g = d * u.inverse;
  return (vd_term){
      .log_p = -0.5f * (1.83787707f + u.log + d * g),
      .a = -g * m.slope,
      .b = 0.5f * (1.0f - d * g) * u.slope,
  };
}

/// a: median, b: log scale. log p = −log 2u − |d| / u, u = eᵇ + floor.
VD_INLINE vd_term vd_laplace(float x, float a, float b, float c, const vd_kernel_scoring *s) {
  (void)c;
  vd_location m = vd_location_of(a, s);
  vd_spread u = vd_spread_of(b, s->floor);
  float d = x - m.value, size = fabsf(d) * u.inverse;
  float sign = d > 0 ? 1.0f : d < 0 ? -1.0f : 0.0f;
  return (vd_term){
      .log_p = -0.693147181f - u.log - size,
      .a = -sign * u.inverse * m.slope,
      .b = (1.0f - size) * u.slope,
  };
}

/// a: location, b: log scale. A logistic of scale u = eᵇ + floor in bins of 1/255, the first and the
/// last open: with h = (d + ½/255) / u, l = (d − ½/255) / u,
/// P = σ(h) − σ(l), log P = log(1 − e^(l − h)) − softplus(−h) − softplus(l); at the ends a term less.
/// Salimans, Karpathy, Chen & Kingma 2017, section 2.1.
VD_INLINE vd_term vd_discretized_logistic(float x, float a, float b, float c,
                                          const vd_kernel_scoring *s) {
  (void)c;
  vd_location m = vd_location_of(a, s);
  vd_spread u = vd_spread_of(b, s->floor);
  float d = x - m.value, half = 0.5f / 255;
  float high = (d + half) * u.inverse, low = (d - half) * u.inverse;
  float is_above_first = x > half ? 1.0f : 0.0f, is_below_last = x < 1.0f - half ? 1.0f : 0.0f;
  float is_inner = is_above_first * is_below_last;
  float width = u.inverse * (1.0f / 255);
  vd_truncation t = vd_truncate(width);
  float above = is_below_last * vd_sigmoid(-high), below = is_above_first * vd_sigmoid(low);
  // log(1 − e^−w) = log((1 − e^−w) / w) + log w; w / (e^w − 1) = 1 + w (r − ½).
  float log_p = is_inner * (t.log_ratio - u.log - 5.54126355f) -
                is_below_last * vd_softplus(-high) - is_above_first * vd_softplus(low);
  float slope = high * above - low * below + is_inner * (1.0f + width * (t.r - 0.5f));
  return (vd_term){
      .log_p = log_p, .a = (above - below) * u.inverse * m.slope, .b = slope * u.slope};
}

// MARK: Counts. Loader 2000, "Fast and accurate computation of binomial probabilities".

/// log Γ(z + 1) − (z + ½) log z + z − ½ log 2π, for z > 0.
VD_INLINE float vd_stirling_error(float z) {
  float small = z < 8 ? 8.0f : 0.0f, y = z + small, i = 1.0f / y, s = i * i;
  float series = i * (1.0f / 12 + s * (-1.0f / 360 + s * (1.0f / 1260)));
  // Γ(z + 9) = Γ(z + 1) (z + 1) … (z + 8).
  float w = z < 8 ? z : 1.0f, product = 1;
  for (int k = 1; k <= 8; k++) product *= w + (float)k;
  float shift = (w + 0.5f) * vd_log((w + 8.0f) / w) + 8.0f * vd_log(w + 8.0f) - 8.0f -
                vd_log(product);
  return z < 8 ? series + shift : series;
}

/// ψ(z) − log z, for z > 0.
VD_INLINE float vd_digamma_error(float z) {
  float y = z < 8 ? z + 8.0f : z, i = 1.0f / y, s = i * i;
  float series = -0.5f * i - s * (1.0f / 12 - s * (1.0f / 120 - s * (1.0f / 252)));
  // ψ(z + 8) = ψ(z) + Σ_{k<8} 1 / (z + k), the sum as one fraction.
  float w = z < 8 ? z : 1.0f, numerator = 1, denominator = w;
  for (int k = 1; k < 8; k++) {
    numerator = numerator * (w + (float)k) + denominator;
    denominator *= w + (float)k;
  }
  float shift = vd_log((w + 8.0f) / w) - numerator / denominator;
  return z < 8 ? series + shift : series;
}

/// x log(x / m) + m − x for positive x and m, with log m given.
VD_INLINE float vd_deviance(float x, float m, float log_m) {
  float t = (x - m) / m, v = t / (2.0f + t), s = v * v;
  // (1 + t) log(1 + t) − t through log(1 + t) = 2 atanh v.
  float tail = v * s * (1.0f / 3 + s * (0.2f + s * (1.0f / 7 + s * (1.0f / 9))));
  float near = 2.0f * m * (s + (1.0f + v) * tail) / (1.0f - v);
  float far = x * (vd_log(x) - log_m) - (x - m);
  return fabsf(t) < 0.3f ? near : far;
}

/// log x! for x in 0 … 7.
VD_INLINE float vd_log_small_factorial(float x) {
  float product = 1;
  for (int k = 2; k < 8; k++) product *= x >= (float)k ? (float)k : 1.0f;
  return vd_log(product);
}

/// a: log rate. log p = x a − eᵃ − log x!.
VD_INLINE vd_term vd_poisson(float x, float a, float b, float c, const vd_kernel_scoring *s) {
  (void)b, (void)c, (void)s;
  float rate = vd_exp(a), large = x < 8 ? 8.0f : x;
  float few = x * a - rate - vd_log_small_factorial(x);
  float many = -vd_stirling_error(large) - vd_deviance(large, rate, a) -
               0.5f * (1.83787707f + vd_log(large));
  return (vd_term){.log_p = x < 8 ? few : many, .a = rate - x};
}

/// a: log mean, b: log dispersion log θ; the variance is μ + μ² / θ.
/// p = Γ(x + θ) / (Γ(θ) x!) (θ / (θ + μ))^θ (μ / (θ + μ))ˣ.
VD_INLINE vd_term vd_negative_binomial(float x, float a, float b, float c,
                                       const vd_kernel_scoring *s) {
  (void)c, (void)s;
  float limited = b < -15 ? -15.0f : b > 15 ? 15.0f : b;
  float mean = vd_exp(a), theta = vd_exp(limited);
  float all = theta + mean, none = -theta * vd_log1p(mean / theta);
  // Fewer than 8: Γ(x + θ) / Γ(θ) = θ (θ + 1) … (θ + x − 1).
  float product = 1;
  for (int k = 0; k < 7; k++) {
    float factor = (theta + (float)k) / ((theta + 8.0f) * (float)(k + 1));
    product *= x > (float)k ? factor : 1.0f;
  }
  float few = vd_log(product) + x * (vd_log((theta + 8.0f) / all) + a) + none;
  // More: θ / (θ + x) times a binomial of x + θ trials.
  float large = x < 8 ? 8.0f : x, n = large + theta;
  float log_n = vd_log(n / all);
  float many = vd_log(theta / n) + vd_stirling_error(n) - vd_stirling_error(large) -
               vd_stirling_error(theta) - vd_deviance(large, n / all * mean, log_n + a) -
               vd_deviance(theta, n / all * theta, log_n + limited) +
               0.5f * (vd_log(n / (large * theta)) - 1.83787707f);
  float change = vd_digamma_error(x + theta) - vd_digamma_error(theta) +
                 (vd_log1p(x / theta) - vd_log1p(mean / theta)) + (mean - x) / all;
  // Beyond the limits only the way back is open.
  float slope = -theta * change;
  int outwards = (b > limited && slope < 0) || (b < limited && slope > 0);
  return (vd_term){
      .log_p = x < 8 ? few : many,
      .a = (mean - x) * (theta / all),
      .b = outwards ? 0.0f : slope,
  };
}

/// As the negative binomial, but 0 with probability sigmoid(c) whatever the rest says.
/// Lopez, Regier, Cole, Jordan & Yosef 2018 (scVI).
VD_INLINE vd_term vd_zero_inflated_negative_binomial(float x, float a, float b, float c,
                                                     const vd_kernel_scoring *s) {
  vd_term count = vd_negative_binomial(x, a, b, 0, s);
  float inflation = vd_sigmoid(c), other = vd_softplus(c);
  // log(eᶜ + p(0)) − log(1 + eᶜ); `share` is the part of zeros that come from the inflation.
  float share = vd_sigmoid(c - count.log_p);
  float zero = count.log_p + vd_softplus(c - count.log_p) - other;
  int is_zero = x == 0;
  float rest = is_zero ? 1.0f - share : 1.0f;
  return (vd_term){
      .log_p = is_zero ? zero : count.log_p - other,
      .a = rest * count.a,
      .b = rest * count.b,
      .c = inflation - (is_zero ? share : 0.0f),
  };
}

#endif
