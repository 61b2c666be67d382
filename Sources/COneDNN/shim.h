// oneDNN's matrix product and convolution, one plan per shape, the same for oneDNN 2.x and 3.x.
//
// Why a shim: the two major versions describe a primitive in different ways (operation descriptors
// in 2.x, direct creation in 3.x), and some of what is needed are macros that Swift does not
// import.

#ifndef VD_ONEDNN_SHIM_H
#define VD_ONEDNN_SHIM_H

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stddef.h>
#include <stdlib.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

/// What is applied to the product plus bias, in the same pass over the output.
enum vd_dnnl_activation {
  VD_DNNL_IDENTITY = 0,
  VD_DNNL_RELU,
  VD_DNNL_LEAKY_RELU,
  VD_DNNL_TANH,
  VD_DNNL_SIGMOID,
  VD_DNNL_ELU,
  VD_DNNL_SOFTPLUS
};

/// What a product is, apart from its operands: destination = activation(source · weights + bias).
/// All row-major; a transposed operand is stored [n, m].
typedef struct {
  int64_t rows, inner, columns;
  // Elements from one stored row to the next.
  int64_t source_stride, weight_stride, destination_stride;
  int operands_are_bfloat16; // source and weights; all else is float
  int source_is_transposed, weights_are_transposed;
  int has_bias;
  enum vd_dnnl_activation activation;
  float slope; // of LEAKY_RELU for negative inputs; alpha of ELU; 1 for SOFTPLUS
} vd_dnnl_product_description;

/// A product ready to run. Owns its handles and its scratch memory, so that plans of different
/// threads share nothing.
typedef struct {
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  dnnl_memory_t source, weights, bias, destination, scratchpad;
  int has_bias;
  void *scratch;
} vd_dnnl_product;

static inline dnnl_alg_kind_t vd_dnnl_algorithm(enum vd_dnnl_activation activation) {
  switch (activation) {
  case VD_DNNL_TANH:
    return dnnl_eltwise_tanh;
  case VD_DNNL_SIGMOID:
    return dnnl_eltwise_logistic;
  case VD_DNNL_ELU:
    return dnnl_eltwise_elu;
  case VD_DNNL_SOFTPLUS:
    return dnnl_eltwise_soft_relu;
  default:
    return dnnl_eltwise_relu;
  }
}

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t vd_dnnl_layout;
static inline dnnl_status_t vd_dnnl_make_layout(vd_dnnl_layout *layout, int is_bfloat16,
                                                int64_t rows,
                                                int64_t columns, int64_t stride, int transposed) {
  dnnl_dims_t extents = {rows, columns};
  dnnl_dims_t strides = {transposed ? 1 : stride, transposed ? stride : 1};
  return dnnl_memory_desc_create_with_strides(layout, 2, extents, is_bfloat16 ? dnnl_bf16 : dnnl_f32, strides);
}
typedef const_dnnl_memory_desc_t vd_dnnl_layout_query;
static inline const_dnnl_memory_desc_t vd_dnnl_borrow(vd_dnnl_layout *layout) { return *layout; }
static inline void vd_dnnl_drop_layout(vd_dnnl_layout *layout) {
  dnnl_memory_desc_destroy(*layout);
}
static inline dnnl_status_t vd_dnnl_make_tagged(vd_dnnl_layout *layout, int is_bfloat16, int rank,
                                                const int64_t *extents, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(layout, rank, extents,
                                          is_bfloat16 ? dnnl_bf16 : dnnl_f32, tag);
}
static inline size_t vd_dnnl_byte_count(vd_dnnl_layout_query layout) {
  return dnnl_memory_desc_get_size(layout);
}
#else
typedef dnnl_memory_desc_t vd_dnnl_layout;
static inline dnnl_status_t vd_dnnl_make_layout(vd_dnnl_layout *layout, int is_bfloat16,
                                                int64_t rows,
                                                int64_t columns, int64_t stride, int transposed) {
  dnnl_dims_t extents = {rows, columns};
  dnnl_dims_t strides = {transposed ? 1 : stride, transposed ? stride : 1};
  return dnnl_memory_desc_init_by_strides(layout, 2, extents, is_bfloat16 ? dnnl_bf16 : dnnl_f32, strides);
}
typedef const dnnl_memory_desc_t *vd_dnnl_layout_query;
static inline const dnnl_memory_desc_t *vd_dnnl_borrow(vd_dnnl_layout *layout) { return layout; }
static inline void vd_dnnl_drop_layout(vd_dnnl_layout *layout) { (void)layout; }
static inline dnnl_status_t vd_dnnl_make_tagged(vd_dnnl_layout *layout, int is_bfloat16, int rank,
                                                const int64_t *extents, dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(layout, rank, extents, is_bfloat16 ? dnnl_bf16 : dnnl_f32,
                                      tag);
}
static inline size_t vd_dnnl_byte_count(vd_dnnl_layout_query layout) {
  return dnnl_memory_desc_get_size(layout);
}
#endif

