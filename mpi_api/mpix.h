/* mpix.h - what Tern offers beyond the MPI standard. For C and C++.
 *
 * Programs that use it need Tern's libmpi_abi.so. Arguments are as in the standard's calls without
 * the `i`, errors as well; a non-blocking call reports them when its request is completed.
 */
#ifndef MPIX_H_INCLUDED
#define MPIX_H_INCLUDED

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Connecting and spawning without blocking ---
 *
 * Collective over comm: all members call them in the same order as its other collectives. The
 * operation is over when the request is completed (MPI_Wait, MPI_Test and the like; it can be
 * neither cancelled nor freed before). Then *newcomm is the intercommunicator, or MPI_COMM_NULL
 * after an error; until then newcomm and array_of_errcodes must stay where they are. All other
 * arguments may be changed or freed as soon as the call has returned.
 *
 * An accept that nobody answers ends, with MPI_ERR_PORT, when the root closes the port or after as
 * many seconds as info key `timeout` says. Several accepts may wait on one port, from one thread.
 */
int MPIX_Comm_iaccept(const char* port_name, MPI_Info info, int root, MPI_Comm comm,
                      MPI_Comm* newcomm, MPI_Request* request);
int MPIX_Comm_iconnect(const char* port_name, MPI_Info info, int root, MPI_Comm comm,
                       MPI_Comm* newcomm, MPI_Request* request);
int MPIX_Comm_ispawn(const char* command, char* argv[], int maxprocs, MPI_Info info, int root,
                     MPI_Comm comm, MPI_Comm* intercomm, int array_of_errcodes[],
                     MPI_Request* request);

/* --- Connecting before messages need it ---
 *
 * Connects all processes of comm with each other (of an intercommunicator: each with all of the
 * other group), in an order in which nobody is asked by many at once. Call it in all of them, as a
 * collective operation; it blocks. A process that is not heard of for TERN_PEER_TIMEOUT seconds is
 * an error of comm's error handler where it was waited for; all that could be connected is.
 */
int MPIX_Comm_preconnect(MPI_Comm comm);

#ifdef __cplusplus
}
#endif

#endif /* MPIX_H_INCLUDED */
