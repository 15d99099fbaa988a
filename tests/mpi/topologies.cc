// tests/mpi/topologies.cc - cartesian, graph and distributed graph topologies.
//
// Grids and graphs are drawn from the seed, so every rank knows what the answers must be. Messages
// between neighbours prove that ranks and positions belong together.
#include <numeric>
#include <tuple>

#include "check.h"

namespace {

using check::Random;
using Ints = std::vector<int>;

std::string list(const Ints& numbers) {
  std::string text;
  for (int n : numbers) text += std::to_string(n) + " ";
  return text;
}

int topology_of(MPI_Comm comm) {
  int status = -1;
  EXPECT_OK(MPI_Topo_test(comm, &status));
  return status;
}

int rank_in(MPI_Comm comm) {
  int rank = -1;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

int size_of(MPI_Comm comm) {
  int size = -1;
  MPI_Comm_size(comm, &size);
  return size;
}

// How many processes got a communicator.
int count_members(MPI_Comm comm) {
  int mine = comm != MPI_COMM_NULL, all = -1;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  return all;
}

// --- MPI_Dims_create ---

// Of all non-increasing factors those that differ least; then with the smallest sum; then with the
// largest smallest one.
auto spread(const Ints& factors) {
  return std::tuple(factors.front() - factors.back(),
                    std::accumulate(factors.begin(), factors.end(), 0LL), -factors.back());
}

void best_factors(int rest, int left, int largest, Ints& now, Ints& best) {
  if (left == 0) {
    if (rest == 1 && !now.empty() && (best.empty() || spread(now) < spread(best))) best = now;
    return;
  }
  for (int factor = 1; factor <= std::min(rest, largest); ++factor) {
    if (rest % factor != 0) continue;
    now.push_back(factor);
    best_factors(rest / factor, left - 1, factor, now, best);
    now.pop_back();
  }
}

void dimensions() {
  for (int round = 0; round < 300; ++round) {
    Random random(1, round);
    const int ndims = random.between(1, 4);
    Ints given(ndims, 0);
    int fixed = 1, open = 0;
    for (int& dim : given) {
      if (random.chance(25)) {
        dim = random.between(1, 4);
        fixed *= dim;
      } else {
        ++open;
      }
    }
    const int rest = open == 0 ? 1 : random.between(1, 300);
    Ints dims = given, chosen;
    if (!EXPECT_OK(MPI_Dims_create(rest * fixed, ndims, dims.data()))) continue;
    long long product = 1;
    for (int i = 0; i < ndims; ++i) {
      product *= dims[i];
      EXPECT(given[i] == 0 || given[i] == dims[i]);
      if (given[i] == 0) chosen.push_back(dims[i]);
    }
    EXPECT_EQ(product, static_cast<long long>(rest) * fixed);
    EXPECT_MSG(std::is_sorted(chosen.rbegin(), chosen.rend()), "%s", list(dims).c_str());
    if (!check::library_is_tern()) continue;  // How close to each other is close enough varies.
    Ints now, best;
    best_factors(rest, open, rest, now, best);
    EXPECT_MSG(chosen == best, "%d in %d: %sbest %s", rest, open, list(chosen).c_str(),
               list(best).c_str());
  }
  if (check::library_is("MPICH")) return;  // MPICH 4.0 breaks down on the numbers that follow.
  // Awkward numbers must not take for ever either.
  for (int nodes : {2147483647, 1 << 30, 2095133040, 1073741789 * 2, 223092870}) {
    for (int ndims : {1, 2, 3, 5, 9, 30}) {
      Ints dims(ndims, 0);
      EXPECT_OK(MPI_Dims_create(nodes, ndims, dims.data()));
      long long product = 1;
      for (int dim : dims) product *= dim;
      EXPECT_EQ(product, static_cast<long long>(nodes));
    }
  }
}

// --- grids ---

struct Grid {
  Ints dims, periods;
  int cells() const {
    int product = 1;
    for (int dim : dims) product *= dim;
    return product;
  }
  Ints coords(int rank) const {
    Ints result(dims.size());
    for (std::size_t i = dims.size(); i-- > 0; rank /= dims[i]) result[i] = rank % dims[i];
    return result;
  }
  // MPI_PROC_NULL outside.
  int rank(Ints coords) const {
    int result = 0;
    for (std::size_t i = 0; i < dims.size(); ++i) {
      if (periods[i]) coords[i] = ((coords[i] % dims[i]) + dims[i]) % dims[i];
      if (coords[i] < 0 || coords[i] >= dims[i]) return MPI_PROC_NULL;
      result = result * dims[i] + coords[i];
    }
    return result;
  }
};

Grid random_grid(Random& random) {
  Grid grid;
  const int ndims = random.between(1, 4);
  int left = check::size;
  for (int i = 0; i < ndims; ++i) {
    grid.dims.push_back(random.between(1, left));
    left /= grid.dims.back();
    grid.periods.push_back(random.below(2));
  }
  random.shuffle(grid.dims);
  return grid;
}

void expect_grid(MPI_Comm comm, const Grid& grid) {
  const int ndims = static_cast<int>(grid.dims.size()), rank = rank_in(comm);
  EXPECT_EQ(topology_of(comm), static_cast<int>(MPI_CART));
  EXPECT_EQ(size_of(comm), grid.cells());
  int found = -1;
  EXPECT_OK(MPI_Cartdim_get(comm, &found));
  EXPECT_EQ(found, ndims);
  // One element more than needed, which must stay as it is.
  Ints dims(ndims + 1, 77), periods(ndims + 1, 77), coords(ndims + 1, 77);
  EXPECT_OK(MPI_Cart_get(comm, ndims, dims.data(), periods.data(), coords.data()));
  EXPECT(dims.back() == 77 && periods.back() == 77 && coords.back() == 77);
  dims.pop_back();
  coords.pop_back();
  for (int i = 0; i < ndims; ++i) EXPECT_EQ(periods[i] != 0, grid.periods[i] != 0);
  EXPECT_MSG(dims == grid.dims, "dims %s", list(dims).c_str());
  EXPECT_MSG(coords == grid.coords(rank), "coords %s of rank %d", list(coords).c_str(), rank);
  for (int other = 0; other < grid.cells(); ++other) {
    Ints theirs(ndims + 1, 77);
    EXPECT_OK(MPI_Cart_coords(comm, other, ndims, theirs.data()));
    EXPECT_EQ(theirs.back(), 77);
    theirs.pop_back();
    EXPECT(theirs == grid.coords(other));
    for (int i = 0; i < ndims; ++i) {  // Coordinates of periodic dimensions wrap.
      if (grid.periods[i]) theirs[i] += grid.dims[i] * ((other + i) % 5 - 2);
    }
    int back = -1;
    EXPECT_OK(MPI_Cart_rank(comm, theirs.data(), &back));
    EXPECT_EQ(back, other);
  }
}

void expect_shifts(MPI_Comm comm, const Grid& grid) {
  const int ndims = static_cast<int>(grid.dims.size()), rank = rank_in(comm);
  for (int direction = 0; direction < ndims; ++direction) {
    for (int distance : {1, -1, 0, 2, -3, 1000000007}) {
      int source = -77, dest = -77;
      EXPECT_OK(MPI_Cart_shift(comm, direction, distance, &source, &dest));
      Ints from = grid.coords(rank), to = from;
      // In 64 bits, and back into the grid, what 32 bits could not hold.
      const long long extent = grid.dims[direction];
      const auto moved = [&](int at, long long by) {
        if (grid.periods[direction]) by %= extent;
        return static_cast<int>(std::clamp(at + by, -2147483648LL, 2147483647LL));
      };
      to[direction] = moved(to[direction], distance);
      from[direction] = moved(from[direction], -static_cast<long long>(distance));
      EXPECT_MSG(dest == grid.rank(to), "shift %d by %d: dest %d", direction, distance, dest);
      EXPECT_MSG(source == grid.rank(from), "shift %d by %d: source %d", direction, distance,
                 source);
      int got = -1;
      EXPECT_OK(MPI_Sendrecv(&rank, 1, MPI_INT, dest, 3, &got, 1, MPI_INT, source, 3, comm,
                             MPI_STATUS_IGNORE));
      EXPECT_EQ(got, source == MPI_PROC_NULL ? -1 : source);
    }
  }
}

void expect_subgrids(MPI_Comm comm, const Grid& grid) {
  const int ndims = static_cast<int>(grid.dims.size());
  // MPICH 4.0 makes no grid without dimensions here.
  for (int kept = check::library_is("MPICH") ? 1 : 0; kept < 1 << ndims; ++kept) {
    Grid sub;
    Ints remain(ndims), mine = grid.coords(rank_in(comm)), rest;
    for (int i = 0; i < ndims; ++i) {
      remain[i] = kept >> i & 1;
      if (!remain[i]) continue;
      sub.dims.push_back(grid.dims[i]);
      sub.periods.push_back(grid.periods[i]);
      rest.push_back(mine[i]);
    }
    MPI_Comm part = MPI_COMM_NULL;
    EXPECT_OK(MPI_Cart_sub(comm, remain.data(), &part));
    if (!EXPECT(part != MPI_COMM_NULL)) continue;
    EXPECT_EQ(size_of(part), sub.cells());
    EXPECT_EQ(rank_in(part), sub.rank(rest));
    if (!sub.dims.empty()) {
      expect_grid(part, sub);
      expect_shifts(part, sub);
    }
    EXPECT_OK(MPI_Comm_free(&part));
  }
}

void grids() {
  for (int round = 0; round < 12; ++round) {
    Random random(2, round);
    const Grid grid = random_grid(random);
    const int ndims = static_cast<int>(grid.dims.size());
    MPI_Comm comm = MPI_COMM_WORLD, copy = MPI_COMM_NULL;
    EXPECT_OK(MPI_Cart_create(MPI_COMM_WORLD, ndims, grid.dims.data(), grid.periods.data(),
                              round % 2, &comm));
    EXPECT_EQ(count_members(comm), grid.cells());
    int place = -77;
    EXPECT_OK(MPI_Cart_map(MPI_COMM_WORLD, ndims, grid.dims.data(), grid.periods.data(), &place));
    if (!check::library_is("Open MPI")) {  // Open MPI 4.1 gives places outside of the grid.
      EXPECT(place == MPI_UNDEFINED || (place >= 0 && place < grid.cells()));
    }
    if (comm == MPI_COMM_NULL) continue;
    if (round % 2 == 0) EXPECT_EQ(rank_in(comm), check::rank);
    expect_grid(comm, grid);
    expect_shifts(comm, grid);
    EXPECT_OK(MPI_Comm_dup(comm, &copy));
    EXPECT_OK(MPI_Comm_free(&comm));
    expect_grid(copy, grid);
    MPI_Request request;
    EXPECT_OK(MPI_Comm_idup(copy, &comm, &request));
    EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));
    EXPECT_OK(MPI_Comm_free(&copy));
    expect_grid(comm, grid);
    expect_subgrids(comm, grid);
    EXPECT_OK(MPI_Comm_split(comm, 0, 0, &copy));  // Keeps no topology.
    EXPECT_EQ(topology_of(copy), MPI_UNDEFINED);
    EXPECT_OK(MPI_Comm_free(&copy));
    EXPECT_OK(MPI_Comm_free(&comm));
  }
}

