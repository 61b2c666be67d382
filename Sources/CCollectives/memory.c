#define _GNU_SOURCE
#include "shared.h"

#if defined(__linux__)
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
  int code = MPI_Comm_rank(vd_mpi_node, &rank);
  if (code == MPI_SUCCESS) code = MPI_Comm_size(vd_mpi_node, &size);
  if (code != MPI_SUCCESS) return code;
  int64_t(*all)[4] = calloc((size_t)size, sizeof *all);
  if (!all) MPI_Abort(MPI_COMM_WORLD, 70); // the others are about to wait for this rank
  segments[rank] = map_new(byte_count, &descriptor);
  struct stat status = {0};
  if (descriptor >= 0) fstat(descriptor, &status);
  int64_t own[4] = {getpid(), descriptor, (int64_t)byte_count, (int64_t)status.st_ino};
  // Whatever failed here or there, every rank takes part in both calls.
  code = MPI_Allgather(own, 4, MPI_INT64_T, all, 4, MPI_INT64_T, vd_mpi_node);
  for (int r = 0; r < size && code == MPI_SUCCESS; r++) {
    if (r != rank) segments[r] = map_other(all[r]);
    byte_counts[r] = (size_t)all[r][2];
  }
  int last = MPI_Barrier(vd_mpi_node);
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
