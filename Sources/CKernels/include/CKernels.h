// Fused elementwise loops, each compiled for three instruction sets and chosen at load time.
//
// Why C: clang's target_clones gives run-time dispatch over instruction sets; Swift has nothing
// like it, and Swift's SIMD types scalarise square roots. Nothing here allocates or fails. Matrices
// are row-major, and dense unless a stride is given; buffers do not overlap unless a comment says
// "in place".

#ifndef VD_KERNELS_H
#define VD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// MARK: Processor state

/// Makes the calling thread treat denormal numbers as zero: Adam's moments of dead inputs decay
/// into denormals, on which arithmetic is up to a hundred times slower.
void vd_kernel_flush_denormals(void);

/// Tells the processor that this thread is looking for a change that another one makes.
void vd_kernel_pause(void);

/// Which cores this process may run on, a bit each; returns how many bytes were written, 0 where the
/// system does not tell. (The call is a GNU extension that Swift does not see.)
size_t vd_kernel_allowed_processors(uint8_t *mask, size_t capacity);

// MARK: Activations

enum vd_kernel_activation {
  VD_KERNEL_IDENTITY = 0,
  VD_KERNEL_RELU,
  VD_KERNEL_LEAKY_RELU,
  VD_KERNEL_TANH,
  VD_KERNEL_SIGMOID,
  VD_KERNEL_ELU,
  VD_KERNEL_SOFTPLUS,
  VD_KERNEL_SILU,
  VD_KERNEL_GELU
};

/// outputs[i] = activation(inputs[i]); the two may be the same. `slope` is that of LEAKY_RELU below
/// zero, and the alpha of ELU.
void vd_kernel_activate(enum vd_kernel_activation activation, float slope, size_t count,
                        const float *inputs, float *outputs);

/// gradient[i] *= activation'(·), in place. `values` holds the activation's outputs, except for
/// SILU and GELU, whose derivative needs the inputs.
void vd_kernel_activation_backward(enum vd_kernel_activation activation, float slope, size_t count,
                                   const float *values, float *gradient);

/// sums[j] = Σ_i matrix[i, j], the rows `stride` elements apart.
void vd_kernel_column_sums(size_t rows, size_t columns, size_t stride, const float *matrix,
                           float *sums);

/// values[i, j] += bias[j], in place.
void vd_kernel_add_bias(size_t rows, size_t columns, const float *bias, float *values);

/// factors[i] = 0 where it was below `probability`, else 1 / (1 − probability), in place; outputs[i] =
/// inputs[i] · factors[i].
void vd_kernel_drop_out(size_t count, float probability, float *factors, const float *inputs,
                        float *outputs);

/// values[i] *= factors[i], in place.
void vd_kernel_multiply(size_t count, const float *factors, float *values);

/// apart[row, head, pixel, channel] = together[row, pixel, head, channel].
void vd_kernel_split_heads(size_t rows, size_t pixels, size_t heads, size_t channels,
                           const float *together, float *apart);

/// together[row, pixel, head, channel] = apart[row, head, pixel, channel].
void vd_kernel_join_heads(size_t rows, size_t pixels, size_t heads, size_t channels,
                          const float *apart, float *together);

// MARK: Group normalization

/// What is normalized: each group of neighbouring channels of each row over its pixels.
typedef struct {
  size_t rows, pixels, channels, groups;
  float epsilon; // added to the variance
  /// [channels] each.
  const float *scales, *shifts;
  /// [rows, groups]: of each group, written by the forward.
  float *means, *inverse_deviations;
  /// Room for [4, channels].
  float *scratch;
} vd_kernel_group_normalization;

/// outputs = scale · (inputs − mean) / √(variance + ε) + shift, [rows, pixels, channels].
void vd_kernel_normalize(const vd_kernel_group_normalization *what, const float *inputs,
                         float *outputs);

/// From the gradient of the outputs to that of the inputs, in place, and of scales and shifts.
void vd_kernel_normalize_backward(const vd_kernel_group_normalization *what, const float *inputs,
                                  float *gradient, float *scale_gradient, float *shift_gradient);