void grid_without_dimensions() {
  int nothing = 0, rank = -1;
  MPI_Comm comm = MPI_COMM_WORLD;
  EXPECT_OK(MPI_Cart_create(MPI_COMM_WORLD, 0, &nothing, &nothing, 0, &comm));
  EXPECT_EQ(count_members(comm), 1);
  EXPECT_EQ(comm != MPI_COMM_NULL, check::rank == 0);
  if (comm == MPI_COMM_NULL) return;
  EXPECT_EQ(topology_of(comm), static_cast<int>(MPI_CART));
  EXPECT_OK(MPI_Cart_rank(comm, &nothing, &rank));
  EXPECT_EQ(rank, 0);
  EXPECT_OK(MPI_Comm_free(&comm));
}

// --- graphs ---

void graphs() {
  for (int round = 0; round < 12; ++round) {
    Random random(3, round);
    const int nodes = random.between(1, check::size);
    std::vector<Ints> neighbors(nodes);
    for (int a = 0; a < nodes; ++a) {
      for (int b = 0; b <= a; ++b) {
        if (!random.chance(40)) continue;
        neighbors[a].push_back(b);
        if (a != b) neighbors[b].push_back(a);
      }
    }
    Ints index, edges;
    for (const Ints& some : neighbors) {
      edges.insert(edges.end(), some.begin(), some.end());
      index.push_back(static_cast<int>(edges.size()));
    }
    edges.push_back(-5);  // Not of the graph; and data() is never null.
    MPI_Comm comm = MPI_COMM_WORLD;
    int place = -77;
    EXPECT_OK(MPI_Graph_map(MPI_COMM_WORLD, nodes, index.data(), edges.data(), &place));
    if (!check::library_is("Open MPI")) {
      EXPECT(place == MPI_UNDEFINED || (place >= 0 && place < nodes));
    }
    EXPECT_OK(
        MPI_Graph_create(MPI_COMM_WORLD, nodes, index.data(), edges.data(), round % 2, &comm));
    EXPECT_EQ(count_members(comm), nodes);
    if (comm == MPI_COMM_NULL) continue;
    edges.pop_back();
    EXPECT_EQ(topology_of(comm), static_cast<int>(MPI_GRAPH));
    EXPECT_EQ(size_of(comm), nodes);
    int found_nodes = -1, found_edges = -1;
    EXPECT_OK(MPI_Graphdims_get(comm, &found_nodes, &found_edges));
    EXPECT_EQ(found_nodes, nodes);
    EXPECT_EQ(found_edges, static_cast<int>(edges.size()));
    Ints found_index(nodes), all_edges(edges.size() + 1, 77);
    EXPECT_OK(MPI_Graph_get(comm, nodes, found_edges, found_index.data(), all_edges.data()));
    EXPECT_EQ(all_edges.back(), 77);
    all_edges.pop_back();
    EXPECT(found_index == index && all_edges == edges);
    for (int node = 0; node < nodes; ++node) {
      int count = -1;
      EXPECT_OK(MPI_Graph_neighbors_count(comm, node, &count));
      EXPECT_EQ(count, static_cast<int>(neighbors[node].size()));
      Ints some(count + 1, 77);
      EXPECT_OK(MPI_Graph_neighbors(comm, node, count, some.data()));
      some.pop_back();
      EXPECT(some == neighbors[node]);
    }
    EXPECT_OK(MPI_Comm_free(&comm));
  }
}

