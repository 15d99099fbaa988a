// mpi_api/dist_graph.cc - distributed graph topologies: every process knows its own neighbours only
// (MPI-5.0 section 8.5.4).
//
// MPI_Dist_graph_create lets any process describe any edge, so edges travel to both of their ends
// first. Only with `reorder` does everybody learn the whole graph, since the new owner of a
// position needs that position's neighbours, and all must work out the same order.
#include <algorithm>
#include <string>

#include "impl.h"
#include "mpi_api/coll/internal.h"
#include "mpi_api/comm_hints.h"
#include "mpi_api/entry.h"
#include "mpi_api/errors.h"
#include "mpi_api/topology.h"

namespace tern::mpi {
namespace {

// --- arguments ---

int check_ranks(const int* ranks, int count, const Comm& comm, const char* argument) {
  for (int i = 0; i < count; ++i) {
    if (ranks[i] < 0 || ranks[i] >= comm.size()) {
      return fail(MPI_ERR_RANK, "{}[{}] is {}; comm_old has ranks 0 to {}", argument, i, ranks[i],
                  comm.size() - 1);
    }
  }
  return MPI_SUCCESS;
}

// weighted: comes back false for MPI_UNWEIGHTED.
int check_weights(const int* weights, int count, const char* argument, bool& weighted) {
  weighted = weights != MPI_UNWEIGHTED;
  if (!weighted || count == 0) return MPI_SUCCESS;
  if (weights == nullptr || weights == MPI_WEIGHTS_EMPTY) {
    return fail(MPI_ERR_ARG, "{} is {}, but there are {} edges", argument,
                weights == nullptr ? "a null pointer" : "MPI_WEIGHTS_EMPTY", count);
  }
  for (int i = 0; i < count; ++i) {
    if (weights[i] < 0) {
      return fail(MPI_ERR_ARG, "{}[{}] is {}; a weight must not be negative", argument, i,
                  weights[i]);
    }
  }
  return MPI_SUCCESS;
}

int count_edges(int n, const int* degrees, int& edges) {
  long long sum = 0;
  for (int i = 0; i < n; ++i) {
    if (degrees[i] < 0) {
      return fail(MPI_ERR_ARG, "degrees[{}] is {}; it must not be negative", i, degrees[i]);
    }
    sum += degrees[i];
  }
  if (sum > INT_MAX) {
    return fail(MPI_ERR_ARG, "degrees add up to {}, more edges than an int can count", sum);
  }
  edges = static_cast<int>(sum);
  return MPI_SUCCESS;
}

// Arguments differ between the processes here, so that some may be wrong and others right. All
// learn of it, and nobody waits for somebody who gave up.
int agree(Comm& comm, int wrong) {
  const std::string sentence(last_failure(wrong));
  std::vector<int> verdicts(at(comm.size()));
  if (const int error = coll::allgather_bytes(comm, &wrong, sizeof wrong, verdicts.data())) {
    return error;
  }
  if (wrong != MPI_SUCCESS) return fail(wrong, "{}", sentence);
  const auto against = std::ranges::find_if(verdicts, [](int v) { return v != MPI_SUCCESS; });
  if (against == verdicts.end()) return MPI_SUCCESS;
  return fail(*against, "rank {} of comm_old has passed wrong arguments",
              against - verdicts.begin());
}

// --- neighbours as a list of numbers: in-degree, out-degree, then (rank, weight) pairs ---

void append_pairs(std::vector<int>& list, const std::vector<int>& ranks,
                  const std::vector<int>& weights) {
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    list.push_back(ranks[i]);
    list.push_back(weights.empty() ? 1 : weights[i]);
  }
}

std::vector<int> list_of(const Topology& graph) {
  std::vector<int> list = {static_cast<int>(graph.sources.size()),
                           static_cast<int>(graph.destinations.size())};
  append_pairs(list, graph.sources, graph.source_weights);
  append_pairs(list, graph.destinations, graph.destination_weights);
  return list;
}

void take_list(std::span<const int> list, Topology& graph) {
  const std::size_t sources = at(list[0]);
  list = list.subspan(2);
  for (std::vector<int>* const part :
       {&graph.sources, &graph.source_weights, &graph.destinations, &graph.destination_weights}) {
    part->clear();
  }
  for (std::size_t i = 0; i < list.size(); i += 2) {
    const bool in = i / 2 < sources;
    (in ? graph.sources : graph.destinations).push_back(list[i]);
    if (!graph.weighted) continue;
    (in ? graph.source_weights : graph.destination_weights).push_back(list[i + 1]);
  }
}

// --- what goes over the network ---

// Lists of numbers of all processes, one after the other; starts has one entry more than there are
// processes.
struct Gathered {
  std::vector<int> numbers;
  std::vector<MPI_Count> starts;
};

std::vector<MPI_Count> starts_of(const std::vector<MPI_Count>& counts) {
  std::vector<MPI_Count> starts = {0};
  for (const MPI_Count count : counts) starts.push_back(starts.back() + count);
  return starts;
}

IntArray wide(const std::vector<MPI_Count>& numbers) { return {numbers.data(), true}; }

int gather_lists(Comm& comm, const std::vector<int>& mine, Gathered& all) {
  const auto count = static_cast<MPI_Count>(mine.size());
  std::vector<MPI_Count> counts(at(comm.size()));
  if (const int error = coll::allgather_bytes(comm, &count, sizeof count, counts.data())) {
    return error;
  }
  all.starts = starts_of(counts);
  all.numbers.resize(static_cast<std::size_t>(all.starts.back()));
  Datatype* const number = to_datatype(MPI_INT);
  return impl::allgatherv({}, mine.data(), count, number, all.numbers.data(), wide(counts),
                          wide(all.starts), number, &comm);
}

// An edge on its way to one of its ends.
struct Traveller {
  int outgoing;  // Whether the receiver is its source.
  int other;     // The other end.
  int weight;
};
constexpr MPI_Count kTravellerInts = sizeof(Traveller) / sizeof(int);

// Brings bags[r] to rank r; arrived: from rank 0, 1, ... in order.
int exchange(Comm& comm, const std::vector<std::vector<Traveller>>& bags,
             std::vector<Traveller>& arrived) {
  std::vector<MPI_Count> out_counts;
  std::vector<Traveller> leaving;
  for (const std::vector<Traveller>& bag : bags) {
    out_counts.push_back(static_cast<MPI_Count>(bag.size()) * kTravellerInts);
    leaving.insert(leaving.end(), bag.begin(), bag.end());
  }
  std::vector<MPI_Count> in_counts(out_counts.size());
  Datatype* const count_type = to_datatype(MPI_COUNT);
  if (const int error = impl::alltoall({}, out_counts.data(), 1, count_type, in_counts.data(), 1,
                                       count_type, &comm)) {
    return error;
  }
  const std::vector<MPI_Count> out_starts = starts_of(out_counts);
  const std::vector<MPI_Count> in_starts = starts_of(in_counts);
  arrived.resize(static_cast<std::size_t>(in_starts.back() / kTravellerInts));
  Datatype* const number = to_datatype(MPI_INT);
  return impl::alltoallv({}, leaving.data(), wide(out_counts), wide(out_starts), number,
                         arrived.data(), wide(in_counts), wide(in_starts), number, &comm);
}

// With reordering: everybody learns the graph, and takes the neighbours of its new position.
int reseat(Comm& comm, Topology& graph, Seating& seating) {
  Gathered lists;
  if (const int error = gather_lists(comm, list_of(graph), lists)) return error;
  const auto list = [&lists](int rank) {
    const auto start = static_cast<std::size_t>(lists.starts[at(rank)]);
    const auto end = static_cast<std::size_t>(lists.starts[at(rank) + 1]);
    return std::span<const int>(lists.numbers).subspan(start, end - start);
  };
  std::vector<Edge> edges;
  for (int rank = 0; rank < comm.size(); ++rank) {
    const std::span<const int> numbers = list(rank);
    for (std::size_t i = 2 + 2 * at(numbers[0]); i < numbers.size(); i += 2) {
      edges.push_back({rank, numbers[i], numbers[i + 1]});
    }
  }
  if (const int error = seat(comm, comm.size(), true, edges, {}, seating)) return error;
  take_list(list(seating.position_of(comm.rank())), graph);
  return MPI_SUCCESS;
}

int make_graph(Comm& comm, std::shared_ptr<Topology> graph, const Info* info, bool reorder,
               Comm** newcomm) {
  Seating seating;
  const int error =
      reorder ? reseat(comm, *graph, seating) : seat(comm, comm.size(), false, {}, {}, seating);
  if (error != MPI_SUCCESS) return error;
  if (const int failed = make_seated(comm, seating, std::move(graph), newcomm)) return failed;
  take_hints(**newcomm, info);
  return MPI_SUCCESS;
}

void copy_first(const std::vector<int>& from, int room, int* to) {
  std::copy_n(from.begin(), std::min(from.size(), at(room)), to);
}

int check_weight_room(bool weighted, const int* weights, int room, const char* argument) {
  if (!weighted || weights == MPI_UNWEIGHTED || room == 0 || weights != nullptr) {
    return MPI_SUCCESS;
  }
  return fail(MPI_ERR_ARG, "{} is a null pointer; pass an array, or MPI_UNWEIGHTED", argument);
}

}  // namespace

