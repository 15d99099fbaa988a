// mpi_api/topology.cc - what all kinds of virtual topologies have in common; see topology.h.
#include "mpi_api/topology.h"

#include <algorithm>
#include <numeric>

#include "impl.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_create.h"
#include "mpi_api/errors.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {

int find_topology(const Comm& comm, Topology::Kind kind, const Topology** topology) {
  if (comm.topology != nullptr && comm.topology->kind == kind) {
    *topology = comm.topology.get();
    return MPI_SUCCESS;
  }
  constexpr const char* kNames[] = {"cartesian", "graph", "distributed graph"};
  const char* const wanted = kNames[static_cast<int>(kind)];
  if (comm.topology == nullptr) {
    return fail(MPI_ERR_TOPOLOGY, "comm has no topology; a {} topology is needed", wanted);
  }
  return fail(MPI_ERR_TOPOLOGY, "comm has a {} topology; a {} topology is needed",
              kNames[static_cast<int>(comm.topology->kind)], wanted);
}

int Seating::position_of(int old_rank) const {
  const auto found = std::ranges::find(order, old_rank);
  return found == order.end() ? MPI_UNDEFINED : static_cast<int>(found - order.begin());
}

int seat(Comm& old, int size, bool reorder, std::span<const Edge> edges, std::span<const int> grid,
         Seating& seating) {
  seating.order.resize(static_cast<std::size_t>(size));
  std::iota(seating.order.begin(), seating.order.end(), 0);
  seating.context = old.rank() == 0 ? new_context() : 0;
  if (!reorder) {
    return coll::bcast_bytes(old, &seating.context, sizeof seating.context, 0);
  }
  struct Member {
    Place place;
    std::uint64_t context;
  };
  const Member mine{place_of_this_process(), seating.context};
  std::vector<Member> all(static_cast<std::size_t>(old.size()));
  if (const int error = coll::allgather_bytes(old, &mine, sizeof mine, all.data())) return error;
  seating.context = all[0].context;
  std::vector<Place> places;
  places.reserve(seating.order.size());
  for (const int rank : seating.order) places.push_back(all[static_cast<std::size_t>(rank)].place);
  seating.order = near_order(places, edges, grid);
  return MPI_SUCCESS;
}

int make_seated(Comm& old, const Seating& seating, std::shared_ptr<const Topology> topology,
                Comm** newcomm) {
  const Comm::Lanes lanes =
      old.lanes_of_members == Comm::Lanes::kAll ? Comm::Lanes::kAll : Comm::Lanes::kUnknown;
  if (const int error = derive_comm(old, seating.order, seating.context, lanes, newcomm)) {
    return error;
  }
  (*newcomm)->topology = std::move(topology);
  return MPI_SUCCESS;
}

namespace impl {

int topo_test(Comm* comm, int* status) {
  *status = MPI_UNDEFINED;
  if (comm->topology == nullptr) return MPI_SUCCESS;
  switch (comm->topology->kind) {
    case Topology::Kind::kCart:
      *status = MPI_CART;
      break;
    case Topology::Kind::kGraph:
      *status = MPI_GRAPH;
      break;
    case Topology::Kind::kDistGraph:
      *status = MPI_DIST_GRAPH;
      break;
  }
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
