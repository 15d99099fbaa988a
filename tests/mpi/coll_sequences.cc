// tests/mpi/coll_sequences.cc - long sequences of blocking collectives on several communicators.
//
// What a single call with a fresh communicator does not show: memory that is used again while slow
// members still read it, contributions just below and above the sizes at which they are handled
// differently, members that come late and sleep, non-blocking collectives and messages that are
// under way meanwhile, and errors in between. Every value is a function of (seed, round, rank,
// index), so that all results are computed without communication.
#include <unistd.h>

#include <memory>

#include "check.h"

namespace {

using check::Random;
using Value = std::uint64_t;

// x -> scale * x + offset modulo 2^32: composition is associative and does not commute.
struct Affine {
  std::uint32_t scale, offset;
};
void compose(void* in, void* inout, int* count, MPI_Datatype*) {
  const auto* outer = static_cast<const Affine*>(in);
  auto* inner = static_cast<Affine*>(inout);
  for (int i = 0; i < *count; ++i) {
    inner[i] = {outer[i].scale * inner[i].scale,
                outer[i].scale * inner[i].offset + outer[i].offset};
  }
}

// Contributions in 8-byte elements: around a head, a small and a large piece, and several pieces.
constexpr int kCounts[] = {0,   1,   3,    12,   14,   15,   128,  256,  257,  511,
                           512, 513, 1024, 1025, 8191, 8192, 8193, 8704, 8705, 20000};

struct Setting {
  MPI_Comm comm;
  int rank, size;
  std::uint64_t key;  // Of the round; the same on all members.
  int count;          // Elements of one block.
  int root;
  Value value(int member, std::size_t index) const {
    return check::mix(key ^ check::mix(static_cast<Value>(member) << 32 | index));
  }
  std::size_t n() const { return static_cast<std::size_t>(count); }
};

// A buffer of blocks of 8-byte elements, with or without gaps, that knows its datatype.
class Blocks {
 public:
  Blocks(std::size_t elements, bool gaps)
      : gaps_(gaps), memory_(elements * step() + 1, kUntouched) {
    if (!gaps) {
      MPI_Type_contiguous(1, MPI_UINT64_T, &type_);
    } else {
      MPI_Type_create_resized(MPI_UINT64_T, 0, 2 * sizeof(Value), &type_);
    }
    MPI_Type_commit(&type_);
  }
  ~Blocks() { MPI_Type_free(&type_); }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  Value& operator[](std::size_t i) { return memory_[i * step()]; }
  void* data() { return memory_.data(); }
  MPI_Datatype type() const { return type_; }
  bool gaps_untouched() const {
    for (std::size_t i = 1; i < memory_.size(); i += 2) {
      if (gaps_ && memory_[i] != kUntouched) return false;
    }
    return memory_.back() == kUntouched;
  }

