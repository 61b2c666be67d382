// What the files of this module have in common.

#ifndef VD_COLLECTIVES_SHARED_H
#define VD_COLLECTIVES_SHARED_H

#include "CCollectives.h"

#include <mpi.h>

/// One call moves at most this many elements: MPI 3's counts are int.
#define VD_MPI_LARGEST_CALL ((size_t)1 << 30)

/// The ranks of this node, and all ranks, for the messages of sums.
extern MPI_Comm vd_mpi_node, vd_mpi_messages;

MPI_Datatype vd_mpi_datatype(enum vd_mpi_type type);
size_t vd_mpi_byte_width(enum vd_mpi_type type);

#endif
