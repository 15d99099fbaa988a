// mpi_api/reorder.h - which process of a virtual topology sits where in the machine.
//
// For the creating functions with `reorder` true: communicating neighbours shall share a host, a
// package, a cache. Pure: the same arguments give the same order on every process.
// Threading: none needed. Failure: none.
#pragma once
#include <span>
#include <vector>

#include "mpi_api/hardware.h"

namespace tern::mpi {

// Positions `from` and `to` of the topology communicate; the weight says how much.
struct Edge {
  int from;
  int to;
  int weight;
};

// What the traffic over these edges costs when position p is the process at places[order[p]]:
// weights times how far apart the two are.
long long traffic_cost(std::span<const Place> places, std::span<const Edge> edges,
                       std::span<const int> order);

// The best order found: order[p] is the process (index of places) for position p. Never worse than
// 0, 1, 2, ..., which it is unless another order is better. grid: the dimensions, when the
// positions are a cartesian grid in row-major order; else empty.
std::vector<int> near_order(std::span<const Place> places, std::span<const Edge> edges,
                            std::span<const int> grid);

}  // namespace tern::mpi
