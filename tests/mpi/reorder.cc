// tests/mpi/reorder.cc - topologies made with `reorder` bring neighbours together.
//
// The ranks are bound to two cores in turns, so that in their own order every neighbour is on the
// other one. Where the library sees these cores (MPI_Comm_split_type says so), a line shall cross
// from one to the other once and a ring twice, however their positions are numbered. Elsewhere, and
// with libraries that do not reorder, no order may be worse than the one before. On several hosts
// the way between them counts for more, and nothing is compared.
#include <sched.h>

#include <numeric>

#include "check.h"

namespace {

using check::Random;
using Ints = std::vector<int>;

// Binds this rank to one of two cores for as long as it lives; nothing where there is only one.
class Bound {
 public:
  Bound() {
    sched_getaffinity(0, sizeof before_, &before_);
    int cpus[2] = {-1, -1};
    for (int cpu = 0, found = 0; cpu < CPU_SETSIZE && found < 2; ++cpu) {
      if (CPU_ISSET(cpu, &before_)) cpus[found++] = cpu;
    }
    if (cpus[1] < 0) return;
    side_ = check::rank % 2;
    cpu_set_t mine;
    CPU_ZERO(&mine);
    CPU_SET(cpus[side_], &mine);
    sched_setaffinity(0, sizeof mine, &mine);
  }
  ~Bound() { sched_setaffinity(0, sizeof before_, &before_); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

  int side() const { return side_; }

 private:
  cpu_set_t before_{};
  int side_ = 0;
};

// Of all ranks of a communicator, in their order.
Ints sides_in(MPI_Comm comm, int mine) {
  int size = 0;
  MPI_Comm_size(comm, &size);
  Ints sides(size);
  EXPECT_OK(MPI_Allgather(&mine, 1, MPI_INT, sides.data(), 1, MPI_INT, comm));
  return sides;
}

using Edges = std::vector<std::pair<int, int>>;

int crossings(const Edges& edges, const Ints& sides) {
  return static_cast<int>(std::count_if(edges.begin(), edges.end(), [&](const auto& e) {
    return sides[e.first] != sides[e.second];
  }));
}

// Whether the library knows that the two sides are two cores.
bool sees_sides([[maybe_unused]] const Ints& sides) {
  bool sees = false;
#if MPI_VERSION >= 4
  if (check::library_is_tern()) {
    MPI_Info info = MPI_INFO_NULL;
    MPI_Comm core = MPI_COMM_NULL;
    MPI_Info_create(&info);
    MPI_Info_set(info, "mpi_hw_resource_type", "hwloc://Core");
    EXPECT_OK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_HW_GUIDED, 0, info, &core));
    MPI_Info_free(&info);
    if (core != MPI_COMM_NULL) {
      int members = 0;
      MPI_Comm_size(core, &members);
      sees = members == std::count(sides.begin(), sides.end(), sides[check::rank]);
      MPI_Comm_free(&core);
    }
  }
#endif
  int mine = sees ? 1 : 0, all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  return all != 0 && std::count(sides.begin(), sides.end(), 1) > 0;
}

bool on_one_host() {
  MPI_Comm host = MPI_COMM_NULL;
  int members = 0;
  EXPECT_OK(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host));
  MPI_Comm_size(host, &members);
  MPI_Comm_free(&host);
  int mine = members == check::size ? 1 : 0, all = 0;
  MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
  return all != 0;
}

// A path through all positions in a drawn order, closed or not.
Edges drawn_path(Random& random, bool closed) {
  Ints path(check::size);
  std::iota(path.begin(), path.end(), 0);
  for (int i = check::size - 1; i > 0; --i) std::swap(path[i], path[random.below(i + 1)]);
  Edges edges;
  for (int i = 0; i + 1 < check::size; ++i) edges.push_back({path[i], path[i + 1]});
  if (closed && check::size > 2) edges.push_back({path.back(), path.front()});
  return edges;
}

void expect_near(MPI_Comm comm, const Edges& edges, int side, int best, const char* what) {
  const Ints before = sides_in(MPI_COMM_WORLD, side);
  const Ints after = sides_in(comm, side);
  if (!on_one_host()) return;
  const int had = crossings(edges, before), has = crossings(edges, after);
  EXPECT_MSG(has <= had, "%s: %d edges between cores, %d in the old order", what, has, had);
  if (sees_sides(before)) {
    EXPECT_MSG(has == best, "%s: %d edges between cores, not %d", what, has, best);
  }
}

void grids() {
  const Bound bound;
  for (const int periodic : {0, 1}) {
    const int n = check::size;
    MPI_Comm comm = MPI_COMM_NULL;
    EXPECT_OK(MPI_Cart_create(MPI_COMM_WORLD, 1, &n, &periodic, 1, &comm));
    Edges edges;
    for (int i = 0; i + 1 < n; ++i) edges.push_back({i, i + 1});
    if (periodic != 0 && n > 2) edges.push_back({n - 1, 0});
    expect_near(comm, edges, bound.side(),
                n < 2                    ? 0
                : periodic != 0 && n > 2 ? 2
                                         : 1,
                periodic != 0 ? "ring" : "line");
    EXPECT_OK(MPI_Comm_free(&comm));
  }
}

void graphs() {
  const Bound bound;
  for (int round = 0; round < 6; ++round) {
    Random random(1, round);
    const bool closed = round % 2 != 0;
    const Edges edges = drawn_path(random, closed);
    Ints sources, degrees, dests;
    for (const auto& [from, to] : edges) {
      if (to % check::size != check::rank) continue;  // Any process may describe any edge.
      sources.push_back(from);
      degrees.push_back(1);
      dests.push_back(to);
    }
    MPI_Comm comm = MPI_COMM_NULL;
    EXPECT_OK(MPI_Dist_graph_create(MPI_COMM_WORLD, static_cast<int>(sources.size()),
                                    sources.data(), degrees.data(), dests.data(), MPI_UNWEIGHTED,
                                    MPI_INFO_NULL, 1, &comm));
    expect_near(comm, edges, bound.side(),
                check::size < 2             ? 0
                : closed && check::size > 2 ? 2
                                            : 1,
                "graph");
    EXPECT_OK(MPI_Comm_free(&comm));
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv, {{"grids", grids}, {"graphs", graphs}});
}
