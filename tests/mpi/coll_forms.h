// tests/mpi/coll_forms.h - what the operations of coll_forms are made of: communicators with known
// members, contents that everybody can compute, and calls in all forms.
//
// What member a gives to member b in run `run` of operation `id` is a pure function of all four.
#pragma once

#include <type_traits>

#include "check.h"

namespace forms {

using check::Random;
using Word = std::uint64_t;
using Words = std::vector<Word>;
using Ranks = std::vector<int>;  // Of MPI_COMM_WORLD.

// A communicator and who is in it. In an intracommunicator both groups are the same.
struct Place {
  MPI_Comm comm = MPI_COMM_NULL;
  bool inter = false;
  Ranks local, remote;
  int me = 0;  // In the local group.
  int side = 0;

  int size() const { return static_cast<int>(local.size()); }
  int others() const { return static_cast<int>(remote.size()); }
};

class Places {
 public:
  Places() {
    Ranks order(check::size), zero(check::size, 0);
    for (int r = 0; r < check::size; ++r) order[r] = r;
    add_intra(order, zero);
    for (int i = 0; i < 2; ++i) {
      Random random(1, i);
      Ranks colors(check::size);
      for (int& color : colors) color = random.below(2);
      random.shuffle(order);
      add_intra(order, colors);
      if (check::size > 1) add_inter(random, order);
    }
  }
  ~Places() {
    for (Place& place : all_) EXPECT_OK(MPI_Comm_free(&place.comm));
  }
  Places(const Places&) = delete;
  Places& operator=(const Places&) = delete;
  Place& operator[](int i) { return all_[i]; }
  int count() const { return static_cast<int>(all_.size()); }

 private:
  static int index_of(const Ranks& ranks, int rank) {
    return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
  }
  // The members of each color in the given order.
  void add_intra(const Ranks& order, const Ranks& colors) {
    Place place;
    place.side = colors[check::rank];
    MPI_Comm_split(MPI_COMM_WORLD, place.side, index_of(order, check::rank), &place.comm);
    for (int r : order) {
      if (colors[r] == place.side) place.local.push_back(r);
    }
    place.remote = place.local;
    place.me = index_of(place.local, check::rank);
    all_.push_back(place);
  }
  void add_inter(Random& random, const Ranks& order) {
    const int cut = random.between(1, check::size - 1);
    Ranks colors(check::size), sides[2];
    for (int i = 0; i < check::size; ++i) {
      colors[order[i]] = i < cut ? 0 : 1;
      sides[i < cut ? 0 : 1].push_back(order[i]);
    }
    Place place;
    place.inter = true;
    place.side = colors[check::rank];
    place.local = sides[place.side];
    place.remote = sides[1 - place.side];
    place.me = index_of(place.local, check::rank);
    MPI_Comm half;
    MPI_Comm_split(MPI_COMM_WORLD, place.side, place.me, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, place.remote[0], 7, &place.comm);
    MPI_Comm_free(&half);
    all_.push_back(place);
  }
  std::vector<Place> all_;
};

enum class Form { kBlocking, kNonblocking, kPersistent };
// Persistent collectives came with MPI 4.0; those of MPICH 4.0 run wrong the second time.
inline int form_count() { return MPI_AT_LEAST(4, 0) && !check::library_is("MPICH") ? 3 : 2; }

// Composition of x -> a x + b: associative, and the order matters. An element is a pair (a, b).
inline void compose(void* in, void* inout, int* count, MPI_Datatype*) {
  auto* left = static_cast<Word*>(in);
  auto* right = static_cast<Word*>(inout);
  for (int i = 0; i < 2 * *count; i += 2) {
    right[i + 1] = left[i] * right[i + 1] + left[i + 1];
    right[i] *= left[i];
  }
}
inline MPI_Op compose_op = MPI_OP_NULL;
inline MPI_Datatype pair_type = MPI_DATATYPE_NULL;

struct ReductionObjects {
  ReductionObjects() {
    EXPECT_OK(MPI_Op_create(compose, 0, &compose_op));
    EXPECT_OK(MPI_Type_contiguous(2, MPI_UINT64_T, &pair_type));
    EXPECT_OK(MPI_Type_commit(&pair_type));
  }
  ~ReductionObjects() {
    EXPECT_OK(MPI_Op_free(&compose_op));
    EXPECT_OK(MPI_Type_free(&pair_type));
  }
  ReductionObjects(const ReductionObjects&) = delete;
  ReductionObjects& operator=(const ReductionObjects&) = delete;
};

class Operation {
 public:
  Operation(int id, Place& place)
      : id_(id), place_(place), random_(10, id, place.inter ? 0 : place.side) {
    in_place_ = !place.inter && random_.chance(30);
    count_ = random_.chance(15) ? 0 : 2 * random_.below(random_.chance(15) ? 4000 : 40);
    // A root is a rank of one group; in an intercommunicator, of either.
    Random shared(11, id, place.inter ? 0 : place.side);
    root_side_ = place.inter ? shared.below(2) : place.side;
    const Ranks& roots = place.inter && root_side_ != place.side ? place.remote : place.local;
    root_ = shared.below(1000) % static_cast<int>(roots.size());
    sum_ = shared.chance(50);
  }
  virtual ~Operation() = default;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  virtual const char* name() const = 0;
  virtual void fill(int run) = 0;
  virtual int call(Form form, MPI_Request* request) = 0;
  virtual void verify(int run) = 0;

