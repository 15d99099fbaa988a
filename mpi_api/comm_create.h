// mpi_api/comm_create.h - what the ways to create a communicator have in common.
//
// No agreement on context ids is needed: the process that will be rank 0 of the new communicator
// draws one (runtime.h) and tells the others. All of this is collective over the old communicator
// unless said otherwise. Failure: an MPI error class after fail().
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "mpi_api/comm.h"

namespace tern::mpi {

// Brings a new context from rank 0 of the group to all its members, along a binomial tree. Nobody
// else takes part; all members pass the same plane (where they meet) and tag.
int share_context(const Group& group, std::uint64_t plane, int tag, std::uint64_t& context);

// Makes the new communicator of `members`, ranks of the old one in their new order. Local. `lanes`
// must be the same at all members.
int derive_comm(Comm& comm, std::span<const int> members, std::uint64_t context, Comm::Lanes lanes,
                Comm** newcomm);

// The members of `from` with these ranks, in this order; one reference is the caller's. nullptr
// when there is no memory.
Group* subgroup(Group& from, std::span<const int> members);

// The members of group as ranks of (the local group of) comm, or the error that one is not there.
int ranks_of_group(const Comm& comm, const Group& group, std::vector<int>& members);

}  // namespace tern::mpi