// MARK: Likelihoods, one figure a row

/// What a likelihood scores. A row of `outputs` holds the decoder's heads one after the other, each
/// `columns` wide; row r is compared with row r / draws of `data`.
typedef struct {
  size_t rows, columns, draws;
  const float *data;
  /// Where `wants_gradient`, overwritten by scale · ∂(−log p)/∂outputs; where `shares`, overwritten
  /// in any case.
  float *outputs;
  int wants_gradient;
  float scale;
  /// What the gradient of each row is multiplied by besides, [rows]; or null.
  const float *row_scales;
  /// Parameters that are the same for all rows, [columns], and what their gradient is added to: the
  /// spread of GAUSSIAN (log variance), LAPLACE and DISCRETIZED_LOGISTIC (log scale), which is
  /// otherwise the second head, and log θ of the negative binomials. Null where there are none.
  const float *free;
  float *free_gradient;
  /// What is added to a scale (squared, to a variance).
  float floor;
  /// Whether locations pass through a sigmoid first.
  int sigmoid_location;
  /// Not null for counts whose means are the row's total times a softmax; room for [columns].
  float *shares;
  /// [rows], nats.
  double *log_likelihood;
} vd_kernel_scoring;

/// Heads: logits.
void vd_kernel_bernoulli(const vd_kernel_scoring *scoring);
void vd_kernel_continuous_bernoulli(const vd_kernel_scoring *scoring);
/// Heads: locations and, without `free`, spreads.
void vd_kernel_gaussian(const vd_kernel_scoring *scoring);
void vd_kernel_laplace(const vd_kernel_scoring *scoring);
/// Of values k / 255.
void vd_kernel_discretized_logistic(const vd_kernel_scoring *scoring);
/// Heads: log means (or what their softmax is taken of) and, zero-inflated, logits of the inflation.
void vd_kernel_poisson(const vd_kernel_scoring *scoring);
void vd_kernel_negative_binomial(const vd_kernel_scoring *scoring);
void vd_kernel_zero_inflated_negative_binomial(const vd_kernel_scoring *scoring);
/// Each value is the number of a class; `outputs` holds `classes` logits for each value in turn.
void vd_kernel_categorical(const vd_kernel_scoring *scoring, size_t classes);

/// What a column of a table holds.
enum vd_kernel_column_kind {
  VD_COLUMN_GAUSSIAN,
  VD_COLUMN_LOG_NORMAL,
  VD_COLUMN_BERNOULLI,
  VD_COLUMN_POISSON,
  VD_COLUMN_CATEGORICAL
};

/// A column: of numbers x, y = (x − center) / scale is what the model sees, or y of log x.
typedef struct {
  enum vd_kernel_column_kind kind;
  /// Outputs of the decoder: 2 of y (mean, log variance), 1 of a logit or a log rate, or a logit for
  /// each class.
  size_t outputs;
  float center, inverse_scale, log_scale;
} vd_kernel_column;

/// Each value by the distribution of its own column, whose outputs lie together; NaN is passed over.
/// `outputs_per_row` is the sum of the columns' outputs.
void vd_kernel_table(const vd_kernel_scoring *scoring, const vd_kernel_column *columns,
                     size_t outputs_per_row);

/// What an encoder reads of a table: y, a truth value, log(1 + count), or 1 at the class; then, for
/// each column, whether there is a value. Without one, all of the column's numbers are 0.
void vd_kernel_table_inputs(size_t rows, size_t columns, const vd_kernel_column *table,
                            const float *source, float *destination);

/// destination[i] = log(1 + source[i]).
void vd_kernel_log1p(size_t count, const float *source, float *destination);

// MARK: Diagonal Gaussian posterior. A row of `posterior` holds the means, then the log variances.

/// latents[b·draws + l, j] = mean + exp(½ log variance) · noise[b·draws + l, j], and the
/// closed-form KL(q ‖ N(0, I)) of each row: ½ Σ_j (mean² + variance − 1 − log variance).
void vd_kernel_reparameterize(size_t rows, size_t latents, size_t draws, const float *posterior,
                              const float *noise, float *latent_values, double *kl_divergence);