 private:
  static constexpr Value kUntouched = 0xeeeeeeeeeeeeeeee;
  std::size_t step() const { return gaps_ ? 2 : 1; }
  bool gaps_;
  std::vector<Value> memory_;
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

// Whether elements first.. of `blocks` are member `from`'s elements begin...
bool holds(Blocks& blocks, std::size_t first, const Setting& s, int from, std::size_t begin) {
  for (std::size_t i = 0; i < s.n(); ++i) {
    if (blocks[first + i] != s.value(from, begin + i)) return false;
  }
  return true;
}

void fill(Blocks& blocks, std::size_t first, const Setting& s, std::size_t begin) {
  for (std::size_t i = 0; i < s.n(); ++i) blocks[first + i] = s.value(s.rank, begin + i);
}

void bcast(const Setting& s, bool gaps) {
  Blocks data(s.n(), gaps);
  if (s.rank == s.root) fill(data, 0, s, 0);
  EXPECT_OK(MPI_Bcast(data.data(), s.count, data.type(), s.root, s.comm));
  EXPECT(holds(data, 0, s, s.root, 0) && data.gaps_untouched());
}

void gather(const Setting& s, bool gaps, bool in_place) {
  const bool root = s.rank == s.root;
  Blocks out(s.n(), !gaps), all(root ? s.n() * static_cast<std::size_t>(s.size) : 0, gaps);
  fill(out, 0, s, 0);
  in_place = in_place && root;
  if (in_place) fill(all, s.n() * static_cast<std::size_t>(s.rank), s, 0);
  EXPECT_OK(MPI_Gather(in_place ? MPI_IN_PLACE : out.data(), s.count, out.type(), all.data(),
                       s.count, all.type(), s.root, s.comm));
  for (int i = 0; root && i < s.size; ++i) {
    EXPECT(holds(all, s.n() * static_cast<std::size_t>(i), s, i, 0));
  }
  EXPECT(all.gaps_untouched());
}

// Block i has i elements more than the others, so that sizes differ between members.
void gatherv_and_scatterv(const Setting& s, bool gaps) {
  std::vector<int> counts, places;
  int total = 0;
  for (int i = 0; i < s.size; ++i) {
    counts.push_back(s.count + i);
    places.push_back(total);
    total += s.count + i;
  }
  const bool root = s.rank == s.root;
  const auto mine = static_cast<std::size_t>(s.rank);
  Blocks own(s.n() + mine, gaps), all(root ? static_cast<std::size_t>(total) : 0, !gaps);
  for (std::size_t i = 0; i < s.n() + mine; ++i) own[i] = s.value(s.rank, i);
  EXPECT_OK(MPI_Gatherv(own.data(), counts[mine], own.type(), all.data(), counts.data(),
                        places.data(), all.type(), s.root, s.comm));
  bool right = true;
  for (int i = 0; root && i < s.size; ++i) {
    const auto at = static_cast<std::size_t>(i);
    for (int k = 0; k < counts[at]; ++k) {
      Value& element = all[static_cast<std::size_t>(places[at] + k)];
      right = right && element == s.value(i, static_cast<std::size_t>(k));
      element = ~element;
    }
  }
  EXPECT_OK(MPI_Scatterv(all.data(), counts.data(), places.data(), all.type(), own.data(),
                         counts[mine], own.type(), s.root, s.comm));
  for (std::size_t i = 0; i < s.n() + mine; ++i) {
    right = right && own[i] == static_cast<Value>(~s.value(s.rank, i));
  }
  EXPECT(right && own.gaps_untouched() && all.gaps_untouched());
}

void scatter(const Setting& s, bool gaps, bool in_place) {
  const bool root = s.rank == s.root;
  Blocks all(root ? s.n() * static_cast<std::size_t>(s.size) : 0, gaps), own(s.n(), !gaps);
  for (std::size_t i = 0; root && i < s.n() * static_cast<std::size_t>(s.size); ++i) {
    all[i] = s.value(s.root, i);
  }
  in_place = in_place && root;
  EXPECT_OK(MPI_Scatter(all.data(), s.count, all.type(), in_place ? MPI_IN_PLACE : own.data(),
                        s.count, own.type(), s.root, s.comm));
  EXPECT(in_place || holds(own, 0, s, s.root, s.n() * static_cast<std::size_t>(s.rank)));
}

void allgather(const Setting& s, bool gaps, bool in_place) {
  const auto mine = s.n() * static_cast<std::size_t>(s.rank);
  Blocks own(s.n(), !gaps), all(s.n() * static_cast<std::size_t>(s.size), gaps);
  fill(own, 0, s, 0);
  if (in_place) fill(all, mine, s, 0);
  EXPECT_OK(MPI_Allgather(in_place ? MPI_IN_PLACE : own.data(), s.count, own.type(), all.data(),
                          s.count, all.type(), s.comm));
  for (int i = 0; i < s.size; ++i) {
    EXPECT(holds(all, s.n() * static_cast<std::size_t>(i), s, i, 0));
  }
  EXPECT(all.gaps_untouched());
}

// vector: by MPI_Alltoallv, where members do not know how much the others send to each other.
void alltoall(const Setting& s, bool gaps, bool in_place, bool vector) {
  const auto n = static_cast<std::size_t>(s.size);
  Blocks out(s.n() * n, !gaps), in(s.n() * n, gaps);
  for (int i = 0; i < s.size; ++i) {
    const std::size_t at = s.n() * static_cast<std::size_t>(i);
    fill(in_place ? in : out, at, s, at);
  }
  const void* from = in_place ? MPI_IN_PLACE : out.data();
  if (!vector) {
    EXPECT_OK(MPI_Alltoall(from, s.count, out.type(), in.data(), s.count, in.type(), s.comm));
  } else {
    const std::vector<int> counts(n, s.count);
    std::vector<int> places;
    for (int i = 0; i < s.size; ++i) places.push_back(i * s.count);
    EXPECT_OK(MPI_Alltoallv(from, counts.data(), places.data(), out.type(), in.data(),
                            counts.data(), places.data(), in.type(), s.comm));
  }
  for (int i = 0; i < s.size; ++i) {
    EXPECT(holds(in, s.n() * static_cast<std::size_t>(i), s, i,
                 s.n() * static_cast<std::size_t>(s.rank)));
  }
}

Affine affine(Value v) {
  return {static_cast<std::uint32_t>(v) | 1U, static_cast<std::uint32_t>(v >> 32)};
}

// The composition of members first..last, for element i.
Affine folded(const Setting& s, int first, int last, std::size_t i) {
  Affine result = affine(s.value(last, i));
  for (int member = last - 1; member >= first; --member) {
    Affine outer = affine(s.value(member, i));
    int one = 1;
    compose(&outer, &result, &one, nullptr);
  }
  return result;
}

enum class Kind { kReduce, kAllreduce, kScan, kExscan, kScatter };

struct Reductions {
  MPI_Datatype type = MPI_DATATYPE_NULL;
  MPI_Op op = MPI_OP_NULL;
  Reductions() {
    MPI_Type_contiguous(2, MPI_UINT32_T, &type);
    MPI_Type_commit(&type);
    MPI_Op_create(compose, 0, &op);
  }
  ~Reductions() {
    MPI_Type_free(&type);
    MPI_Op_free(&op);
  }
  Reductions(const Reductions&) = delete;
  Reductions& operator=(const Reductions&) = delete;

