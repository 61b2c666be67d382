// MPI in the few calls that data-parallel training needs.
//
// Why C: MPI_COMM_WORLD, MPI_FLOAT, MPI_SUM and their like are macros with casts in Open MPI, which
// Swift does not import. Each function returns MPI's error code (0 is success) and never aborts by
// itself; counts are 64-bit, and all-reduce and broadcast of more than 2³⁰ elements take several calls.

#ifndef VD_COLLECTIVES_H
#define VD_COLLECTIVES_H

#include <stddef.h>
#include <stdint.h>

enum vd_mpi_type { VD_MPI_FLOAT, VD_MPI_DOUBLE, VD_MPI_INT64 };
enum vd_mpi_operation { VD_MPI_SUM, VD_MPI_MIN, VD_MPI_MAX };

/// Starts MPI (only the calling thread will use it) and makes it return errors.
/// Afterwards: the rank and the number of ranks.
int vd_mpi_initialize(int *rank, int *world_size);

/// Ends MPI; every rank calls it.
int vd_mpi_finalize(void);

/// Ends all ranks at once with this exit status. Does not return.
void vd_mpi_abort(int status);

/// MPI's own words for an error code, cut to the capacity, always terminated.
void vd_mpi_error_text(int code, char *text, size_t capacity);

/// Combines `count` elements over all ranks, in place; every rank ends with the same values.
int vd_mpi_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                      enum vd_mpi_operation operation);

/// Sends the root's bytes to every rank.
int vd_mpi_broadcast(void *bytes, size_t byte_count, int root);

/// Collects blocks of the same size, in order of rank, on every rank.
int vd_mpi_all_gather(const void *block, size_t block_byte_count, void *blocks);

/// Returns when every rank has called it.
int vd_mpi_barrier(void);

#endif
