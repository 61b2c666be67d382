#include "shared.h"

#include <string.h>
#include <time.h>

MPI_Comm vd_mpi_node = MPI_COMM_NULL, vd_mpi_messages = MPI_COMM_NULL;

int vd_mpi_initialize(vd_mpi_place *place) {
  int provided = 0;
  int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS) return code;
  code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(MPI_COMM_WORLD, &place->rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(MPI_COMM_WORLD, &place->world_size);
  if (code == MPI_SUCCESS)
    code =
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &vd_mpi_node);
  if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(vd_mpi_node, MPI_ERRORS_RETURN);
  if (code == MPI_SUCCESS) code = MPI_Comm_dup(MPI_COMM_WORLD, &vd_mpi_messages);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(vd_mpi_node, &place->node_rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(vd_mpi_node, &place->node_size);
  place->node_leader = place->rank;
  if (code == MPI_SUCCESS) code = MPI_Bcast(&place->node_leader, 1, MPI_INT, 0, vd_mpi_node);
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

void vd_mpi_library_version(char *text, size_t capacity) {
  char whole[MPI_MAX_LIBRARY_VERSION_STRING + 1] = {0};
  int length = 0;
  if (MPI_Get_library_version(whole, &length) != MPI_SUCCESS) strcpy(whole, "unknown");
  // Open MPI goes on with who built it, and where.
  whole[strcspn(whole, ",\n")] = 0;
  strncpy(text, whole, capacity - 1);
  text[capacity - 1] = 0;
}

MPI_Datatype vd_mpi_datatype(enum vd_mpi_type type) {
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

size_t vd_mpi_byte_width(enum vd_mpi_type type) {
  return type == VD_MPI_BFLOAT16 ? 2 : type == VD_MPI_FLOAT ? 4 : 8;
}

int vd_mpi_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                      enum vd_mpi_operation operation) {
  MPI_Op op = operation == VD_MPI_SUM ? MPI_SUM : operation == VD_MPI_MIN ? MPI_MIN : MPI_MAX;
  char *next = values;
  while (count > 0) {
    size_t part = count < VD_MPI_LARGEST_CALL ? count : VD_MPI_LARGEST_CALL;
    int code = MPI_Allreduce(MPI_IN_PLACE, next, (int)part, vd_mpi_datatype(type), op, MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return code;
    next += part * vd_mpi_byte_width(type);
    count -= part;
  }
  return MPI_SUCCESS;
}

int vd_mpi_broadcast(void *bytes, size_t byte_count, int root) {
  char *next = bytes;
  while (byte_count > 0) {
    size_t part = byte_count < VD_MPI_LARGEST_CALL ? byte_count : VD_MPI_LARGEST_CALL;
    int code = MPI_Bcast(next, (int)part, MPI_BYTE, root, MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return code;
    next += part;
    byte_count -= part;
  }
  return MPI_SUCCESS;
}

int vd_mpi_all_gather(const void *block, size_t block_byte_count, void *blocks) {
  if (block_byte_count > VD_MPI_LARGEST_CALL) return MPI_ERR_COUNT;
  return MPI_Allgather(block, (int)block_byte_count, MPI_BYTE, blocks, (int)block_byte_count,
                       MPI_BYTE, MPI_COMM_WORLD);
}

int vd_mpi_barrier(void) { return MPI_Barrier(MPI_COMM_WORLD); }

int vd_mpi_barrier_asleep(void) {
  MPI_Request request;
  int code = MPI_Ibarrier(MPI_COMM_WORLD, &request), is_done = 0;
  while (code == MPI_SUCCESS) {
    code = MPI_Test(&request, &is_done, MPI_STATUS_IGNORE);
    if (is_done) break;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return code;
}