 protected:
  // --- what is sent ---
  Word word(int run, int from, int to, int k) const {
    return check::mix(check::mix(check::mix(check::seed + id_) + run * 1000 + from) + to * 100003 +
                      k) |
           1;  // Odd, so that compositions stay invertible.
  }
  void put(Words& words, std::size_t at, int count, int run, int from, int to) const {
    for (int k = 0; k < count; ++k) words[at + k] = word(run, from, to, k);
  }
  void expect(const Words& words, std::size_t at, int count, int run, int from, int to) const {
    for (int k = 0; k < count; ++k) {
      if (words[at + k] == word(run, from, to, k)) continue;
      EXPECT_MSG(false, "%s %s: block of %d from %d to %d is wrong at %d (run %d, id %d)",
                 place_.inter ? "inter" : "intra", name(), count, from, to, k, run, id_);
      return;
    }
    EXPECT(true);
  }
  // --- reductions ---
  MPI_Op op() const { return sum_ ? MPI_SUM : compose_op; }
  MPI_Datatype type() const { return sum_ ? MPI_UINT64_T : pair_type; }
  int elements(int words) const { return sum_ ? words : words / 2; }
  // Of the inputs from..from + count of the given members.
  Words reduced(const Ranks& members, int first, int last, int from, int count, int run) const {
    Words result(count);
    for (int i = last - 1; i >= first; --i) {
      for (int k = 0; k < count; ++k) {
        const Word mine = word(run, members[i], -1, from + k);
        if (i == last - 1) {
          result[k] = mine;
        } else if (sum_) {
          result[k] += mine;
        } else if (k % 2 == 1) {
          const Word factor = word(run, members[i], -1, from + k - 1);
          result[k] = factor * result[k] + mine;
          result[k - 1] *= factor;
        }
      }
    }
    return result;
  }
  void expect_reduced(const Words& words, const Words& expected, int run) const {
    const bool good = std::equal(expected.begin(), expected.end(), words.begin());
    EXPECT_MSG(good, "%s %s of %d: wrong result of %d words in run %d (id %d, %s%s)",
               place_.inter ? "inter" : "intra", name(), place_.size(),
               static_cast<int>(expected.size()), run, id_, sum_ ? "sum" : "composition",
               in_place_ ? ", in place" : "");
  }

  // --- roots ---
  bool at_root() const { return place_.side == root_side_ && place_.me == root_; }
  bool is_member() const { return !place_.inter || place_.side != root_side_; }
  bool has_part() const { return at_root() || is_member(); }
  int root_argument() const {
    if (!place_.inter || is_member()) return root_;
    return at_root() ? MPI_ROOT : MPI_PROC_NULL;
  }
  int root_world() const {
    return (place_.side == root_side_ ? place_.local : place_.remote)[root_];
  }
  // Members that the root gathers from.
  const Ranks& members() const { return place_.remote; }
  int me() const { return check::rank; }
  // A length for each pair that both sides know.
  int length(int from, int to) const {
    Random random(12, id_, from, to);
    return random.chance(20) ? 0 : random.below(count_ + 2);
  }

  int id_;
  Place& place_;
  Random random_;
  bool in_place_;
  int count_;
  int root_side_;
  int root_;
  bool sum_;
};

// Calls one collective in the form asked for, with large counts (L) or plain ones.
#define CALL_AS(suffix, Name, Lower, ...)                                                \
  switch (form) {                                                                        \
    case Form::kBlocking:                                                                \
      return MPI_##Name##suffix(__VA_ARGS__);                                            \
    case Form::kNonblocking:                                                             \
      return MPI_I##Lower##suffix(__VA_ARGS__, request);                                 \
    default:                                                                             \
      return PERSISTENT(MPI_##Name##_init##suffix(__VA_ARGS__, MPI_INFO_NULL, request)); \
  }
#if MPI_AT_LEAST(4, 0)
#define PERSISTENT(call) call
#define CALL(Name, Lower, ...)            \
  if constexpr (L) {                      \
    CALL_AS(_c, Name, Lower, __VA_ARGS__) \
  } else {                                \
    CALL_AS(, Name, Lower, __VA_ARGS__)   \
  }
#else
#define PERSISTENT(call) MPI_ERR_OTHER
#define CALL(Name, Lower, ...) CALL_AS(, Name, Lower, __VA_ARGS__)
#endif

}  // namespace forms
