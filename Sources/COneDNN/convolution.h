// oneDNN's convolution, one plan per shape, the same for oneDNN 2.x and 3.x: forward, and the
// gradients of the source and of the weights.

#ifndef VD_ONEDNN_CONVOLUTION_H
#define VD_ONEDNN_CONVOLUTION_H

#include "shim.h"

/// Which of the three operands is computed from the other two.
enum vd_dnnl_convolution_role {
  VD_DNNL_CONVOLUTION_FORWARD = 0,
  VD_DNNL_CONVOLUTION_SOURCE_GRADIENT,
  VD_DNNL_CONVOLUTION_WEIGHT_GRADIENT
};

/// Source [batch, height, width, channels] and destination [batch, output_height, output_width,
/// output_channels] are dense in this order, weights in the order [output_channels, channels,
/// kernel, kernel].
typedef struct {
  enum vd_dnnl_convolution_role role;
  int64_t batch, channels, height, width;
  int64_t output_channels, output_height, output_width;
  int64_t kernel, stride, padding;
  int operands_are_bfloat16; // the two that are read; what is computed is float
  int has_bias;              // forward only
  enum vd_dnnl_activation activation;
  float slope;
} vd_dnnl_convolution_description;

/// A convolution ready to run. It keeps the weights, or their gradient, in the order that oneDNN
/// computes in, and reorders at each run.
typedef struct {
  enum vd_dnnl_convolution_role role;
  int has_bias;
  dnnl_primitive_t primitive, reorder;
  dnnl_stream_t stream;
  dnnl_memory_t source, weights, destination, bias, scratchpad;
  dnnl_memory_t plain_weights, reorder_scratchpad;
  void *weight_bytes, *scratch, *reorder_scratch;
} vd_dnnl_convolution;

/// Releases a plan; a plan that was only partly made is released too.
static inline void vd_dnnl_convolution_destroy(vd_dnnl_convolution *plan) {
  dnnl_memory_t memories[] = {plan->source,     plan->weights,       plan->destination,
                              plan->bias,       plan->scratchpad,    plan->plain_weights,
                              plan->reorder_scratchpad};
  for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
    if (memories[i]) dnnl_memory_destroy(memories[i]);
  if (plan->primitive) dnnl_primitive_destroy(plan->primitive);
  if (plan->reorder) dnnl_primitive_destroy(plan->reorder);
  if (plan->stream) dnnl_stream_destroy(plan->stream);
  free(plan->weight_bytes);
  free(plan->scratch);
  free(plan->reorder_scratch);
  *plan = (vd_dnnl_convolution){0};
}

// What is to be computed, without a plan yet. `hint` is null, or the forward of a gradient.
static inline dnnl_status_t
vd_dnnl_describe_convolution(dnnl_primitive_desc_t *description, dnnl_engine_t engine,
                             enum vd_dnnl_convolution_role role,
                             const vd_dnnl_convolution_description *what, vd_dnnl_layout *source,
                             vd_dnnl_layout *weights, vd_dnnl_layout *bias,
                             vd_dnnl_layout *destination, dnnl_primitive_attr_t attributes,
                             dnnl_primitive_desc_t hint) {
  dnnl_dims_t strides = {what->stride, what->stride};
  dnnl_dims_t padding = {what->padding, what->padding};
#if DNNL_VERSION_MAJOR >= 3
  dnnl_dims_t dilations = {0, 0};
  switch (role) {
  case VD_DNNL_CONVOLUTION_FORWARD:
    return dnnl_convolution_forward_primitive_desc_create(
        description, engine, dnnl_forward_training, dnnl_convolution_direct, *source, *weights,
        bias ? *bias : NULL, *destination, strides, dilations, padding, padding, attributes);
  case VD_DNNL_CONVOLUTION_SOURCE_GRADIENT:
    return dnnl_convolution_backward_data_primitive_desc_create(
        description, engine, dnnl_convolution_direct, *source, *weights, *destination, strides,
        dilations, padding, padding, hint, attributes);
  default:
    return dnnl_convolution_backward_weights_primitive_desc_create(
        description, engine, dnnl_convolution_direct, *source, *weights, NULL, *destination,
        strides, dilations, padding, padding, hint, attributes);
  }
#else
  dnnl_convolution_desc_t operation;
  dnnl_status_t status;
  switch (role) {
  case VD_DNNL_CONVOLUTION_FORWARD:
    status = dnnl_convolution_forward_desc_init(&operation, dnnl_forward_training,
                                                dnnl_convolution_direct, source, weights, bias,
                                                destination, strides, padding, padding);
    break;
  case VD_DNNL_CONVOLUTION_SOURCE_GRADIENT:
    status = dnnl_convolution_backward_data_desc_init(&operation, dnnl_convolution_direct, source,
                                                      weights, destination, strides, padding,
                                                      padding);
    break;
  default:
    status = dnnl_convolution_backward_weights_desc_init(&operation, dnnl_convolution_direct,
                                                         source, weights, NULL, destination,
                                                         strides, padding, padding);
  }
  return status ? status
                : dnnl_primitive_desc_create(description, &operation, attributes, engine, hint);
#endif
}