// --- distributed graphs ---

struct Link {
  int from, to, weight;
  bool operator<(const Link& other) const {
    return std::tie(from, to, weight) < std::tie(other.from, other.to, other.weight);
  }
  bool operator==(const Link&) const = default;
};

std::vector<Link> random_links(Random& random) {
  std::vector<Link> links;
  const int count = random.below(3 * check::size + 1);
  for (int i = 0; i < count; ++i) {
    links.push_back({random.below(check::size), random.below(check::size), random.below(100)});
  }
  return links;
}

// What the communicator says of this rank's edges is what the graph has, in any order.
void expect_links(MPI_Comm comm, const std::vector<Link>& links, bool weighted) {
  const int rank = rank_in(comm);
  EXPECT_EQ(topology_of(comm), static_cast<int>(MPI_DIST_GRAPH));
  std::vector<Link> in, out, in_found, out_found;
  for (const Link& link : links) {
    if (link.to == rank) in.push_back(link);
    if (link.from == rank) out.push_back(link);
  }
  int indegree = -1, outdegree = -1, flag = -1;
  EXPECT_OK(MPI_Dist_graph_neighbors_count(comm, &indegree, &outdegree, &flag));
  EXPECT_EQ(flag != 0, weighted);
  if (!EXPECT_EQ(indegree, static_cast<int>(in.size())) ||
      !EXPECT_EQ(outdegree, static_cast<int>(out.size()))) {
    return;
  }
  Ints sources(indegree + 1), in_weights(indegree + 1, -1);
  Ints dests(outdegree + 1), out_weights(outdegree + 1, -1);
  EXPECT_OK(MPI_Dist_graph_neighbors(comm, indegree, sources.data(),
                                     weighted ? in_weights.data() : MPI_UNWEIGHTED, outdegree,
                                     dests.data(), weighted ? out_weights.data() : MPI_UNWEIGHTED));
  for (int i = 0; i < indegree; ++i) in_found.push_back({sources[i], rank, in_weights[i]});
  for (int i = 0; i < outdegree; ++i) out_found.push_back({rank, dests[i], out_weights[i]});
  for (std::vector<Link>* some : {&in, &out, &in_found, &out_found}) {
    for (Link& link : *some) {
      if (!weighted) link.weight = 0;
    }
    std::sort(some->begin(), some->end());
  }
  EXPECT(in_found == in);
  EXPECT(out_found == out);
}