/// Gradient of reconstruction plus KL with respect to the posterior's parameters, from the gradient
/// with respect to the latents (already scaled by 1 / draws). The KL divergence of latent j counts
/// `weights[j]` times.
void vd_kernel_reparameterize_backward(size_t rows, size_t latents, size_t draws,
                                       const float *posterior, const float *noise,
                                       const float *latent_gradient, const float *weights,
                                       float *posterior_gradient);

/// sums[j] += KL(q ‖ N(0, I)) of latent j, over all rows.
void vd_kernel_add_divergences(size_t rows, size_t latents, const float *posterior, double *sums);

/// What the gradient of a draw's log weight, log p(x|z) + log p(z) − log q(z|x), takes along: all of
/// it, what comes through z alone, or that once more times the draw's weight.
enum vd_kernel_estimator { VD_KERNEL_WHOLE, VD_KERNEL_PATH, VD_KERNEL_DOUBLY };

/// Gradient of −Σ weight · log w with respect to the posterior's parameters, the weights held.
/// `latent_gradient` is that of −log p(x|z), times each draw's weight; `beta` multiplies
/// log p(z) − log q(z|x). `prior_scores` is −∂ log p(z) / ∂z, which for N(0, I) is z itself.
void vd_kernel_draw_gradient(size_t rows, size_t latents, size_t draws,
                             enum vd_kernel_estimator estimator, float beta,
                             const float *posterior, const float *noise,
                             const float *prior_scores, const float *latent_gradient,
                             const float *weights, float *posterior_gradient);

/// log N(z; 0, I) − log N(z; mean, variance) for each of `rows` rows of latents, from the noise
/// that made it: Σ_j ½ (noise² + log variance − z²). Row r belongs to row r / draws of `posterior`.
void vd_kernel_log_prior_ratio(size_t rows, size_t latents, size_t draws, const float *posterior,
                               const float *noise, const float *latent_values, double *log_ratio);

/// log N(z; mean, variance) of each row's own posterior, from the noise that made z.
void vd_kernel_log_posterior(size_t rows, size_t latents, size_t draws, const float *posterior,
                             const float *noise, double *log_density);

// MARK: Mixtures of diagonal Gaussians

/// `components` of them, at the beginning of rows of `stride`: [latents, stride] means and inverse
/// variances, and [stride] logarithms of each one's weight times its density at its mean. Where
/// there is no component: precision 0 and log weight −infinity.
typedef struct {
  size_t latents, components, stride;
  const float *means, *precisions, *log_weights;
} vd_kernel_mixture;

/// log p(z) of each of `rows` rows of latents, and what part of p(z) is each component's,
/// [rows, stride].
void vd_kernel_mixture_density(const vd_kernel_mixture *mixture, size_t rows, const float *latents,
                               float *responsibilities, double *log_density);

/// −∂ log p(z) / ∂z, [rows, latents].
void vd_kernel_mixture_scores(const vd_kernel_mixture *mixture, size_t rows, const float *latents,
                              const float *responsibilities, float *scores);

/// Adds scale · Σ weight ∂(−log p(z)) with respect to means, log variances and log weights.
void vd_kernel_mixture_gradient(const vd_kernel_mixture *mixture, size_t rows, const float *latents,
                                const float *responsibilities, const float *weights, float scale,
                                float *mean_gradient, float *variance_gradient,
                                float *weight_gradient);

// MARK: Fixed point. `factor` and `inverse` are powers of two.

/// sums[i] (+)= round(values[i] · factor). Returns the largest |values[i]|, NaN if there is one; the
/// sums are of no use unless all fit.
float vd_kernel_to_fixed_point(size_t count, const float *values, float factor, int adds,
                               int64_t *sums);

/// sums[i] += values[i].
void vd_kernel_add_fixed_point(size_t count, const int64_t *values, int64_t *sums);

/// values[i] = sums[i] · inverse, rounded once.
void vd_kernel_from_fixed_point(size_t count, const int64_t *sums, float inverse, float *values);

