// mpi_api/coll/neighbor.h - what neighbourhood collectives add to a schedule (MPI-5.0 section 8.6).
//
// Messages go along the edges of the communicator's topology and nowhere else. A process may be its
// own neighbour, and two processes may be neighbours more than once. Threading, failure: as
// algorithms.h.
#pragma once
#include <span>

#include "mpi_api/coll/blocks.h"
#include "mpi_api/coll/schedule.h"

namespace tern::mpi::coll {

struct Neighborhood {
  std::span<const int> sources;  // MPI_PROC_NULL: there is none, and its block stays as it is.
  std::span<const int> destinations;
  // A grid: what leaves in one direction arrives from the opposite one, whoever the neighbours are.
  bool grid;
};

// The same data to all destinations, a block from each source.
void neighbor_allgather(Schedule& s, const Neighborhood& near, const DataView& own,
                        const Blocks& from);
// A block to each destination, one from each source.
void neighbor_alltoall(Schedule& s, const Neighborhood& near, const Blocks& to, const Blocks& from);

}  // namespace tern::mpi::coll