/// Makes a plan. Returns oneDNN's own status; on failure nothing is left to release.
static inline dnnl_status_t
vd_dnnl_convolution_create(dnnl_engine_t engine, const vd_dnnl_convolution_description *what,
                           vd_dnnl_convolution *plan) {
  *plan = (vd_dnnl_convolution){.role = what->role, .has_bias = what->has_bias};
  enum vd_dnnl_convolution_role role = what->role;
  int64_t source_extents[] = {what->batch, what->channels, what->height, what->width};
  int64_t weight_extents[] = {what->output_channels, what->channels, what->kernel, what->kernel};
  int64_t destination_extents[] = {what->batch, what->output_channels, what->output_height,
                                   what->output_width};
  int rounded = what->operands_are_bfloat16;
  int forward = role == VD_DNNL_CONVOLUTION_FORWARD;
  int source_gradient = role == VD_DNNL_CONVOLUTION_SOURCE_GRADIENT;
  int weight_gradient = role == VD_DNNL_CONVOLUTION_WEIGHT_GRADIENT;

  vd_dnnl_layout source = {0}, weights = {0}, plain = {0}, bias = {0}, destination = {0};
  vd_dnnl_layout hint_source = {0}, hint_weights = {0}, hint_destination = {0};
  dnnl_primitive_attr_t attributes = NULL, plain_attributes = NULL;
  dnnl_primitive_desc_t description = NULL, hint = NULL, reorder = NULL;
  dnnl_status_t status =
      vd_dnnl_make_tagged(&source, rounded && !source_gradient, 4, source_extents, dnnl_nhwc);
  if (!status)
    status = vd_dnnl_make_tagged(&weights, rounded && !weight_gradient, 4, weight_extents,
                                 dnnl_format_tag_any);
  if (!status) status = vd_dnnl_make_tagged(&plain, 0, 4, weight_extents, dnnl_oihw);
  if (!status) status = vd_dnnl_make_tagged(&bias, 0, 1, &what->output_channels, dnnl_a);
  if (!status)
    status =
        vd_dnnl_make_tagged(&destination, rounded && !forward, 4, destination_extents, dnnl_nhwc);
  if (!status) status = vd_dnnl_make_attributes(&attributes, what->activation, what->slope);
  if (!status) status = vd_dnnl_make_attributes(&plain_attributes, VD_DNNL_IDENTITY, 0);
  if (!status && !forward) {
    status = vd_dnnl_make_tagged(&hint_source, rounded, 4, source_extents, dnnl_nhwc);
    if (!status)
      status =
          vd_dnnl_make_tagged(&hint_weights, rounded, 4, weight_extents, dnnl_format_tag_any);
    if (!status)
      status = vd_dnnl_make_tagged(&hint_destination, 0, 4, destination_extents, dnnl_nhwc);
    if (!status)
      status = vd_dnnl_describe_convolution(&hint, engine, VD_DNNL_CONVOLUTION_FORWARD, what,
                                            &hint_source, &hint_weights, NULL, &hint_destination,
                                            plain_attributes, NULL);
  }
  if (!status)
    status = vd_dnnl_describe_convolution(&description, engine, role, what, &source, &weights,
                                          what->has_bias ? &bias : NULL, &destination, attributes,
                                          hint);
  if (!status) status = dnnl_primitive_create(&plan->primitive, description);
  if (!status) status = dnnl_stream_create(&plan->stream, engine, dnnl_stream_default_flags);
  if (!status) status = dnnl_memory_create(&plan->source, vd_dnnl_borrow(&source), engine, NULL);
  if (!status)
    status = dnnl_memory_create(&plan->destination, vd_dnnl_borrow(&destination), engine, NULL);
  if (!status) status = dnnl_memory_create(&plan->bias, vd_dnnl_borrow(&bias), engine, NULL);
  if (!status)
    status = vd_dnnl_make_memory(&plan->scratchpad, &plan->scratch, engine,
                                 dnnl_primitive_desc_query_md(description,
                                                              dnnl_query_scratchpad_md, 0));
  if (!status) {
    // Weights as oneDNN wants them, and the way there or back.
    vd_dnnl_layout_query own = dnnl_primitive_desc_query_md(
        description, weight_gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    vd_dnnl_layout_query files = vd_dnnl_borrow(&plain);
    status = vd_dnnl_make_memory(&plan->weights, &plan->weight_bytes, engine, own);
    if (!status) status = dnnl_memory_create(&plan->plain_weights, files, engine, NULL);
    if (!status)
      status = dnnl_reorder_primitive_desc_create(&reorder, weight_gradient ? own : files, engine,
                                                  weight_gradient ? files : own, engine,
                                                  plain_attributes);
  }
  if (!status) status = dnnl_primitive_create(&plan->reorder, reorder);
  if (!status)
    status =
        vd_dnnl_make_memory(&plan->reorder_scratchpad, &plan->reorder_scratch, engine,
                            dnnl_primitive_desc_query_md(reorder, dnnl_query_scratchpad_md, 0));
  if (reorder) dnnl_primitive_desc_destroy(reorder);
  if (description) dnnl_primitive_desc_destroy(description);
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (plain_attributes) dnnl_primitive_attr_destroy(plain_attributes);
  vd_dnnl_layout *layouts[] = {&source,      &weights,      &plain,           &bias,
                               &destination, &hint_source,  &hint_weights,    &hint_destination};
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) vd_dnnl_drop_layout(layouts[i]);
  if (status) vd_dnnl_convolution_destroy(plan);
  return status;
}

