#include "CKernels.h"
#include "likelihood_terms.h"
#include "vector_math.h"

// A row's terms are added in several lanes at once, in float, in pieces of at most 4,096 terms
// whose sums are added in double.
static const size_t piece = 4096;

// Where the second operand of a family comes from.
enum second { NO_SECOND, FROM_HEAD, FREE };

typedef struct {
  const float *x;
  float *a, *b, *c; // heads of this row, or null
  const float *free;
  float *free_gradient;
} row_operands;

VD_INLINE float score_piece(size_t count, row_operands o, const vd_kernel_scoring *s, float scale,
                            vd_term_function term, enum second second, int has_third,
                            int wants_gradient) {
#pragma clang fp reassociate(on)
  float sum = 0;
  const float *restrict x = o.x;
  float *restrict a = o.a, *restrict b = o.b, *restrict c = o.c;
  const float *restrict free = o.free;
  float *restrict free_gradient = o.free_gradient;
#pragma clang loop vectorize(assume_safety)
  for (size_t j = 0; j < count; j++) {
    vd_term t = term(x[j], a[j], second == FROM_HEAD ? b[j] : second == FREE ? free[j] : 0.0f,
                     has_third ? c[j] : 0.0f, s);
    sum += t.log_p;
    if (!wants_gradient) continue;
    a[j] = scale * t.a;
    if (second == FROM_HEAD) b[j] = scale * t.b;
    if (second == FREE) free_gradient[j] += scale * t.b;
    if (has_third) c[j] = scale * t.c;
  }
  return sum;
}

// In 16 lanes: the compiler does not divide a search for the largest by itself.
VD_INLINE float largest_of(size_t count, const float *restrict values) {
  float lanes[16];
  for (int k = 0; k < 16; k++) lanes[k] = values[0];
  size_t j = 0;
  for (; j + 16 <= count; j += 16)
    for (int k = 0; k < 16; k++)
      lanes[k] = values[j + (size_t)k] > lanes[k] ? values[j + (size_t)k] : lanes[k];
  for (; j < count; j++) lanes[0] = values[j] > lanes[0] ? values[j] : lanes[0];
  for (int k = 1; k < 16; k++) lanes[0] = lanes[k] > lanes[0] ? lanes[k] : lanes[0];
  return lanes[0];
}

// o becomes log(size · softmax(o)), and `shares` softmax(o); the size is the sum of the counts.
VD_INLINE void to_log_means(size_t columns, const float *restrict x, float *restrict o,
                            float *restrict shares) {
#pragma clang fp reassociate(on)
  float largest = largest_of(columns, o), total = 0, size = 0;
  for (size_t j = 0; j < columns; j++) size += x[j];
  for (size_t j = 0; j < columns; j++) {
    shares[j] = vd_exp(o[j] - largest);
    total += shares[j];
  }
  // An example without counts: any size will do, since its terms must only be finite.
  float shift = vd_log(size > 0 ? size : 1e-6f) - vd_log(total) - largest, inverse = 1.0f / total;
  for (size_t j = 0; j < columns; j++) {
    o[j] += shift;
    shares[j] *= inverse;
  }
}

// From the gradient of log means to that of what the softmax was taken of.
VD_INLINE void from_log_means(size_t columns, const float *restrict shares, float *restrict g) {
#pragma clang fp reassociate(on)
  float total = 0;
  for (size_t j = 0; j < columns; j++) total += g[j];
  for (size_t j = 0; j < columns; j++) g[j] -= shares[j] * total;
}

VD_INLINE void score_rows(const vd_kernel_scoring *s, vd_term_function term, enum second second,
                          int has_third) {
  size_t columns = s->columns, heads = 1 + (second == FROM_HEAD) + (has_third != 0);
  for (size_t r = 0; r < s->rows; r++) {
    const float *x = s->data + r / s->draws * columns;
    float *heads_of_row = s->outputs + r * heads * columns;
    if (s->shares) to_log_means(columns, x, heads_of_row, s->shares);
    float scale = s->row_scales ? s->scale * s->row_scales[r] : s->scale;
    double sum = 0;
    for (size_t start = 0; start < columns; start += piece) {
      size_t count = columns - start < piece ? columns - start : piece;
      float *a = heads_of_row + start;
      row_operands o = {
          .x = x + start,
          .a = a,
          .b = a + columns,
          .c = a + (heads - 1) * columns,
          .free = s->free + (second == FREE ? start : 0),
          .free_gradient = s->free_gradient + (second == FREE ? start : 0),
      };
      sum += s->wants_gradient ? score_piece(count, o, s, scale, term, second, has_third, 1)
                               : score_piece(count, o, s, scale, term, second, has_third, 0);
    }
    if (s->shares && s->wants_gradient) from_log_means(columns, s->shares, heads_of_row);
    s->log_likelihood[r] = sum;
  }
}

VD_DISPATCHED void vd_kernel_bernoulli(const vd_kernel_scoring *s) {
  score_rows(s, vd_bernoulli, NO_SECOND, 0);
}

VD_DISPATCHED void vd_kernel_continuous_bernoulli(const vd_kernel_scoring *s) {
  score_rows(s, vd_continuous_bernoulli, NO_SECOND, 0);
}

VD_DISPATCHED void vd_kernel_gaussian(const vd_kernel_scoring *s) {
  if (s->free)
    score_rows(s, vd_gaussian, FREE, 0);
  else
    score_rows(s, vd_gaussian, FROM_HEAD, 0);
}

VD_DISPATCHED void vd_kernel_laplace(const vd_kernel_scoring *s) {
  if (s->free)
    score_rows(s, vd_laplace, FREE, 0);
  else
    score_rows(s, vd_laplace, FROM_HEAD, 0);
}

