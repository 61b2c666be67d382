// MPI's own header, for the C target CCollectives. Swift does not import this module: Open MPI's
// handles (MPI_COMM_WORLD, MPI_FLOAT, MPI_SUM) are macros with casts, which Swift cannot see.
#include <mpi.h>