/// Attributes of a primitive: scratch memory from us, an activation of the result. To be destroyed
/// by the caller, whatever the status.
static inline dnnl_status_t vd_dnnl_make_attributes(dnnl_primitive_attr_t *attributes,
                                                    enum vd_dnnl_activation activation,
                                                    float slope) {
  dnnl_status_t status = dnnl_primitive_attr_create(attributes);
  if (!status)
    status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
  if (status || activation == VD_DNNL_IDENTITY) return status;
  dnnl_post_ops_t after = NULL;
  status = dnnl_post_ops_create(&after);
  if (status) return status;
#if DNNL_VERSION_MAJOR >= 3
  status = dnnl_post_ops_append_eltwise(after, vd_dnnl_algorithm(activation), slope, 0.0f);
#else
  status = dnnl_post_ops_append_eltwise(after, 1.0f, vd_dnnl_algorithm(activation), slope, 0.0f);
#endif
  if (!status) status = dnnl_primitive_attr_set_post_ops(*attributes, after);
  dnnl_post_ops_destroy(after);
  return status;
}

/// Memory of `bytes`, and a handle to it.
static inline dnnl_status_t vd_dnnl_make_memory(dnnl_memory_t *memory, void **bytes,
                                                dnnl_engine_t engine,
                                                vd_dnnl_layout_query layout) {
  // A description is never absent: one of zero bytes says that none is needed.
  size_t count = layout ? vd_dnnl_byte_count(layout) : 0;
  *bytes = aligned_alloc(64, (count + 127) / 64 * 64);
  if (!*bytes) return dnnl_out_of_memory;
  return dnnl_memory_create(memory, layout, engine, *bytes);
}

/// Releases a plan; a plan that was only partly made is released too.
static inline void vd_dnnl_product_destroy(vd_dnnl_product *product) {
  if (product->source) dnnl_memory_destroy(product->source);
  if (product->weights) dnnl_memory_destroy(product->weights);
  if (product->bias) dnnl_memory_destroy(product->bias);
  if (product->destination) dnnl_memory_destroy(product->destination);
  if (product->scratchpad) dnnl_memory_destroy(product->scratchpad);
  if (product->primitive) dnnl_primitive_destroy(product->primitive);
  if (product->stream) dnnl_stream_destroy(product->stream);
  free(product->scratch);
  *product = (vd_dnnl_product){0};
}