VD_DISPATCHED void vd_kernel_discretized_logistic(const vd_kernel_scoring *s) {
  if (s->free)
    score_rows(s, vd_discretized_logistic, FREE, 0);
  else
    score_rows(s, vd_discretized_logistic, FROM_HEAD, 0);
}

VD_DISPATCHED void vd_kernel_poisson(const vd_kernel_scoring *s) {
  score_rows(s, vd_poisson, NO_SECOND, 0);
}

VD_DISPATCHED void vd_kernel_negative_binomial(const vd_kernel_scoring *s) {
  score_rows(s, vd_negative_binomial, FREE, 0);
}

VD_DISPATCHED void vd_kernel_zero_inflated_negative_binomial(const vd_kernel_scoring *s) {
  score_rows(s, vd_zero_inflated_negative_binomial, FREE, 1);
}

// y of a number.
VD_INLINE float standardized(const vd_kernel_column *column, float x) {
  float value = column->kind == VD_COLUMN_LOG_NORMAL ? vd_log(x) : x;
  return (value - column->center) * column->inverse_scale;
}

// log p(x) of one value; its outputs become the gradient. The density of x is that of y times dy/dx.
VD_INLINE float score_value(const vd_kernel_scoring *s, const vd_kernel_column *column, float x,
                            float *o, float scale) {
  vd_term t;
  float jacobian = 0;
  switch (column->kind) {
  case VD_COLUMN_BERNOULLI:
    t = vd_bernoulli(x, o[0], 0, 0, s);
    break;
  case VD_COLUMN_POISSON:
    t = vd_poisson(x, o[0], 0, 0, s);
    break;
  default:
    t = vd_gaussian(standardized(column, x), o[0], o[1], 0, s);
    jacobian = column->log_scale + (column->kind == VD_COLUMN_LOG_NORMAL ? vd_log(x) : 0.0f);
    if (s->wants_gradient) o[1] = scale * t.b;
  }
  if (s->wants_gradient) o[0] = scale * t.a;
  return t.log_p - jacobian;
}

VD_INLINE size_t class_of(float x, size_t classes) {
  size_t chosen = x > 0 ? (size_t)x : 0;
  return chosen < classes ? chosen : classes - 1;
}

// log softmax(l)[x].
VD_INLINE float score_class(const vd_kernel_scoring *s, size_t classes, float x, float *restrict l,
                            float scale) {
#pragma clang fp reassociate(on)
  size_t chosen = class_of(x, classes);
  float largest = largest_of(classes, l), total = 0, own = l[chosen];
  for (size_t k = 0; k < classes; k++) total += vd_exp(l[k] - largest);
  if (s->wants_gradient) {
    float factor = scale / total;
    for (size_t k = 0; k < classes; k++) l[k] = vd_exp(l[k] - largest) * factor;
    l[chosen] -= scale;
  }
  return own - largest - vd_log(total);
}

// The logits of each value's classes lie together.
VD_DISPATCHED void vd_kernel_categorical(const vd_kernel_scoring *s, size_t classes) {
  for (size_t r = 0; r < s->rows; r++) {
    const float *x = s->data + r / s->draws * s->columns;
    float scale = s->row_scales ? s->scale * s->row_scales[r] : s->scale;
    double sum = 0;
    for (size_t j = 0; j < s->columns; j++)
      sum += score_class(s, classes, x[j], s->outputs + (r * s->columns + j) * classes, scale);
    s->log_likelihood[r] = sum;
  }
}

VD_DISPATCHED void vd_kernel_table(const vd_kernel_scoring *s, const vd_kernel_column *columns,
                                   size_t outputs_per_row) {
  for (size_t r = 0; r < s->rows; r++) {
    const float *x = s->data + r / s->draws * s->columns;
    float *o = s->outputs + r * outputs_per_row;
    float scale = s->row_scales ? s->scale * s->row_scales[r] : s->scale;
    double sum = 0;
    for (size_t j = 0; j < s->columns; o += columns[j].outputs, j++) {
      if (isnan(x[j])) {
        if (s->wants_gradient)
          for (size_t k = 0; k < columns[j].outputs; k++) o[k] = 0;
      } else if (columns[j].kind == VD_COLUMN_CATEGORICAL) {
        sum += score_class(s, columns[j].outputs, x[j], o, scale);
      } else {
        sum += score_value(s, columns + j, x[j], o, scale);
      }
    }
    s->log_likelihood[r] = sum;
  }
}

VD_DISPATCHED void vd_kernel_table_inputs(size_t rows, size_t columns,
                                          const vd_kernel_column *table, const float *source,
                                          float *destination) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t j = 0; j < columns; j++) {
      float x = source[r * columns + j];
      size_t width = table[j].kind == VD_COLUMN_CATEGORICAL ? table[j].outputs : 1;
      for (size_t k = 0; k < width; k++) destination[k] = 0;
      if (isnan(x)) {
      } else if (table[j].kind == VD_COLUMN_CATEGORICAL) {
        destination[class_of(x, width)] = 1;
      } else if (table[j].kind == VD_COLUMN_POISSON) {
        *destination = vd_log1p(x);
      } else {
        *destination = table[j].kind == VD_COLUMN_BERNOULLI ? x : standardized(table + j, x);
      }
      destination += width;
    }
    for (size_t j = 0; j < columns; j++)
      *destination++ = isnan(source[r * columns + j]) ? 0.0f : 1.0f;
  }
}

VD_DISPATCHED void vd_kernel_log1p(size_t count, const float *restrict source,
                                   float *restrict destination) {
  for (size_t i = 0; i < count; i++) destination[i] = vd_log1p(source[i]);
}
