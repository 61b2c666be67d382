#define _GNU_SOURCE
#include "CCollectives.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

// One call moves at most this many elements: MPI 3's counts are int.
static const size_t largest_call = (size_t)1 << 30;

// The ranks of this node, and all ranks, for the messages of sums.
static MPI_Comm node = MPI_COMM_NULL, messages = MPI_COMM_NULL;

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
  if (code == MPI_SUCCESS) code = MPI_Comm_dup(MPI_COMM_WORLD, &messages);
  if (code == MPI_SUCCESS) code = MPI_Comm_rank(node, &place->node_rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(node, &place->node_size);
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

int vd_mpi_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                      enum vd_mpi_operation operation) {
  MPI_Op op = operation == VD_MPI_SUM ? MPI_SUM : operation == VD_MPI_MIN ? MPI_MIN : MPI_MAX;
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

// Rank r adds up part r. First every rank sends each part to the one that adds it up, then each sends
// its sum to all: 2 (p − 1) / p of the bytes leave and reach every rank, and no all-reduce can do
// with less. MPI_Iallreduce of Open MPI 4.1 in place takes a tree instead, with twice the bytes one
// after the other (measured: 53 ms against 23 ms at 1 Gbit/s).
struct vd_mpi_sum {
  char *values;
  size_t count;
  enum vd_mpi_type type;
  int rank, world_size;
  int number;         // tells its messages from those of other sums
  char *received;     // [world size, own part]
  MPI_Request *moves; // [2 · world size]; null for the messages to and from this rank itself
  enum { IDLE, SCATTERING, GATHERING } phase;
  vd_mpi_sum *next; // in the list of those under way
};

// Sums under way. Whoever asks about one moves all of them on: another rank may be waiting for the
// second half of any.
static vd_mpi_sum *under_way = NULL;

void vd_mpi_destroy_sum(vd_mpi_sum *sum) {
  if (!sum) return;
  for (vd_mpi_sum **link = &under_way; *link; link = &(*link)->next)
    if (*link == sum) {
      *link = sum->next;
      break;
    }
  free(sum->received);
  free(sum->moves);
  free(sum);
}

static size_t part_start(const vd_mpi_sum *sum, int rank) {
  return sum->count * (size_t)rank / (size_t)sum->world_size;
}

static size_t part_count(const vd_mpi_sum *sum, int rank) {
  return part_start(sum, rank + 1) - part_start(sum, rank);
}

vd_mpi_sum *vd_mpi_make_sum(void *values, size_t count, enum vd_mpi_type type) {
  static int made = 0;
  vd_mpi_sum *sum = calloc(1, sizeof *sum);
  if (!sum || count > largest_call) return free(sum), NULL;
  MPI_Comm_rank(messages, &sum->rank);
  MPI_Comm_size(messages, &sum->world_size);
  sum->values = values;
  sum->count = count;
  sum->type = type;
  // MPI promises tags up to 32,767.
  sum->number = made++ % 16000;
  size_t size = (size_t)sum->world_size;
  sum->received = malloc(size * part_count(sum, sum->rank) * byte_width(type) + 1);
  sum->moves = malloc(2 * size * sizeof *sum->moves);
  if (!sum->received || !sum->moves) return vd_mpi_destroy_sum(sum), NULL;
  return sum;
}

static char *part(const vd_mpi_sum *sum, int rank) {
  return sum->values + part_start(sum, rank) * byte_width(sum->type);
}

// Each rank sends its part to the one that adds it up.
int vd_mpi_start_sum(vd_mpi_sum *sum) {
  sum->phase = SCATTERING;
  vd_mpi_sum **end = &under_way;
  while (*end) end = &(*end)->next;
  sum->next = NULL;
  *end = sum;
  size_t own = part_count(sum, sum->rank);
  int tag = 2 * sum->number, code = MPI_SUCCESS;
  for (int r = 0; r < sum->world_size && code == MPI_SUCCESS; r++) {
    MPI_Request *move = sum->moves + 2 * r;
    move[0] = move[1] = MPI_REQUEST_NULL;
    if (r == sum->rank) continue;
    code = MPI_Irecv(sum->received + (size_t)r * own * byte_width(sum->type), (int)own,
                     datatype(sum->type), r, tag, messages, &move[0]);
    if (code == MPI_SUCCESS)
      code = MPI_Isend(part(sum, r), (int)part_count(sum, r), datatype(sum->type), r, tag,
                       messages, &move[1]);
  }
  return code;
}

// In the order of ranks, in single precision, so that every rank ends with the same values whatever
// came first.
static void add_up(vd_mpi_sum *sum) {
  size_t own = part_count(sum, sum->rank);
  char *target = part(sum, sum->rank);
  enum { block = 1024 };
  float total[block];
  for (size_t start = 0; start < own; start += block) {
    size_t count = own - start < block ? own - start : block;
    for (size_t i = 0; i < count; i++) total[i] = 0;
    for (int r = 0; r < sum->world_size; r++) {
      const char *from = r == sum->rank
                             ? target
                             : sum->received + (size_t)r * own * byte_width(sum->type);
      from += start * byte_width(sum->type);
      if (sum->type == VD_MPI_BFLOAT16) {
        for (size_t i = 0; i < count; i++) total[i] += from_bfloat16(((const uint16_t *)from)[i]);
      } else {
        for (size_t i = 0; i < count; i++) total[i] += ((const float *)from)[i];
      }
    }
    if (sum->type == VD_MPI_BFLOAT16) {
      for (size_t i = 0; i < count; i++) ((uint16_t *)target)[start + i] = to_bfloat16(total[i]);
    } else {
      memcpy((float *)target + start, total, count * sizeof(float));
    }
  }
}

// Each rank sends its sum to all.
static int start_gathering(vd_mpi_sum *sum) {
  add_up(sum);
  sum->phase = GATHERING;
  size_t own = part_count(sum, sum->rank);
  int tag = 2 * sum->number + 1, code = MPI_SUCCESS;
  for (int r = 0; r < sum->world_size && code == MPI_SUCCESS; r++) {
    MPI_Request *move = sum->moves + 2 * r;
    if (r == sum->rank) continue;
    code = MPI_Irecv(part(sum, r), (int)part_count(sum, r), datatype(sum->type), r, tag, messages,
                     &move[0]);
    if (code == MPI_SUCCESS)
      code = MPI_Isend(part(sum, sum->rank), (int)own, datatype(sum->type), r, tag, messages,
                       &move[1]);
  }
  return code;
}

// Moves all sums on, and takes those that are done off the list.
static int advance(void) {
  for (vd_mpi_sum **link = &under_way; *link;) {
    vd_mpi_sum *sum = *link;
    int arrived = 0;
    int code = MPI_Testall(2 * sum->world_size, sum->moves, &arrived, MPI_STATUSES_IGNORE);
    if (code == MPI_SUCCESS && arrived && sum->phase == SCATTERING) {
      code = start_gathering(sum);
      arrived = 0;
    }
    if (code != MPI_SUCCESS) return code;
    if (arrived) {
      sum->phase = IDLE;
      *link = sum->next;
    } else {
      link = &sum->next;
    }
  }
  return MPI_SUCCESS;
}

int vd_mpi_test_sum(vd_mpi_sum *sum, int *is_done) {
  int code = sum->phase == IDLE ? MPI_SUCCESS : advance();
  *is_done = sum->phase == IDLE;
  return code;
}

int vd_mpi_wait_sum(vd_mpi_sum *sum) {
  int code = MPI_SUCCESS;
  while (sum->phase != IDLE && code == MPI_SUCCESS) code = advance();
  return code;
}

#if defined(__linux__)
// Memory without a name, which lives as long as somebody maps it. Unlike /dev/shm, and so unlike
// MPI_Win_allocate_shared, it is not limited to what a container is given there.
static void *map_new(size_t byte_count, int *descriptor) {
  *descriptor = memfd_create("vae-dist", MFD_CLOEXEC);
  if (*descriptor < 0 || ftruncate(*descriptor, (off_t)byte_count) != 0) return NULL;
  void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, *descriptor, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static void *map_other(const int64_t *other) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)other[0], (long long)other[1]);
  int descriptor = open(path, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return NULL;
  struct stat status;
  // In another container the same number may be another process.
  int is_it = fstat(descriptor, &status) == 0 && status.st_size == other[2] &&
              (int64_t)status.st_ino == other[3];
  void *memory = is_it ? mmap(NULL, (size_t)other[2], PROT_READ | PROT_WRITE, MAP_SHARED,
                              descriptor, 0)
                       : MAP_FAILED;
  close(descriptor);
  return memory == MAP_FAILED ? NULL : memory;
}