namespace impl {

int dist_graph_create_adjacent(Comm* comm_old, int indegree, const int* sources,
                               const int* sourceweights, int outdegree, const int* destinations,
                               const int* destweights, Info* info, int reorder,
                               Comm** comm_dist_graph) {
  bool weighted_in = false;
  bool weighted_out = false;
  int wrong = check_ranks(sources, indegree, *comm_old, "sources");
  if (wrong == MPI_SUCCESS) {
    wrong = check_ranks(destinations, outdegree, *comm_old, "destinations");
  }
  if (wrong == MPI_SUCCESS) {
    wrong = check_weights(sourceweights, indegree, "sourceweights", weighted_in);
  }
  if (wrong == MPI_SUCCESS) {
    wrong = check_weights(destweights, outdegree, "destweights", weighted_out);
  }
  if (wrong == MPI_SUCCESS && weighted_in != weighted_out) {
    wrong = fail(MPI_ERR_ARG,
                 "only one of sourceweights and destweights is MPI_UNWEIGHTED; either both are, or "
                 "none");
  }
  if (const int error = agree(*comm_old, wrong)) return error;

  auto graph = std::make_shared<Topology>();
  graph->kind = Topology::Kind::kDistGraph;
  graph->weighted = weighted_in;
  graph->sources.assign(sources, sources + indegree);
  graph->destinations.assign(destinations, destinations + outdegree);
  if (weighted_in) {
    // MPI_WEIGHTS_EMPTY is no array.
    if (indegree > 0) graph->source_weights.assign(sourceweights, sourceweights + indegree);
    if (outdegree > 0) graph->destination_weights.assign(destweights, destweights + outdegree);
  }
  return make_graph(*comm_old, std::move(graph), info, reorder != 0, comm_dist_graph);
}

int dist_graph_create(Comm* comm_old, int n, const int* sources, const int* degrees,
                      const int* destinations, const int* weights, Info* info, int reorder,
                      Comm** comm_dist_graph) {
  int edges = 0;
  bool weighted = false;
  int wrong = check_ranks(sources, n, *comm_old, "sources");
  if (wrong == MPI_SUCCESS) wrong = count_edges(n, degrees, edges);
  if (wrong == MPI_SUCCESS && edges > 0 && destinations == nullptr) {
    wrong = fail(MPI_ERR_ARG, "destinations is a null pointer, but degrees add up to {}", edges);
  }
  if (wrong == MPI_SUCCESS) wrong = check_ranks(destinations, edges, *comm_old, "destinations");
  if (wrong == MPI_SUCCESS) wrong = check_weights(weights, edges, "weights", weighted);
  if (const int error = agree(*comm_old, wrong)) return error;

  std::vector<std::vector<Traveller>> bags(at(comm_old->size()));
  int edge = 0;
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < degrees[i]; ++k, ++edge) {
      const int weight = weighted ? weights[edge] : 1;
      bags[at(sources[i])].push_back({1, destinations[edge], weight});
      bags[at(destinations[edge])].push_back({0, sources[i], weight});
    }
  }
  std::vector<Traveller> arrived;
  if (const int error = exchange(*comm_old, bags, arrived)) return error;
  auto graph = std::make_shared<Topology>();
  graph->kind = Topology::Kind::kDistGraph;
  graph->weighted = weighted;
  for (const Traveller& one : arrived) {
    (one.outgoing != 0 ? graph->destinations : graph->sources).push_back(one.other);
    if (!weighted) continue;
    (one.outgoing != 0 ? graph->destination_weights : graph->source_weights).push_back(one.weight);
  }
  return make_graph(*comm_old, std::move(graph), info, reorder != 0, comm_dist_graph);
}

