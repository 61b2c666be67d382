#include "CCollectives.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

// One call moves at most this many elements: MPI 3's counts are int.
static const size_t largest_call = (size_t)1 << 30;

// The ranks of this node.
static MPI_Comm node = MPI_COMM_NULL;
// Adds bfloat16 numbers, which MPI 3 does not know.
static MPI_Op bfloat16_sum = MPI_OP_NULL;

static float from_bfloat16(uint16_t bits) {
  uint32_t wide = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}

// To the nearest, ties to even; a NaN stays one.
static uint16_t to_bfloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void add_bfloat16(void *in, void *in_out, int *count, MPI_Datatype *type) {
  (void)type;
  const uint16_t *source = in;
  uint16_t *sum = in_out;
  for (int i = 0; i < *count; i++)
    sum[i] = to_bfloat16(from_bfloat16(sum[i]) + from_bfloat16(source[i]));
}

int vd_mpi_initialize(vd_mpi_place *place) {
  int provided = 0;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return code;
  code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(MPI_COMM_WORLD, &place->rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(MPI_COMM_WORLD, &place->world_size);
  if (code == MPI_SUCCESS)
    code =
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(node, &place->node_rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(node, &place->node_size);
  if (code == MPI_SUCCESS) code = MPI_Op_create(add_bfloat16, 1, &bfloat16_sum);
  return code;
}

int vd_mpi_finalize(void) { return MPI_Finalize(); }

void vd_mpi_abort(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

void vd_mpi_error_text(int code, char *text, size_t capacity) {
  char whole[MPI_MAX_ERROR_STRING + 1] = {0};
  int length = 0;
  if (MPI_Error_string(code, whole, &length) != MPI_SUCCESS) strcpy(whole, "unknown MPI error");
  strncpy(text, whole, capacity - 1);
  text[capacity - 1] = 0;
}

static MPI_Datatype datatype(enum vd_mpi_type type) {
  switch (type) {
  case VD_MPI_DOUBLE:
    return MPI_DOUBLE;
  case VD_MPI_INT64:
    return MPI_INT64_T;
  case VD_MPI_BFLOAT16:
    return MPI_UINT16_T;
  default:
    return MPI_FLOAT;
  }
}

static size_t byte_width(enum vd_mpi_type type) {
  return type == VD_MPI_BFLOAT16 ? 2 : type == VD_MPI_FLOAT ? 4 : 8;
}

static MPI_Op operation_of(enum vd_mpi_type type, enum vd_mpi_operation operation) {
  if (type == VD_MPI_BFLOAT16) return bfloat16_sum;
  return operation == VD_MPI_SUM ? MPI_SUM : operation == VD_MPI_MIN ? MPI_MIN : MPI_MAX;
}

int vd_mpi_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                      enum vd_mpi_operation operation) {
  MPI_Op op = operation_of(type, operation);
  char *next = values;
  while (count > 0) {
    size_t part = count < largest_call ? count : largest_call;
    int code = MPI_Allreduce(MPI_IN_PLACE, next, (int)part, datatype(type), op, MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return code;
    next += part * byte_width(type);
    count -= part;
  }
  return MPI_SUCCESS;
}

int vd_mpi_broadcast(void *bytes, size_t byte_count, int root) {
  char *next = bytes;
  while (byte_count > 0) {
    size_t part = byte_count < largest_call ? byte_count : largest_call;
    int code = MPI_Bcast(next, (int)part, MPI_BYTE, root, MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return code;
    next += part;
    byte_count -= part;
  }
  return MPI_SUCCESS;
}

int vd_mpi_all_gather(const void *block, size_t block_byte_count, void *blocks) {
  if (block_byte_count > largest_call) return MPI_ERR_COUNT;
  return MPI_Allgather(block, (int)block_byte_count, MPI_BYTE, blocks, (int)block_byte_count,
                       MPI_BYTE, MPI_COMM_WORLD);
}

int vd_mpi_barrier(void) { return MPI_Barrier(MPI_COMM_WORLD); }

struct vd_mpi_request {
  MPI_Request request;
};

vd_mpi_request *vd_mpi_make_request(void) {
  vd_mpi_request *request = malloc(sizeof *request);
  if (request) request->request = MPI_REQUEST_NULL;
  return request;
}

void vd_mpi_destroy_request(vd_mpi_request *request) { free(request); }

int vd_mpi_start_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                            enum vd_mpi_operation operation, vd_mpi_request *request) {
  if (count > largest_call) return MPI_ERR_COUNT;
  return MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, datatype(type),
                        operation_of(type, operation), MPI_COMM_WORLD, &request->request);
}

int vd_mpi_test(vd_mpi_request *request, int *is_done) {
  return MPI_Test(&request->request, is_done, MPI_STATUS_IGNORE);
}

int vd_mpi_wait(vd_mpi_request *request) {
  return MPI_Wait(&request->request, MPI_STATUS_IGNORE);
}

int vd_mpi_share_memory(size_t byte_count, void **window, void **segments) {
  MPI_Info hints;
  int code = MPI_Info_create(&hints);
  if (code != MPI_SUCCESS) return code;
  // Each segment on pages of its own, near the rank that it belongs to.
  MPI_Info_set(hints, "alloc_shared_noncontig", "true");
  MPI_Win *made = malloc(sizeof *made);
  void *own = NULL;
  code = made ? MPI_Win_allocate_shared((MPI_Aint)byte_count, 1, hints, node, &own, made)
              : MPI_ERR_NO_MEM;
  MPI_Info_free(&hints);
  int size = 0;
  if (code == MPI_SUCCESS) code = MPI_Comm_size(node, &size);
  for (int rank = 0; rank < size && code == MPI_SUCCESS; rank++) {
    MPI_Aint bytes = 0;
    int unit = 0;
    code = MPI_Win_shared_query(*made, rank, &bytes, &unit, &segments[rank]);
  }
  if (code == MPI_SUCCESS) code = MPI_Win_lock_all(MPI_MODE_NOCHECK, *made);
  *window = made;
  return code;
}

int vd_mpi_synchronize(void *window) { return MPI_Win_sync(*(MPI_Win *)window); }