/// Runs a plan and returns when the operand that it computes is written.
static inline dnnl_status_t vd_dnnl_convolution_run(vd_dnnl_convolution *plan, const void *source,
                                                    const float *weights, const float *bias,
                                                    const void *destination) {
  int source_gradient = plan->role == VD_DNNL_CONVOLUTION_SOURCE_GRADIENT;
  int weight_gradient = plan->role == VD_DNNL_CONVOLUTION_WEIGHT_GRADIENT;
  dnnl_memory_set_data_handle(plan->source, (void *)source);
  dnnl_memory_set_data_handle(plan->destination, (void *)destination);
  dnnl_memory_set_data_handle(plan->plain_weights, (void *)weights);
  if (plan->has_bias) dnnl_memory_set_data_handle(plan->bias, (void *)bias);
  dnnl_exec_arg_t reorder[] = {
      {DNNL_ARG_FROM, weight_gradient ? plan->weights : plan->plain_weights},
      {DNNL_ARG_TO, weight_gradient ? plan->plain_weights : plan->weights},
      {DNNL_ARG_SCRATCHPAD, plan->reorder_scratchpad}};
  dnnl_exec_arg_t arguments[] = {
      {source_gradient ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, plan->source},
      {weight_gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, plan->weights},
      {source_gradient || weight_gradient ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST, plan->destination},
      {DNNL_ARG_SCRATCHPAD, plan->scratchpad},
      {DNNL_ARG_BIAS, plan->bias}};
  dnnl_status_t status = dnnl_success;
  if (!weight_gradient)
    status = dnnl_primitive_execute(plan->reorder, plan->stream, 3, reorder);
  if (!status)
    status =
        dnnl_primitive_execute(plan->primitive, plan->stream, 4 + plan->has_bias, arguments);
  if (!status && weight_gradient)
    status = dnnl_primitive_execute(plan->reorder, plan->stream, 3, reorder);
  return status ? status : dnnl_stream_wait(plan->stream);
}

#endif