// MARK: Optimizers. The gradient is first multiplied by `gradient_scale`. Each returns whether all
// updated parameters are finite.

/// Adam (Kingma & Ba 2015, algorithm 1) with bias corrections 1 − βᵗ; weight decay is added to the
/// gradient, or, where `decoupled`, taken off the parameters (Loshchilov & Hutter 2019).
int vd_kernel_adam(size_t count, float *parameters, const float *gradient, float *first_moment,
                    float *second_moment, float gradient_scale, float learning_rate, float beta1,
                    float beta2, float epsilon, float first_correction, float second_correction,
                    float weight_decay, int decoupled);

/// Adagrad (Duchi, Hazan & Singer 2011): sum += g²; p −= learning_rate · g / (√sum + ε).
int vd_kernel_adagrad(size_t count, float *parameters, const float *gradient, float *squared_sum,
                       float gradient_scale, float learning_rate, float epsilon,
                       float weight_decay);

/// Stochastic gradient descent with momentum: velocity = momentum · velocity + g; p −= rate ·
/// velocity.
int vd_kernel_sgd(size_t count, float *parameters, const float *gradient, float *velocity,
                   float gradient_scale, float learning_rate, float momentum, float weight_decay);

/// Σ values², in double precision.
double vd_kernel_sum_of_squares(size_t count, const float *values);

/// destination[i] += source[i].
void vd_kernel_add(size_t count, const float *source, float *destination);

/// sum[i] = first[i] + second[i].
void vd_kernel_sum(size_t count, const float *first, const float *second, float *sum);

/// A number that differs where one element does, and almost certainly where several do.
uint64_t vd_kernel_digest(size_t count, const float *values);

// MARK: Data

/// destination[i] = scale · source[i].
void vd_kernel_convert_bytes(size_t count, const uint8_t *source, float scale, float *destination);

/// Rows of bytes, strewn over the source, one under the other: destination[i, j] =
/// scale · source[rows[i] · columns + j].
void vd_kernel_gather_bytes(size_t row_count, size_t columns, const uint32_t *rows,
                            const uint8_t *source, float scale, float *destination);
void vd_kernel_scale(size_t count, const float *source, float scale, float *destination);

/// values[i] = uniforms[i] < values[i] ? 1 : 0, in place: a draw from Bernoulli(values[i]).
void vd_kernel_binarize(size_t count, const float *uniforms, float *values);

/// To the nearest bfloat16 (the upper half of a float), ties to even; NaN stays NaN. And back.
void vd_kernel_round_to_bfloat16(size_t count, const float *source, uint16_t *destination);
void vd_kernel_widen_bfloat16(size_t count, const uint16_t *source, float *destination);

// MARK: Random numbers

/// What a stream of random numbers is keyed by, besides example and draw.
typedef struct {
  uint64_t seed;
  uint32_t purpose; // 8 bits
  uint32_t time;    // the epoch, or another count that the purpose defines
} vd_kernel_random_key;

/// Philox4x32-10 (Salmon et al. 2011). Row (e, l) of the output, `columns` wide, depends on the
/// key, on examples[e] and on draw first_draw + l (24 bits), on nothing else. Raw words of one
/// counter:
void vd_kernel_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);

/// The words of `block_count` counters (first_block + i, example 0, time, purpose), four each.
void vd_kernel_words(const vd_kernel_random_key *key, uint64_t first_block, size_t block_count,
                     uint32_t *words);

/// Uniform on [0, 1): multiples of 2⁻²⁴. [example_count · draws, columns].
void vd_kernel_uniform(const vd_kernel_random_key *key, const uint32_t *examples,
                       size_t example_count, uint32_t first_draw, size_t draws, size_t columns,
                       float *values);

/// Standard normal (Box & Muller 1958). [example_count · draws, columns]. The same bits on every
/// processor: no fused multiply-add, and only correctly rounded operations.
void vd_kernel_normal(const vd_kernel_random_key *key, const uint32_t *examples,
                      size_t example_count, uint32_t first_draw, size_t draws, size_t columns,
                      float *values);

#endif