void distributed_graphs() {
  for (int round = 0; round < 16; ++round) {
    Random random(4, round);
    const bool weighted = random.below(2), reorder = random.below(2);
    const std::vector<Link> links = random_links(random);
    // Any process may describe any edge.
    Ints sources, degrees, dests, weights;
    for (std::size_t i = 0; i < links.size(); ++i) {
      if (Random(5, round, i).below(check::size) != check::rank) continue;
      sources.push_back(links[i].from);
      degrees.push_back(1);
      dests.push_back(links[i].to);
      weights.push_back(links[i].weight);
    }
    const int n = static_cast<int>(sources.size());
    sources.push_back(-5);
    degrees.push_back(-5);
    dests.push_back(-5);
    weights.push_back(-5);
    int* weight_list = !weighted ? MPI_UNWEIGHTED : n == 0 ? MPI_WEIGHTS_EMPTY : weights.data();
    MPI_Comm comm = MPI_COMM_WORLD, copy = MPI_COMM_NULL;
    EXPECT_OK(MPI_Dist_graph_create(MPI_COMM_WORLD, n, sources.data(), degrees.data(), dests.data(),
                                    weight_list, MPI_INFO_NULL, reorder, &comm));
    if (!reorder) EXPECT_EQ(rank_in(comm), check::rank);
    expect_links(comm, links, weighted);
    EXPECT_OK(MPI_Comm_dup(comm, &copy));
    EXPECT_OK(MPI_Comm_free(&comm));
    expect_links(copy, links, weighted);
    EXPECT_OK(MPI_Comm_free(&copy));
  }
}