int vd_mpi_share_memory(size_t byte_count, void **segments, size_t *byte_counts) {
  int rank = 0, size = 0, descriptor = -1;
  int code = MPI_Comm_rank(node, &rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(node, &size);
  if (code != MPI_SUCCESS) return code;
  int64_t(*all)[4] = calloc((size_t)size, sizeof *all);
  if (!all) return MPI_ERR_NO_MEM;
  segments[rank] = map_new(byte_count, &descriptor);
  struct stat status = {0};
  if (descriptor >= 0) fstat(descriptor, &status);
  int64_t own[4] = {getpid(), descriptor, (int64_t)byte_count, (int64_t)status.st_ino};
  // Whatever failed here or there, every rank takes part in both calls.
  code = MPI_Allgather(own, 4, MPI_INT64_T, all, 4, MPI_INT64_T, node);
  for (int r = 0; r < size && code == MPI_SUCCESS; r++) {
    if (r != rank) segments[r] = map_other(all[r]);
    byte_counts[r] = (size_t)all[r][2];
  }
  int last = MPI_Barrier(node);
  if (descriptor >= 0) close(descriptor);
  free(all);
  return code == MPI_SUCCESS ? last : code;
}

void vd_mpi_unmap(void *segment, size_t byte_count) {
  if (segment) munmap(segment, byte_count);
}
#else
int vd_mpi_share_memory(size_t byte_count, void **segments, size_t *byte_counts) {
  (void)byte_count, (void)segments, (void)byte_counts;
  return MPI_SUCCESS; // and no segments
}

void vd_mpi_unmap(void *segment, size_t byte_count) { (void)segment, (void)byte_count; }
#endif

void vd_mpi_synchronize(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
