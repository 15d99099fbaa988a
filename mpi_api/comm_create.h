// mpi_api/comm_create.h - what the ways to create a communicator have in common.
//
// No agreement on context ids is needed: the process that will be rank 0 of the new communicator
// draws one (runtime.h) and tells the others. All of this is collective over the old communicator
// unless said otherwise. Failure: an MPI error class after fail().
#pragma once
#include <cstdint>
#include <span>

#include "mpi_api/comm.h"

namespace tern::mpi {

// Makes the new communicator of `members`, ranks of the old one in their new order. Local.
int derive_comm(Comm& comm, std::span<const int> members, std::uint64_t context, Comm** newcomm);

}  // namespace tern::mpi
