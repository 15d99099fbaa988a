// tests/mpi/coll_neighbor.cc - neighbourhood collectives in all forms, on grids and on graphs with
// loops and repeated edges.
//
// Every edge has a key that both of its ends can compute: in a grid the direction, in a graph how
// many edges between the same two processes come before it. What travels along an edge, and how
// much, is a pure function of the ends and the key.
#include "check.h"

namespace {

using check::Random;
using Words = std::vector<std::uint64_t>;

struct End {
  int rank;  // In the communicator; MPI_PROC_NULL: there is none.
  int key;
};

struct Place {
  MPI_Comm comm = MPI_COMM_NULL;
  int me = 0;
  std::vector<End> in, out;
};

enum class Form { kBlocking, kNonblocking, kPersistent };
int form_count() { return MPI_AT_LEAST(4, 0) && !check::library_is("MPICH") ? 3 : 2; }
#if MPI_AT_LEAST(4, 0)
#define PERSISTENT(call) call
#else
#define PERSISTENT(call) MPI_ERR_OTHER
#endif

// Completes the call, and for persistent forms runs it twice more.
#define RUN(form, Name, ...)                                                                     \
  do {                                                                                           \
    MPI_Request request = MPI_REQUEST_NULL;                                                      \
    switch (form) {                                                                              \
      case Form::kBlocking:                                                                      \
        EXPECT_OK(MPI_Neighbor_##Name(__VA_ARGS__));                                             \
        break;                                                                                   \
      case Form::kNonblocking:                                                                   \
        EXPECT_OK(MPI_Ineighbor_##Name(__VA_ARGS__, &request));                                  \
        EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));                                        \
        break;                                                                                   \
      default:                                                                                   \
        EXPECT_OK(PERSISTENT(MPI_Neighbor_##Name##_init(__VA_ARGS__, MPI_INFO_NULL, &request))); \
        for (int run = 0; run < 3; ++run) {                                                      \
          EXPECT_OK(MPI_Start(&request));                                                        \
          EXPECT_OK(MPI_Wait(&request, MPI_STATUS_IGNORE));                                      \
        }                                                                                        \
        EXPECT_OK(MPI_Request_free(&request));                                                   \
    }                                                                                            \
  } while (false)

struct Case {
  int id;
  const Place& place;
  Form form;

  std::uint64_t word(int from, int to, int key, int k) const {
    return check::mix(check::mix(check::mix(check::seed + id) + from * 1000 + key) + to * 7919 + k);
  }
  int length(int from, int to, int key) const {
    Random random(40, id, from, to, key);
    return random.chance(20) ? 0 : random.below(random.chance(10) ? 3000 : 30);
  }
  void fill(Words& words, std::size_t at, int count, int to, int key) const {
    for (int k = 0; k < count; ++k) words[at + k] = word(place.me, to, key, k);
  }
  void expect(const Words& words, std::size_t at, int count, int from, int to, int key,
              const char* what) const {
    for (int k = 0; k < count; ++k) {
      if (words[at + k] == word(from, to, key, k)) continue;
      EXPECT_MSG(false, "%s: block of %d from %d (key %d) is wrong at %d (case %d)", what, count,
                 from, key, k, id);
      return;
    }
    EXPECT(true);
  }
};

// Blocks along edges, with gaps between them. All arrays have one element more than there are
// edges: some MPIs look at the first one, or mind a null pointer, where there are none.
struct Blocks {
  std::vector<int> counts{0}, displs{0};
  std::vector<MPI_Aint> bytes{0};
  std::vector<MPI_Datatype> types{MPI_UINT64_T};
  Words data{0};

  // Returns where the block begins.
  int add(int count) {
    const int start = static_cast<int>(data.size());
    counts.back() = count;
    displs.back() = start;
    bytes.back() = 8 * start;
    counts.push_back(0);
    displs.push_back(0);
    bytes.push_back(0);
    types.push_back(MPI_UINT64_T);
    data.resize(data.size() + count + 1);
    return start;
  }
};

void allgathers(const Case& c) {
  const int each = c.length(0, 0, 0);
  Words own(each + 1), got(each * c.place.in.size() + 1);
  c.fill(own, 0, each, -1, 0);
  RUN(c.form, allgather, own.data(), each, MPI_UINT64_T, got.data(), each, MPI_UINT64_T,
      c.place.comm);
  for (std::size_t i = 0; i < c.place.in.size(); ++i) {
    const int from = c.place.in[i].rank;
    if (from != MPI_PROC_NULL) c.expect(got, i * each, each, from, -1, 0, "allgather");
  }
  const int length = c.length(c.place.me, 0, 1);
  Words mine(length + 1);
  c.fill(mine, 0, length, -1, 1);
  Blocks in;
  for (const End& end : c.place.in) in.add(end.rank < 0 ? 0 : c.length(end.rank, 0, 1));
  RUN(c.form, allgatherv, mine.data(), length, MPI_UINT64_T, in.data.data(), in.counts.data(),
      in.displs.data(), MPI_UINT64_T, c.place.comm);
  for (std::size_t i = 0; i < c.place.in.size(); ++i) {
    c.expect(in.data, in.displs[i], in.counts[i], c.place.in[i].rank, -1, 1, "allgatherv");
  }
}

void alltoalls(const Case& c) {
  const int each = c.length(0, 0, 0);
  const int me = c.place.me;
  Words give(each * c.place.out.size() + 1), got(each * c.place.in.size() + 1);
  for (std::size_t i = 0; i < c.place.out.size(); ++i) {
    c.fill(give, i * each, each, c.place.out[i].rank, c.place.out[i].key);
  }
  RUN(c.form, alltoall, give.data(), each, MPI_UINT64_T, got.data(), each, MPI_UINT64_T,
      c.place.comm);
  for (std::size_t i = 0; i < c.place.in.size(); ++i) {
    const End& end = c.place.in[i];
    if (end.rank < 0) continue;
    c.expect(got, i * each, each, end.rank, me, end.key, "alltoall");
  }
  for (bool typed : {false, true}) {
    Blocks in, out;
    for (const End& end : c.place.in) {
      in.add(end.rank < 0 ? 0 : c.length(end.rank, me, end.key));
    }
    for (const End& end : c.place.out) {
      const int count = end.rank < 0 ? 0 : c.length(me, end.rank, end.key);
      const int start = out.add(count);
      c.fill(out.data, start, count, end.rank, end.key);
    }
    if (typed) {
      RUN(c.form, alltoallw, out.data.data(), out.counts.data(), out.bytes.data(), out.types.data(),
          in.data.data(), in.counts.data(), in.bytes.data(), in.types.data(), c.place.comm);
    } else {
      RUN(c.form, alltoallv, out.data.data(), out.counts.data(), out.displs.data(), MPI_UINT64_T,
          in.data.data(), in.counts.data(), in.displs.data(), MPI_UINT64_T, c.place.comm);
    }
    for (std::size_t i = 0; i < c.place.in.size(); ++i) {
      c.expect(in.data, in.displs[i], in.counts[i], c.place.in[i].rank, me, c.place.in[i].key,
               typed ? "alltoallw" : "alltoallv");
    }
  }
}

void try_all(int id, const Place& place) {
  for (int form = 0; form < form_count(); ++form) {
    const Case c{10 * id + form, place, static_cast<Form>(form)};
    allgathers(c);
    alltoalls(c);
  }
}

// Every size of 1 to 3 dimensions, wrapped around or not.
void grids() {
  for (int round = 0; round < 6; ++round) {
    Random random(50, round);
    int dims[3] = {0, 0, 0}, periods[3];
    const int n = random.between(1, 3);
    if (random.chance(40)) dims[random.below(n)] = 1;
    if (n == 1) dims[0] = 0;
    for (int& period : periods) period = random.below(2);
    EXPECT_OK(MPI_Dims_create(check::size, n, dims));
    Place place;
    EXPECT_OK(MPI_Cart_create(MPI_COMM_WORLD, n, dims, periods, 0, &place.comm));
    EXPECT_OK(MPI_Comm_rank(place.comm, &place.me));
    bool narrow = false;
    for (int d = 0; d < n; ++d) {
      int below, above;
      EXPECT_OK(MPI_Cart_shift(place.comm, d, 1, &below, &above));
      // What comes from below left there upwards.
      place.in.push_back({below, 2 * d + 1});
      place.in.push_back({above, 2 * d});
      place.out.push_back({below, 2 * d});
      place.out.push_back({above, 2 * d + 1});
      narrow = narrow || (periods[d] && dims[d] <= 2);
    }
    // Others disagree on which is which of two edges between the same two processes.
    if (!narrow || check::library_is_tern()) try_all(100 + round, place);
    EXPECT_OK(MPI_Comm_free(&place.comm));
  }
}

// Any number of edges from any process to any, loops included.
void graphs() {
  for (int round = 0; round < 6; ++round) {
    Random random(51, round);
    // MPICH 4.0 takes repeated edges in the reverse order.
    const int most = check::library_is("MPICH") ? 1 : 2;
    std::vector<std::vector<int>> edges(check::size, std::vector<int>(check::size));
    for (auto& row : edges) {
      for (int& many : row) many = random.chance(50) ? 0 : random.between(1, most);
    }
    const int me = check::rank;
    std::vector<int> sources, destinations;
    for (int r = 0; r < check::size; ++r) {
      for (int k = 0; k < edges[r][me]; ++k) sources.push_back(r);
      for (int k = 0; k < edges[me][r]; ++k) destinations.push_back(r);
    }
    Random own(52, round, me);
    own.shuffle(sources);
    own.shuffle(destinations);
    Place place;
    EXPECT_OK(MPI_Dist_graph_create_adjacent(
        MPI_COMM_WORLD, static_cast<int>(sources.size()), sources.data(), MPI_UNWEIGHTED,
        static_cast<int>(destinations.size()), destinations.data(), MPI_UNWEIGHTED, MPI_INFO_NULL,
        0, &place.comm));
    place.me = me;
    std::vector<int> seen_in(check::size), seen_out(check::size);
    for (int r : sources) place.in.push_back({r, seen_in[r]++});
    for (int r : destinations) place.out.push_back({r, seen_out[r]++});
    try_all(200 + round, place);
    EXPECT_OK(MPI_Comm_free(&place.comm));
  }
}

void topology_is_needed() {
  if (!check::library_is_tern()) return;
  MPI_Comm comm;
  EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  int in = 0, out = 0;
  EXPECT_CLASS(MPI_Neighbor_allgather(&in, 1, MPI_INT, &out, 1, MPI_INT, comm), MPI_ERR_TOPOLOGY);
  EXPECT_OK(MPI_Comm_free(&comm));
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(
      argc, argv,
      {{"grids", grids}, {"graphs", graphs}, {"topology_is_needed", topology_is_needed}});
}