  void run(const Setting& s, Kind kind, bool in_place) const {
    const std::size_t blocks = kind == Kind::kScatter ? static_cast<std::size_t>(s.size) : 1;
    std::vector<Affine> in, out(s.n() * blocks + 1);
    for (std::size_t i = 0; i < s.n() * blocks; ++i) in.push_back(affine(s.value(s.rank, i)));
    if (kind == Kind::kReduce) in_place = in_place && s.rank == s.root;
    if (in_place) std::copy(in.begin(), in.end(), out.begin());
    in.push_back({});  // data() is no null pointer.
    const void* from = in_place ? MPI_IN_PLACE : in.data();
    switch (kind) {
      case Kind::kReduce:
        EXPECT_OK(MPI_Reduce(from, out.data(), s.count, type, op, s.root, s.comm));
        break;
      case Kind::kAllreduce:
        EXPECT_OK(MPI_Allreduce(from, out.data(), s.count, type, op, s.comm));
        break;
      case Kind::kScan:
        EXPECT_OK(MPI_Scan(from, out.data(), s.count, type, op, s.comm));
        break;
      case Kind::kExscan:
        EXPECT_OK(MPI_Exscan(from, out.data(), s.count, type, op, s.comm));
        break;
      case Kind::kScatter:
        EXPECT_OK(MPI_Reduce_scatter_block(from, out.data(), s.count, type, op, s.comm));
        break;
    }
    if (kind == Kind::kReduce && s.rank != s.root) return;
    if (kind == Kind::kExscan && s.rank == 0) return;
    const bool prefix = kind == Kind::kScan || kind == Kind::kExscan;
    const int last = prefix ? s.rank - (kind == Kind::kExscan ? 1 : 0) : s.size - 1;
    const std::size_t skip = kind == Kind::kScatter ? s.n() * static_cast<std::size_t>(s.rank) : 0;
    bool right = true;
    for (std::size_t i = 0; i < s.n(); ++i) {
      const Affine expected = folded(s, 0, last, skip + i);
      right = right && out[i].scale == expected.scale && out[i].offset == expected.offset;
    }
    EXPECT_MSG(right, "reduction %d of %d elements", static_cast<int>(kind), s.count);
  }
};

void one_collective(const Setting& s, Random& random, const Reductions& reductions) {
  const bool gaps = random.chance(30), in_place = random.chance(30), vector = random.chance(50);
  const auto kind = static_cast<Kind>(random.next() % 5);
  switch (random.next() % 8) {
    case 0:
      EXPECT_OK(MPI_Barrier(s.comm));
      break;
    case 1:
      bcast(s, gaps);
      break;
    case 2:
      gather(s, gaps, in_place);
      break;
    case 3:
      scatter(s, gaps, in_place);
      break;
    case 4:
      allgather(s, gaps, in_place);
      break;
    case 5:
      alltoall(s, gaps, in_place, vector);
      break;
    case 6:
      gatherv_and_scatterv(s, gaps);
      break;
    default:
      reductions.run(s, kind, in_place);
  }
}

// The world, its reverse, and its halves: members of several communicators at once.
struct Communicators {
  std::vector<MPI_Comm> all;
  Communicators() {
    const std::pair<int, int> colors[] = {
        {0, check::rank}, {0, -check::rank}, {check::rank % 2, 0}};
    for (const auto& [color, key] : colors) {
      all.emplace_back();
      MPI_Comm_split(MPI_COMM_WORLD, color, key, &all.back());
    }
  }
  ~Communicators() {
    for (MPI_Comm& comm : all) MPI_Comm_free(&comm);
  }
  Communicators(const Communicators&) = delete;
  Communicators& operator=(const Communicators&) = delete;
};

Setting setting_of(MPI_Comm comm, Random& random) {
  Setting s{};
  s.comm = comm;
  MPI_Comm_rank(comm, &s.rank);
  MPI_Comm_size(comm, &s.size);
  s.key = random.next();
  s.count = kCounts[random.next() % std::size(kCounts)];
  // Most are small: they run ahead of each other.
  if (random.chance(60)) s.count %= 20;
  s.root = static_cast<int>(random.next() % static_cast<std::uint64_t>(s.size));
  return s;
}

void random_sequences() {
  Random random(1);  // The same at all ranks.
  Random lateness(2, check::rank);
  const Communicators communicators;
  const Reductions reductions;
  for (int round = 0; round < 250; ++round) {
    MPI_Comm comm = communicators.all[random.next() % communicators.all.size()];
    const Setting s = setting_of(comm, random);
    if (lateness.chance(1)) ::usleep(5000);  // Long enough for the others to fall asleep.
    one_collective(s, random, reductions);
  }
}

// A root that broadcasts and members that send to a root run ahead of the others until they may
// not any more.
void running_ahead() {
  Random random(3);
  const Communicators communicators;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 100; ++i) {
      Setting s = setting_of(communicators.all[0], random);
      s.root = round % s.size;
      if (i % 40 == 0 && s.rank == (s.root + 1) % s.size) ::usleep(3000);
      if (round % 2 == 0) {
        bcast(s, false);
      } else {
        gather(s, false, false);
      }
    }
  }
}