/// Makes a plan. Returns oneDNN's own status; on failure nothing is left to release.
static inline dnnl_status_t vd_dnnl_product_create(dnnl_engine_t engine,
                                                   const vd_dnnl_product_description *what,
                                                   vd_dnnl_product *product) {
  *product = (vd_dnnl_product){0};
  product->has_bias = what->has_bias;
  vd_dnnl_layout source, weights, bias, destination;
  dnnl_status_t status =
      vd_dnnl_make_layout(&source, what->operands_are_bfloat16, what->rows, what->inner, what->source_stride,
                          what->source_is_transposed);
  if (status) return status;
  status = vd_dnnl_make_layout(&weights, what->operands_are_bfloat16, what->inner, what->columns,
                               what->weight_stride, what->weights_are_transposed);
  if (status) return status;
  status = vd_dnnl_make_layout(&bias, 0, 1, what->columns, what->columns, 0);
  if (status) return status;
  status = vd_dnnl_make_layout(&destination, 0, what->rows, what->columns, what->destination_stride,
                               0);
  if (status) return status;

  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t description = NULL;
  status = vd_dnnl_make_attributes(&attributes, what->activation, what->slope);
#if DNNL_VERSION_MAJOR >= 3
  if (!status)
    status =
        dnnl_matmul_primitive_desc_create(&description, engine, source, weights,
                                          what->has_bias ? bias : NULL, destination, attributes);
#else
  dnnl_matmul_desc_t operation;
  if (!status)
    status = dnnl_matmul_desc_init(&operation, &source, &weights, what->has_bias ? &bias : NULL,
                                   &destination);
  if (!status)
    status = dnnl_primitive_desc_create(&description, &operation, attributes, engine, NULL);
#endif
  if (!status) status = dnnl_primitive_create(&product->primitive, description);
  if (!status) status = dnnl_stream_create(&product->stream, engine, dnnl_stream_default_flags);
  if (!status) status = dnnl_memory_create(&product->source, vd_dnnl_borrow(&source), engine, NULL);
  if (!status)
    status = dnnl_memory_create(&product->weights, vd_dnnl_borrow(&weights), engine, NULL);
  if (!status) status = dnnl_memory_create(&product->bias, vd_dnnl_borrow(&bias), engine, NULL);
  if (!status)
    status = dnnl_memory_create(&product->destination, vd_dnnl_borrow(&destination), engine, NULL);
  if (!status)
    status = vd_dnnl_make_memory(&product->scratchpad, &product->scratch, engine,
                                 dnnl_primitive_desc_query_md(description,
                                                              dnnl_query_scratchpad_md, 0));
  if (description) dnnl_primitive_desc_destroy(description);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  vd_dnnl_drop_layout(&source);
  vd_dnnl_drop_layout(&weights);
  vd_dnnl_drop_layout(&bias);
  vd_dnnl_drop_layout(&destination);
  if (status) vd_dnnl_product_destroy(product);
  return status;
}

/// Runs a plan on these operands and returns when the destination is written.
static inline dnnl_status_t vd_dnnl_product_run(vd_dnnl_product *product, const void *source,
                                                const void *weights, const float *bias,
                                                float *destination) {
  dnnl_memory_set_data_handle(product->source, (void *)source);
  dnnl_memory_set_data_handle(product->weights, (void *)weights);
  dnnl_memory_set_data_handle(product->destination, destination);
  if (product->has_bias) dnnl_memory_set_data_handle(product->bias, (void *)bias);
  dnnl_exec_arg_t arguments[5] = {{DNNL_ARG_SRC, product->source},
                                  {DNNL_ARG_WEIGHTS, product->weights},
                                  {DNNL_ARG_DST, product->destination},
                                  {DNNL_ARG_SCRATCHPAD, product->scratchpad},
                                  {DNNL_ARG_BIAS, product->bias}};
  dnnl_status_t status =
      dnnl_primitive_execute(product->primitive, product->stream, 4 + product->has_bias, arguments);
  return status ? status : dnnl_stream_wait(product->stream);
}

/// Makes oneDNN run on the calling thread alone. We divide work between threads ourselves, by
/// examples. oneDNN asks its OpenMP runtime, whichever that is, so it is looked up by name.
static inline void vd_dnnl_use_calling_thread_only(void) {
  void (*set_thread_count)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  if (set_thread_count) set_thread_count(1);
}

/// Whether oneDNN has instructions for bfloat16 products here, or would imitate them. It heeds
/// ONEDNN_MAX_CPU_ISA.
static inline int vd_dnnl_has_bfloat16(void) {
#if defined(__x86_64__)
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
         dnnl_cpu_isa_avx512_core_bf16;
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP2) >> 14 & 1) != 0; // HWCAP2_BF16
#else
  return 0;
#endif
}

#endif
