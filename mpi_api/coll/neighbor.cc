// mpi_api/coll/neighbor.cc - neighbourhood collectives; see neighbor.h.
#include "mpi_api/coll/neighbor.h"

#include <vector>

#include "mpi.h"

namespace tern::mpi::coll {
namespace {

// outgoing(i): the block for destination i. In a grid, messages are told apart by the place they
// are for; along the edges of a graph, the k-th message to a neighbour is for its k-th place for
// the sender. Blocks without data need no message: both ends know.
template <class Outgoing>
void exchange(Schedule& s, const Neighborhood& near, Outgoing outgoing, const Blocks& from) {
  std::vector<int> own_places;  // Where this process is its own source.
  for (int i = 0; i < static_cast<int>(near.sources.size()); ++i) {
    const int source = near.sources[static_cast<std::size_t>(i)];
    if (source == MPI_PROC_NULL) continue;
    if (source == s.rank()) {
      own_places.push_back(i);
    } else if (const DataView block = from[i]; block.bytes() != 0) {
      s.receive(source, near.grid ? i : 0, block);
    }
  }
  std::size_t own_count = 0;
  for (int i = 0; i < static_cast<int>(near.destinations.size()); ++i) {
    const int destination = near.destinations[static_cast<std::size_t>(i)];
    if (destination == MPI_PROC_NULL) continue;
    // Dimension d of a grid has the places 2 d and 2 d + 1.
    const int opposite = i ^ 1;
    if (destination != s.rank()) {
      const DataView block = outgoing(i);
      if (block.bytes() != 0) s.send(destination, near.grid ? opposite : 0, block);
    } else if (near.grid) {
      s.copy(outgoing(i), from[opposite]);
    } else if (own_count < own_places.size()) {
      s.copy(outgoing(i), from[own_places[own_count++]]);
    }
  }
}

}  // namespace

void neighbor_allgather(Schedule& s, const Neighborhood& near, const DataView& own,
                        const Blocks& from) {
  exchange(
      s, near, [&](int) { return own; }, from);
}

void neighbor_alltoall(Schedule& s, const Neighborhood& near, const Blocks& to,
                       const Blocks& from) {
  exchange(
      s, near, [&](int i) { return to[i]; }, from);
}

}  // namespace tern::mpi::coll