// Several degrees per source; adjacent form; order of neighbours kept; short arrays.
void adjacent_graphs() {
  for (int round = 0; round < 16; ++round) {
    Random random(6, round);
    const bool weighted = random.below(2), reorder = random.below(2);
    const std::vector<Link> links = random_links(random);
    Ints sources, in_weights, dests, out_weights;
    for (const Link& link : links) {
      if (link.to == check::rank) {
        sources.push_back(link.from);
        in_weights.push_back(link.weight);
      }
      if (link.from == check::rank) {
        dests.push_back(link.to);
        out_weights.push_back(link.weight);
      }
    }
    const int indegree = static_cast<int>(sources.size());
    const int outdegree = static_cast<int>(dests.size());
    for (Ints* ints : {&sources, &in_weights, &dests, &out_weights}) ints->push_back(-5);
    MPI_Comm comm = MPI_COMM_WORLD;
    EXPECT_OK(MPI_Dist_graph_create_adjacent(
        MPI_COMM_WORLD, indegree, sources.data(), weighted ? in_weights.data() : MPI_UNWEIGHTED,
        outdegree, dests.data(), weighted ? out_weights.data() : MPI_UNWEIGHTED, MPI_INFO_NULL,
        reorder, &comm));
    expect_links(comm, links, weighted);
    if (rank_in(comm) == check::rank && indegree > 0) {
      Ints found(indegree), others(outdegree + 1);
      int nothing = 0;
      EXPECT_OK(MPI_Dist_graph_neighbors(comm, indegree, found.data(), MPI_UNWEIGHTED, outdegree,
                                         others.data(), MPI_UNWEIGHTED));
      EXPECT(std::equal(found.begin(), found.end(), sources.begin()));
      if (check::library_is_tern()) {
        Ints first(2, 77);
        EXPECT_OK(MPI_Dist_graph_neighbors(comm, 1, first.data(), MPI_UNWEIGHTED, 0, &nothing,
                                           MPI_UNWEIGHTED));
        EXPECT(first[0] == sources[0] && first[1] == 77);
      }
    }
    EXPECT_OK(MPI_Comm_free(&comm));
  }
  // A source with several destinations, and one with none.
  Ints sources = {0, check::size - 1}, degrees = {check::size, 0}, dests(check::size);
  for (int i = 0; i < check::size; ++i) dests[i] = i;
  MPI_Comm comm = MPI_COMM_NULL;
  EXPECT_OK(MPI_Dist_graph_create(MPI_COMM_WORLD, check::rank == 0 ? 2 : 0, sources.data(),
                                  degrees.data(), dests.data(), MPI_UNWEIGHTED, MPI_INFO_NULL, 0,
                                  &comm));
  std::vector<Link> star;
  for (int i = 0; i < check::size; ++i) star.push_back({0, i, 0});
  expect_links(comm, star, false);
  EXPECT_OK(MPI_Comm_free(&comm));
}

// --- mistakes ---

