// mpi_api/coll/internal.h - collectives for the MPI layer's own use: agreeing on plain bytes.
//
// What communicator creation needs before (or instead of) a user-visible collective. All members
// call the same function in the same order as any other collective of that communicator.
// Threading: under the entry lock. Failure: an MPI error class with its sentence kept by fail().
#pragma once
#include <cstddef>

#include "mpi_api/coll/form.h"
#include "mpi_api/object.h"

namespace tern::mpi::coll {

// Blocking. `all` takes size() * each bytes, the block of rank i at i * each; `mine` must not
// overlap it. Intracommunicators only.
int allgather_bytes(Comm& comm, const void* mine, std::size_t each, void* all);

// Blocking. Copies size bytes at the root's `data` to everybody's.
int bcast_bytes(Comm& comm, void* data, std::size_t size, int root);

// Non-blocking bcast_bytes. `data` (and what `context` points to) must live until the hook has been
// called. The request holds a reference of comm and is owned by the caller, as any request of MPI_I
// functions. nullptr when there is no memory (the hook is not called).
Request* start_bcast_bytes(Comm& comm, void* data, std::size_t size, int root, Hook hook,
                           void* context);

}  // namespace tern::mpi::coll
