// mpi_api/coll/two_level.h - collectives inside the hosts and between them: Algorithm::kTwoLevel.
//
// One member of each host, its leader, speaks for all of them, so that data cross the network once
// per host instead of once per member, whatever the order in which ranks were placed. Messages
// between H hosts: bcast, reduce, gather and scatter H - 1 (bcast of more than 512 KiB: 2(H - 1)
// or more, of less bytes each), barrier H ceil(log2 H), allgather and alltoall H(H - 1).
//
// Arguments as in algorithms.h. Precondition: s.hosts() is there; reductions that do not commute
// need ranks in the order of hosts; the blocks of gather, scatter and alltoall are equal.
#pragma once
#include <span>

#include "mpi_api/coll/algorithms.h"

namespace tern::mpi::coll::two_level {

// What leaders do among themselves; messages between hosts take much longer than others, so fewer
// of them one after another win, and large ones should not leave one host several times.
inline constexpr Algorithm kBarrierBetween = Algorithm::kDissemination;
inline constexpr Algorithm kReduceBetween = Algorithm::kBinomial;
Algorithm bcast_between(int hosts, std::size_t bytes);
Algorithm allreduce_between(std::size_t bytes, bool commutative);

void barrier(Schedule& s);
void bcast(Schedule& s, const DataView& data, int root);
void gather(Schedule& s, const DataView* own, const Blocks& all, int root);
void scatter(Schedule& s, const Blocks& all, const DataView* own, int root);
void allgather(Schedule& s, const DataView* own, const Blocks& all);
void alltoall(Schedule& s, const Blocks* from, const Blocks& to);
void reduce(Schedule& s, const Operands& data, int root);
void allreduce(Schedule& s, const Operands& data);

}  // namespace tern::mpi::coll::two_level