void refusals() {
  if (!check::library_is_tern()) return;  // Others check less, and with other classes.
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  MPI_Comm world = MPI_COMM_WORLD, comm = MPI_COMM_NULL, cart = MPI_COMM_NULL;
  int dims[2] = {0, 5}, periods[2] = {1, 0}, n = 0, list[4] = {};
  EXPECT_CLASS(MPI_Dims_create(0, 2, dims), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Dims_create(7, 2, dims), MPI_ERR_DIMS);
  dims[0] = 3;
  EXPECT_CLASS(MPI_Dims_create(30, 2, dims), MPI_ERR_DIMS);
  dims[0] = -1;
  EXPECT_CLASS(MPI_Dims_create(30, 2, dims), MPI_ERR_DIMS);
  EXPECT_CLASS(MPI_Cart_create(world, 2, dims, periods, 0, &comm), MPI_ERR_DIMS);
  dims[0] = dims[1] = 65536;
  EXPECT_CLASS(MPI_Cart_create(world, 2, dims, periods, 0, &comm), MPI_ERR_DIMS);
  EXPECT_CLASS(MPI_Cart_map(world, 2, dims, periods, &n), MPI_ERR_DIMS);
  EXPECT_CLASS(MPI_Cart_create(world, -1, dims, periods, 0, &comm), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Cart_create(world, 1, nullptr, periods, 0, &comm), MPI_ERR_ARG);
  for (int call = 0; call < 5; ++call) {  // No topology at all.
    const int error = call == 0   ? MPI_Cartdim_get(world, &n)
                      : call == 1 ? MPI_Cart_shift(world, 0, 1, &n, list)
                      : call == 2 ? MPI_Graphdims_get(world, &n, list)
                      : call == 3 ? MPI_Dist_graph_neighbors_count(world, &n, list, list)
                                  : MPI_Cart_sub(world, list, &comm);
    EXPECT_CLASS(error, MPI_ERR_TOPOLOGY);
  }
  dims[0] = 1;
  dims[1] = check::size;
  EXPECT_OK(MPI_Cart_create(world, 2, dims, periods, 0, &cart));
  EXPECT_CLASS(MPI_Cart_get(cart, 1, list, list, list), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Cart_coords(cart, 0, 1, list), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Cart_coords(cart, check::size, 2, list), MPI_ERR_RANK);
  EXPECT_CLASS(MPI_Cart_shift(cart, 2, 1, &n, list), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Cart_shift(cart, -1, 1, &n, list), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Cart_rank(cart, nullptr, &n), MPI_ERR_ARG);
  const int outside[2] = {0, check::size};
  EXPECT_CLASS(MPI_Cart_rank(cart, outside, &n), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Graphdims_get(cart, &n, list), MPI_ERR_TOPOLOGY);
  EXPECT_OK(MPI_Comm_free(&cart));

  const int index[2] = {2, 1}, edges[2] = {0, 1};
  EXPECT_CLASS(MPI_Graph_create(MPI_COMM_SELF, 1, index, edges, 0, &comm), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Graph_create(MPI_COMM_SELF, 2, index, edges, 0, &comm), MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Graph_create(MPI_COMM_SELF, 1, index, nullptr, 0, &comm), MPI_ERR_ARG);
  // Wrong on one process: an error on all, and no hang.
  const int rank0[1] = {check::rank == 0 ? check::size : 0}, one[1] = {1};
  EXPECT_CLASS(
      MPI_Dist_graph_create(world, 1, rank0, one, edges, MPI_UNWEIGHTED, MPI_INFO_NULL, 0, &comm),
      MPI_ERR_RANK);
  const int negative[1] = {-1};
  EXPECT_CLASS(MPI_Dist_graph_create(world, 1, edges, negative, edges, MPI_UNWEIGHTED,
                                     MPI_INFO_NULL, 0, &comm),
               MPI_ERR_ARG);
  EXPECT_CLASS(
      MPI_Dist_graph_create(world, 1, edges, one, edges, negative, MPI_INFO_NULL, 0, &comm),
      MPI_ERR_ARG);
  EXPECT_CLASS(MPI_Dist_graph_create_adjacent(world, 1, edges, one, 1, edges, MPI_UNWEIGHTED,
                                              MPI_INFO_NULL, 0, &comm),
               MPI_ERR_ARG);
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_ARE_FATAL);
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"dimensions", dimensions},
                      {"grids", grids},
                      {"grid_without_dimensions", grid_without_dimensions},
                      {"graphs", graphs},
                      {"distributed_graphs", distributed_graphs},
                      {"adjacent_graphs", adjacent_graphs},
                      {"refusals", refusals}});
}
