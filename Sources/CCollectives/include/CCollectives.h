// MPI in the few calls that data-parallel training needs.
//
// Why C: MPI_COMM_WORLD, MPI_FLOAT, MPI_SUM and their like are macros with casts in Open MPI, which
// Swift does not import. Each function returns MPI's error code (0 is success) and never aborts by
// itself; counts are 64-bit, and all-reduce and broadcast of more than 2³⁰ elements take several calls.

#ifndef VD_COLLECTIVES_H
#define VD_COLLECTIVES_H

#include <stddef.h>
#include <stdint.h>

/// BFLOAT16 is the upper half of a float; MPI does not know it.
enum vd_mpi_type { VD_MPI_FLOAT, VD_MPI_DOUBLE, VD_MPI_INT64, VD_MPI_BFLOAT16 };
enum vd_mpi_operation { VD_MPI_SUM, VD_MPI_MIN, VD_MPI_MAX };

/// Where a process is: among all, and among those that share its node's memory, the first of which is the
/// leader.
typedef struct {
  int rank, world_size, node_rank, node_size, node_leader;
} vd_mpi_place;

/// Starts MPI (only the calling thread will use it) and makes it return errors.
int vd_mpi_initialize(vd_mpi_place *place);

/// Ends MPI; every rank calls it.
int vd_mpi_finalize(void);

/// Ends all ranks at once with this exit status. Does not return.
void vd_mpi_abort(int status);

/// MPI's own words for an error code, cut to the capacity, always terminated.
void vd_mpi_error_text(int code, char *text, size_t capacity);

/// The name and version of the MPI library, cut to the capacity; MPI need not have been started.
void vd_mpi_library_version(char *text, size_t capacity);

/// Combines `count` elements over all ranks, in place; every rank ends with the same values.
int vd_mpi_all_reduce(void *values, size_t count, enum vd_mpi_type type,
                      enum vd_mpi_operation operation);

/// A sum over all ranks, in place, that is prepared once and computed many times while this rank
/// does something else.
typedef struct vd_mpi_sum vd_mpi_sum;

/// Prepares the sum of FLOAT or BFLOAT16 values, at most 2³⁰; null if there is no memory. Additions
/// are made in single precision, in the order of ranks; in BFLOAT16 only the final sum is rounded.
/// Every rank prepares its sums in the same order.
vd_mpi_sum *vd_mpi_make_sum(void *values, size_t count, enum vd_mpi_type type);

/// Gives its memory back, except while messages may still be written there: a program that fails in
/// the middle of a sum is about to end.
void vd_mpi_destroy_sum(vd_mpi_sum *sum);

/// Begins; nobody touches the values until it is done.
int vd_mpi_start_sum(vd_mpi_sum *sum);

/// Moves every sum on that is under way, and tells whether this one is done.
int vd_mpi_test_sum(vd_mpi_sum *sum, int *is_done);

/// Returns when the sum is done; moves the others on meanwhile.
int vd_mpi_wait_sum(vd_mpi_sum *sum);

/// Memory that all ranks of the node see: `segments[i]` and `byte_counts[i]` are those of the node's
/// rank i. Collective within the node. A segment that cannot be had, here or there, is null; the
/// ranks must ask each other before they use any. Zero at first, and on page boundaries.
int vd_mpi_share_memory(size_t byte_count, void **segments, size_t *byte_counts);

/// Gives a segment back; the memory is free when every rank has.
void vd_mpi_unmap(void *segment, size_t byte_count);

/// Makes what this rank wrote visible to the others of the node, and theirs to it, once the ranks
/// have also waited for each other.
void vd_mpi_synchronize(void);

/// Sends the root's bytes to every rank.
int vd_mpi_broadcast(void *bytes, size_t byte_count, int root);

/// Collects blocks of the same size, in order of rank, on every rank.
int vd_mpi_all_gather(const void *block, size_t block_byte_count, void *blocks);

/// Returns when every rank has called it.
int vd_mpi_barrier(void);

/// The same, but asleep most of the time: MPI's own waiting keeps a core busy.
int vd_mpi_barrier_asleep(void);

// MARK: Where a thread is

enum { VD_MOST_FRAMES = 48 };

/// Gives the calling thread a stack of its own for handlers: some libraries keep numbers below the stack
/// pointer. Call it on the thread whose stack will be taken. Returns 0 if the system refuses.
int vd_prepare_stack_taking(void);

/// The addresses of a thread's calls, the innermost first, at most VD_MOST_FRAMES of them.
///
/// The thread is interrupted by SIGURG. Returns how many; 0 if the thread does not answer.
int vd_take_stack(unsigned long thread, const void **addresses);

/// The symbol, or the file, that an address lies in, and how far from its start; an empty name if that is
/// not known.
void vd_describe_address(const void *address, char *name, size_t capacity, size_t *offset);

#endif
