// The same bits on every processor: without this, an instruction set with fused multiply-add would
// round differently from one without. It comes before the functions that vector_math.h defines.
#pragma STDC FP_CONTRACT OFF

#include "CKernels.h"
#include "vector_math.h"

enum { lanes = 16 }; // counters that go through the rounds side by side

typedef struct {
  uint32_t word[4][lanes];
} block;

// Ten rounds of Philox4x32 on all lanes. Constants: Salmon, Moraes, Dror & Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011), section 3.
VD_INLINE void philox(block *b, uint32_t key0, uint32_t key1) {
  for (size_t i = 0; i < lanes; i++) {
    uint32_t c0 = b->word[0][i], c1 = b->word[1][i], c2 = b->word[2][i], c3 = b->word[3][i];
    uint32_t k0 = key0, k1 = key1;
#pragma clang loop unroll(full)
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c0;
      uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
      c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
      c1 = (uint32_t)p1;
      c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
      c3 = (uint32_t)p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    b->word[0][i] = c0;
    b->word[1][i] = c1;
    b->word[2][i] = c2;
    b->word[3][i] = c3;
  }
}

void vd_kernel_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
  block b = {0};
  for (int k = 0; k < 4; k++) b.word[k][0] = counter[k];
  philox(&b, key[0], key[1]);
  for (int k = 0; k < 4; k++) words[k] = b.word[k][0];
}

// log u for u in (0, 1], by splitting off the exponent.
VD_INLINE float log_unit(float u) {
  uint32_t bits = vd_to_bits(u);
  int32_t exponent = (int32_t)(bits >> 23) - 127;
  float y = vd_from_bits((bits & 0x007fffffu) | 0x3f800000u) - 1.0f;
  return vd_log1p_unit(y) + (float)exponent * 0.693147181f;
}

// cos 2πt and sin 2πt for t in [0, 1), from the quarter turn nearest to t.
VD_INLINE void turn(float t, float *cosine, float *sine) {
  float quarters = t * 4.0f;
  float nearest = (quarters + 12582912.0f) - 12582912.0f;
  float r = (quarters - nearest) * 1.57079633f; // |r| ≤ π/4
  float s = r * r;
  float sin_r = r + r * s * (-1.6666654611e-1f + s * (8.3321608736e-3f + s * -1.9515295891e-4f));
  float cos_r =
      1.0f - 0.5f * s +
      s * s * (4.166664568298827e-2f + s * (-1.388731625493765e-3f + s * 2.443315711809948e-5f));
  uint32_t quarter = (uint32_t)nearest & 3u;
  float first = quarter & 1u ? sin_r : cos_r;  // |cos| of the whole angle
  float second = quarter & 1u ? cos_r : sin_r; // |sin|
  *cosine = (quarter == 1u || quarter == 2u) ? -first : first;
  *sine = quarter >= 2u ? -second : second;
}

// Words to uniforms: the top 24 bits, so that every value is exact.
VD_INLINE void to_uniform(const block *b, float values[4][lanes]) {
  for (int k = 0; k < 4; k++)
    for (size_t i = 0; i < lanes; i++)
      values[k][i] = (float)(int32_t)(b->word[k][i] >> 8) * 0x1p-24f;
}

// Words 0 and 1 give normals 0 and 1, words 2 and 3 give normals 2 and 3.
VD_INLINE void to_normal(const block *b, float values[4][lanes]) {
  for (int k = 0; k < 4; k += 2)
    for (size_t i = 0; i < lanes; i++) {
      float u = (float)(int32_t)((b->word[k][i] >> 8) + 1u) * 0x1p-24f; // (0, 1]
      float t = (float)(int32_t)(b->word[k + 1][i] >> 8) * 0x1p-24f;    // [0, 1)
      float radius = __builtin_elementwise_sqrt(-2.0f * log_unit(u));
      float cosine, sine;
      turn(t, &cosine, &sine);
      values[k][i] = radius * cosine;
      values[k + 1][i] = radius * sine;
    }
}

// Counter: (block within the row, example, time, purpose and draw). Rows are cut into blocks of
// four columns, and `lanes` blocks at a time, which may lie in several rows, are computed together.
VD_INLINE void fill(const vd_kernel_random_key *key, const uint32_t *examples, size_t example_count,
                    uint32_t first_draw, size_t draws, size_t columns, float *values, int normal) {
  size_t blocks_a_row = (columns + 3) / 4;
  size_t total = example_count * draws * blocks_a_row;
  uint32_t key0 = (uint32_t)key->seed, key1 = (uint32_t)(key->seed >> 32);
  size_t row = 0, position = 0;
  for (size_t start = 0; start < total; start += lanes) {
    size_t count = total - start < lanes ? total - start : lanes;
    size_t rows[lanes], positions[lanes];
    block b = {0};
    for (size_t i = 0; i < count; i++) {
      rows[i] = row;
      positions[i] = position;
      b.word[0][i] = (uint32_t)position;
      b.word[1][i] = examples[row / draws];
      b.word[2][i] = key->time;
      b.word[3][i] = (key->purpose & 0xffu) | (first_draw + (uint32_t)(row % draws)) << 8;
      if (++position == blocks_a_row) {
        position = 0;
        row++;
      }
    }
    philox(&b, key0, key1);
    float drawn[4][lanes];
    if (normal)
      to_normal(&b, drawn);
    else
      to_uniform(&b, drawn);
    for (size_t i = 0; i < count; i++) {
      size_t column = positions[i] * 4;
      float *out = values + rows[i] * columns + column;
      if (column + 4 <= columns) {
        for (int k = 0; k < 4; k++) out[k] = drawn[k][i];
      } else {
        for (size_t k = 0; column + k < columns; k++) out[k] = drawn[k][i];
      }
    }
  }
}

VD_DISPATCHED
void vd_kernel_words(const vd_kernel_random_key *key, uint64_t first_block, size_t block_count,
                     uint32_t *words) {
  for (size_t start = 0; start < block_count; start += lanes) {
    block b = {0};
    for (size_t i = 0; i < lanes; i++) {
      b.word[0][i] = (uint32_t)(first_block + start + i);
      b.word[1][i] = (uint32_t)((first_block + start + i) >> 32);
      b.word[2][i] = key->time;
      b.word[3][i] = key->purpose & 0xffu;
    }
    philox(&b, (uint32_t)key->seed, (uint32_t)(key->seed >> 32));
    for (size_t i = 0; i < lanes && start + i < block_count; i++)
      for (int k = 0; k < 4; k++) words[4 * (start + i) + (size_t)k] = b.word[k][i];
  }
}

VD_DISPATCHED
void vd_kernel_uniform(const vd_kernel_random_key *key, const uint32_t *examples,
                       size_t example_count, uint32_t first_draw, size_t draws, size_t columns,
                       float *values) {
  fill(key, examples, example_count, first_draw, draws, columns, values, 0);
}

VD_DISPATCHED
void vd_kernel_normal(const vd_kernel_random_key *key, const uint32_t *examples,
                      size_t example_count, uint32_t first_draw, size_t draws, size_t columns,
                      float *values) {
  fill(key, examples, example_count, first_draw, draws, columns, values, 1);
}