// Non-blocking collectives and messages are under way while blocking ones run.
void interleaved() {
  Random random(4);
  const Communicators communicators;
  const Reductions reductions;
  for (int round = 0; round < 30; ++round) {
    const Setting s = setting_of(communicators.all[0], random);
    const Setting inner = setting_of(communicators.all[0], random);
    std::vector<Value> own(1000), sum(1000);
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = s.value(s.rank, i);
    const int next = (s.rank + 1) % s.size, previous = (s.rank + s.size - 1) % s.size;
    std::vector<Value> from_previous(own.size());
    MPI_Request requests[4];
    const int count = static_cast<int>(own.size());
    EXPECT_OK(
        MPI_Irecv(from_previous.data(), count, MPI_UINT64_T, previous, 1, s.comm, &requests[0]));
    EXPECT_OK(
        MPI_Iallreduce(own.data(), sum.data(), count, MPI_UINT64_T, MPI_SUM, s.comm, &requests[1]));
    one_collective(inner, random, reductions);
    EXPECT_OK(MPI_Isend(own.data(), count, MPI_UINT64_T, next, 1, s.comm, &requests[2]));
    EXPECT_OK(MPI_Ibarrier(s.comm, &requests[3]));
    EXPECT_OK(MPI_Barrier(s.comm));
    EXPECT_OK(MPI_Waitall(4, requests, MPI_STATUSES_IGNORE));
    bool right = true;
    for (std::size_t i = 0; i < own.size(); ++i) {
      Value expected = 0;
      for (int member = 0; member < s.size; ++member) expected += s.value(member, i);
      right = right && sum[i] == expected && from_previous[i] == s.value(previous, i);
    }
    EXPECT(right);
  }
}

