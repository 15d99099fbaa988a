// mpi_api/coll/algorithms.h - what each collective adds to a schedule, one function per collective.
//
// The functions describe one member's part and start nothing; all members call the same one with
// the same algorithm. They know ranks, bytes and elements, no communicators, and check no
// arguments. Where a call may be MPI_IN_PLACE, that is said by passing no input of one's own.
#pragma once
#include <cstddef>
#include <span>

#include "mpi_api/coll/blocks.h"
#include "mpi_api/coll/host_map.h"
#include "mpi_api/coll/schedule.h"
#include "mpi_api/coll/selection.h"

namespace tern::mpi::coll {

inline const DataView kNoData;

// Of long data that is passed on in pieces: long enough that a piece costs little beside its bytes,
// short enough to be in cache still when it is passed on.
inline constexpr std::size_t kSegmentBytes = 128 << 10;

// What members on these hosts (nullptr: on one) can use beside messages. Where nobody shares a
// host, a block for each member gains nothing by leaders.
inline Means means_of(const HostMap* hosts, Collective collective, bool commutative) {
  if (hosts == nullptr || (!commutative && !hosts->in_order())) return Means::kMessages;
  const bool blocks = collective >= Collective::kGather && collective <= Collective::kAlltoallv;
  return blocks && !hosts->shared() ? Means::kMessages : Means::kHosts;
}

// What the table of algorithms says for this schedule. Arguments: selection.h
inline Algorithm choose(const Schedule& s, Collective collective, std::size_t bytes,
                        bool commutative = true) {
  return select(collective, s.size(), bytes, commutative,
                means_of(s.hosts(), collective, commutative));
}

void barrier(Schedule& s, Algorithm algorithm);

void bcast(Schedule& s, Algorithm algorithm, const DataView& data, int root);

// own: nullptr at a root that has its block in `all` already. all: used at the root.
void gather(Schedule& s, Algorithm algorithm, const DataView* own, const Blocks& all, int root);

// own: nullptr at a root that leaves its block in `all`. all: used at the root.
void scatter(Schedule& s, Algorithm algorithm, const Blocks& all, const DataView* own, int root);

// own: nullptr when the own block is in `all` already.
void allgather(Schedule& s, Algorithm algorithm, const DataView* own, const Blocks& all);

// from: nullptr when the input is in `to`.
void alltoall(Schedule& s, Algorithm algorithm, const Blocks* from, const Blocks& to);

// Input and result of a reduction; from == to: in place. Elements are those of s.type().
struct Operands {
  const std::byte* from;
  std::byte* to;
  std::size_t count;
};

// to: used at the root only; elsewhere it may be nullptr.
void reduce(Schedule& s, Algorithm algorithm, const Operands& data, int root);
void allreduce(Schedule& s, Algorithm algorithm, const Operands& data);
// starts[i]..starts[i + 1]: the elements of the input that member i gets the result of; lives until
// the call returns. In place: the input is at `to`, and the result goes to its beginning.
// data.count is not used.
void reduce_scatter(Schedule& s, Algorithm algorithm, const Operands& data,
                    std::span<const std::size_t> starts);
// Inclusive: the result of ranks 0..rank; exclusive: of 0..rank-1 (rank 0: `to` is left alone).
void scan(Schedule& s, Algorithm algorithm, const Operands& data, bool exclusive);

// --- parts that several collectives are made of ---

// Sub-tags from `sub` on are the part's; `after` comes before anything is sent or overwritten.
// They return the step after which the data are here: at the root, `after`.
Step bcast_binomial(Schedule& s, const DataView& data, int root, int sub, Step after);
Step bcast_flat(Schedule& s, const DataView& data, int root, int sub, Step after);

}  // namespace tern::mpi::coll
