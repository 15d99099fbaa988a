// mpi_api/graph.cc - graph topologies: every process knows the whole graph (MPI-5.0 section 8.5.3).
#include <algorithm>

#include "impl.h"
#include "mpi_api/errors.h"
#include "mpi_api/topology.h"

namespace tern::mpi {
namespace {

int check_graph(const Comm& comm, int nnodes, const int* index, const int* edges) {
  if (nnodes > comm.size()) {
    return fail(MPI_ERR_ARG, "nnodes is {}, but the communicator has {} process{}", nnodes,
                comm.size(), comm.size() == 1 ? "" : "es");
  }
  for (int i = 0; i < nnodes; ++i) {
    const int before = i == 0 ? 0 : index[i - 1];
    if (index[i] < before) {
      return fail(MPI_ERR_ARG,
                  "indx[{}] is {}, but {} edges come before it; indx adds up the numbers of "
                  "neighbors",
                  i, index[i], before);
    }
  }
  const int count = nnodes == 0 ? 0 : index[nnodes - 1];
  if (count > 0 && edges == nullptr) {
    return fail(MPI_ERR_ARG, "edges is a null pointer, but an array of {} elements is needed",
                count);
  }
  for (int i = 0; i < count; ++i) {
    if (edges[i] < 0 || edges[i] >= nnodes) {
      return fail(MPI_ERR_ARG, "edges[{}] is {}; the graph has nodes 0 to {}", i, edges[i],
                  nnodes - 1);
    }
  }
  return MPI_SUCCESS;
}

std::span<const int> neighbors_of(const Topology& graph, int rank) {
  const int first = rank == 0 ? 0 : graph.index[at(rank - 1)];
  return {graph.edges.data() + first, graph.edges.data() + graph.index[at(rank)]};
}

int find_neighbors(const Comm& comm, int rank, std::span<const int>& neighbors) {
  const Topology* graph = nullptr;
  if (const int error = find_topology(comm, Topology::Kind::kGraph, &graph)) return error;
  if (rank < 0 || rank >= comm.size()) {
    return fail(MPI_ERR_RANK, "rank is {}; comm has ranks 0 to {}", rank, comm.size() - 1);
  }
  neighbors = neighbors_of(*graph, rank);
  return MPI_SUCCESS;
}

int check_room(std::size_t needed, int room, const char* argument, const char* what) {
  if (room >= 0 && at(room) >= needed) return MPI_SUCCESS;
  return fail(MPI_ERR_ARG, "{} is {}, but there are {} {}", argument, room, needed, what);
}

}  // namespace

namespace impl {

int graph_create(Comm* comm_old, int nnodes, const int* indx, const int* edges, int reorder,
                 Comm** comm_graph) {
  if (const int error = check_graph(*comm_old, nnodes, indx, edges)) return error;
  auto graph = std::make_shared<Topology>();
  graph->kind = Topology::Kind::kGraph;
  graph->index.assign(indx, indx + nnodes);
  if (nnodes > 0) graph->edges.assign(edges, edges + indx[nnodes - 1]);

  std::vector<Edge> links;
  for (int node = 0; reorder != 0 && node < nnodes; ++node) {
    for (const int neighbor : neighbors_of(*graph, node)) links.push_back({node, neighbor, 1});
  }
  Seating seating;
  if (const int error = seat(*comm_old, nnodes, reorder != 0, links, {}, seating)) return error;
  const int rank = seating.position_of(comm_old->rank());
  if (rank == MPI_UNDEFINED) return MPI_SUCCESS;
  const std::span<const int> mine = neighbors_of(*graph, rank);
  graph->sources.assign(mine.begin(), mine.end());
  graph->destinations = graph->sources;
  return make_seated(*comm_old, seating, std::move(graph), comm_graph);
}

int graph_map(Comm* comm, int nnodes, const int* indx, const int* edges, int* newrank) {
  if (const int error = check_graph(*comm, nnodes, indx, edges)) return error;
  // What MPI_Graph_create does without reordering (as MPI_Cart_map).
  *newrank = comm->rank() < nnodes ? comm->rank() : MPI_UNDEFINED;
  return MPI_SUCCESS;
}

int graphdims_get(Comm* comm, int* nnodes, int* nedges) {
  const Topology* graph = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kGraph, &graph)) return error;
  *nnodes = static_cast<int>(graph->index.size());
  *nedges = static_cast<int>(graph->edges.size());
  return MPI_SUCCESS;
}

int graph_get(Comm* comm, int maxindex, int maxedges, int* indx, int* edges) {
  const Topology* graph = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kGraph, &graph)) return error;
  if (const int error = check_room(graph->index.size(), maxindex, "maxindex", "nodes")) {
    return error;
  }
  if (const int error = check_room(graph->edges.size(), maxedges, "maxedges", "edges")) {
    return error;
  }
  std::ranges::copy(graph->index, indx);
  std::ranges::copy(graph->edges, edges);
  return MPI_SUCCESS;
}

int graph_neighbors_count(Comm* comm, int rank, int* nneighbors) {
  std::span<const int> neighbors;
  if (const int error = find_neighbors(*comm, rank, neighbors)) return error;
  *nneighbors = static_cast<int>(neighbors.size());
  return MPI_SUCCESS;
}

int graph_neighbors(Comm* comm, int rank, int maxneighbors, int* neighbors) {
  std::span<const int> found;
  if (const int error = find_neighbors(*comm, rank, found)) return error;
  if (const int error = check_room(found.size(), maxneighbors, "maxneighbors", "neighbors")) {
    return error;
  }
  std::ranges::copy(found, neighbors);
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