// Floating point: the same bits at all members and in every call.
void results_are_reproducible() {
  const Communicators communicators;
  for (const int count : {1, 100, 5000, 20000}) {
    std::vector<double> in(static_cast<std::size_t>(count)), first(in.size()), again(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Value v = check::mix(static_cast<Value>(check::rank) << 32 | i);
      in[i] = static_cast<double>(v) * 1e-9 + 1e-12 * static_cast<double>(v % 1000);
    }
    // A new communicator: its first calls may not differ from later ones.
    MPI_Comm comm;
    EXPECT_OK(MPI_Comm_dup(communicators.all[0], &comm));
    for (int call = 0; call < 5; ++call) {
      EXPECT_OK(MPI_Allreduce(in.data(), again.data(), count, MPI_DOUBLE, MPI_SUM, comm));
      if (call == 0) first = again;
      EXPECT(std::memcmp(first.data(), again.data(), in.size() * sizeof(double)) == 0);
    }
    EXPECT_OK(MPI_Comm_free(&comm));
    again = first;
    EXPECT_OK(MPI_Bcast(again.data(), count, MPI_DOUBLE, 0, communicators.all[0]));
    EXPECT(std::memcmp(first.data(), again.data(), in.size() * sizeof(double)) == 0);
  }
}

// What is too long is reported by whom it reaches (rank 1 in every algorithm; others may get from
// somebody else what that one expected), and the communicator goes on as before.
void errors_do_not_spoil_what_follows() {
  if (!check::library_is_tern()) return;  // Others may hang.
  Random random(5);
  const Communicators communicators;
  const Reductions reductions;
  MPI_Comm comm = communicators.all[0];
  EXPECT_OK(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN));
  for (int round = 0; round < 12; ++round) {
    one_collective(setting_of(comm, random), random, reductions);
    int data[8] = {};
    const bool root = check::rank == 0;
    const int error = MPI_Bcast(data, root ? 8 : 4, MPI_INT, 0, comm);
    if (root) {
      EXPECT_OK(error);
    } else if (check::rank == 1 || error != MPI_SUCCESS) {
      EXPECT_CLASS(error, MPI_ERR_TRUNCATE);
    }
    std::vector<int> all(static_cast<std::size_t>(check::size) * 8);
    const int gathered = MPI_Gather(data, root ? 1 : 2, MPI_INT, all.data(), 1, MPI_INT, 0, comm);
    if (root && check::size > 1) {
      EXPECT_CLASS(gathered, MPI_ERR_TRUNCATE);
    } else {
      EXPECT_OK(gathered);
    }
  }
}

// Communicators come and go; what they use in common must go with them.
void many_communicators() {
  for (int i = 0; i < 40; ++i) {
    MPI_Comm comm = MPI_COMM_NULL;
    EXPECT_OK(MPI_Comm_dup(MPI_COMM_WORLD, &comm));
    for (int k = 0; k < 6; ++k) {
      int sum = 0, one = 1;
      EXPECT_OK(MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, comm));
      EXPECT_EQ(sum, check::size);
    }
    EXPECT_OK(MPI_Comm_free(&comm));
  }
}

}  // namespace

int main(int argc, char** argv) {
  return check::main(argc, argv,
                     {{"random_sequences", random_sequences},
                      {"running_ahead", running_ahead},
                      {"interleaved", interleaved},
                      {"results_are_reproducible", results_are_reproducible},
                      {"errors_do_not_spoil_what_follows", errors_do_not_spoil_what_follows},
                      {"many_communicators", many_communicators}});
}
