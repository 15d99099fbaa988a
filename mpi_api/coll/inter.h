// mpi_api/coll/inter.h - what each collective adds to a schedule on an intercommunicator.
//
// The schedule is one of the local group; member i of the remote group has the number s.size() + i
// in it (execution.h). What one group gives, the other one receives (MPI-5.0 section 6.2.3): groups
// work inside themselves with the algorithms of intracommunicators, and speak with the other group
// through their first members, or straight from member to member where every block has one
// receiver. Both directions are independent, and either may have no data. Threading, failure: as
// algorithms.h.
#pragma once
#include <cstddef>
#include <span>

#include "mpi_api/coll/algorithms.h"

namespace tern::mpi::coll::inter {

// Where a rooted collective has its root, as its argument says it.
enum class Side { kRoot, kBeside, kMember };  // MPI_ROOT, MPI_PROC_NULL, a rank of the other group.
Side side_of(int root);

// Nobody goes on before everybody of the other group has come.
void barrier(Schedule& s);

// root: as in the call, in all of these.
void bcast(Schedule& s, const DataView& data, int root);
void gather(Schedule& s, const DataView* own, const Blocks& all, int remote_size, int root);
void scatter(Schedule& s, const Blocks& all, const DataView* own, int remote_size, int root);

// own: to all members of the other group; all: theirs.
void allgather(Schedule& s, const DataView& own, const Blocks& all, int remote_size);
void alltoall(Schedule& s, const Blocks& from, const Blocks& to, int remote_size);

// data.from: used at members; data.to: at the root.
void reduce(Schedule& s, const Operands& data, int root);
// Each group gets the reduction of the other one's input.
void allreduce(Schedule& s, const Operands& data);
// starts: the elements of the other group's reduction that members of the own group get; both
// groups divide the same number of elements.
void reduce_scatter(Schedule& s, const Operands& data, std::span<const std::size_t> starts);

}  // namespace tern::mpi::coll::inter