int dist_graph_neighbors_count(Comm* comm, int* indegree, int* outdegree, int* weighted) {
  const Topology* graph = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kDistGraph, &graph)) return error;
  *indegree = static_cast<int>(graph->sources.size());
  *outdegree = static_cast<int>(graph->destinations.size());
  *weighted = graph->weighted;
  return MPI_SUCCESS;
}

// Arrays that are too short get the first neighbours, as the standard says.
int dist_graph_neighbors(Comm* comm, int maxindegree, int* sources, int* sourceweights,
                         int maxoutdegree, int* destinations, int* destweights) {
  const Topology* graph = nullptr;
  if (const int error = find_topology(*comm, Topology::Kind::kDistGraph, &graph)) return error;
  const bool weighted = graph->weighted;
  if (const int error = check_weight_room(weighted, sourceweights, maxindegree, "sourceweights")) {
    return error;
  }
  if (const int error = check_weight_room(weighted, destweights, maxoutdegree, "destweights")) {
    return error;
  }
  copy_first(graph->sources, maxindegree, sources);
  copy_first(graph->destinations, maxoutdegree, destinations);
  if (weighted && sourceweights != MPI_UNWEIGHTED) {
    copy_first(graph->source_weights, maxindegree, sourceweights);
  }
  if (weighted && destweights != MPI_UNWEIGHTED) {
    copy_first(graph->destination_weights, maxoutdegree, destweights);
  }
  return MPI_SUCCESS;
}

}  // namespace impl
}  // namespace tern::mpi
