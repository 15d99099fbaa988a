// mpi_api/topology.h - virtual topologies of communicators (MPI-5.0 chapter 8).
//
// What a communicator knows of its topology: the arguments it was made from, and this process's
// neighbours, which the neighbourhood collectives need. Immutable once made; copies of the
// communicator share it. Threading: under the entry lock. Failure: MPI error classes after fail().
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mpi_api/comm.h"
#include "mpi_api/reorder.h"

namespace tern::mpi {

// Of an argument that is known not to be negative.
inline std::size_t at(int index) { return static_cast<std::size_t>(index); }

struct Topology {
  enum class Kind : std::uint8_t { kCart, kGraph, kDistGraph };

  Kind kind = Kind::kCart;
  bool weighted = false;  // kDistGraph

  // kCart: size, wrap-around and this process's coordinate by dimension.
  std::vector<int> dims;
  std::vector<int> periods;
  std::vector<int> coords;

  // kGraph: neighbours of rank r are edges[index[r - 1]] .. edges[index[r] - 1].
  std::vector<int> index;
  std::vector<int> edges;

  // All kinds: the ranks that neighbourhood collectives receive from and send to, in order.
  // MPI_PROC_NULL where a grid ends. kDistGraph has their weights too, when it is weighted.
  std::vector<int> sources;
  std::vector<int> destinations;
  std::vector<int> source_weights;
  std::vector<int> destination_weights;
};

// The topology of a communicator of that kind, or the error that it has none. argument: its name.
int find_topology(const Comm& comm, Topology::Kind kind, const Topology** topology);

// How the positions of a new topology are given to the members of a communicator.
struct Seating {
  std::vector<int> order;     // order[p]: the rank in the old communicator that becomes rank p.
  std::uint64_t context = 0;  // Of the new communicator.

  // MPI_UNDEFINED: that process gets none.
  int position_of(int old_rank) const;
};
// Collective. `size` positions; edges and grid are looked at when `reorder` is set (reorder.h).
int seat(Comm& old, int size, bool reorder, std::span<const Edge> edges, std::span<const int> grid,
         Seating& seating);
// The new communicator of a process that has a position. Local.
int make_seated(Comm& old, const Seating& seating, std::shared_ptr<const Topology> topology,
                Comm** newcomm);

// Grids. Coordinates are in row-major order (the last one varies fastest).
std::vector<int> coords_of(const Topology& cart, int rank);
int rank_of(const Topology& cart, std::span<const int> coords);
// The rank at a distance along a dimension, MPI_PROC_NULL beyond the end.
int neighbor_of(const Topology& cart, int dimension, long long distance);
// Fills `coords` and the neighbours of this rank.
void settle_in_grid(Topology& cart, int rank);

}  // namespace tern::mpi
