// Every algorithm of the collectives that move data, for all sizes from 1 to 17, on random roots,
// counts and layouts with gaps, against what the standard says each block has to be.
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "mpi_api/coll/algorithms.h"
#include "tests/unit/coll_simulator.h"
#include "tests/unit/seed.h"

namespace tern::mpi::coll {
namespace {

using test::Random;

constexpr int kSizes = 17;
constexpr int kRepeats = 4;
constexpr unsigned char kUntouched = 0xee;

// 6 bytes of data in 8: {short, 2 bytes of padding, int}.
const Datatype& gapped() {
  static const Datatype type(Layout({{0, 2}, {4, 4}}, 0, 8), Basic::kNone, "gapped");
  return type;
}
const Datatype& dense() {
  static const Datatype type(Layout::dense(3), Basic::kNone, "dense");
  return type;
}

// A buffer of elements, whose data bytes are numbered from a start value on and whose gaps must not
// be touched.
class Buffer {
 public:
  Buffer(const Datatype& type, std::size_t count)
      : type_(&type), count_(count), memory_(count * extent(), kUntouched) {}

  std::size_t extent() const { return static_cast<std::size_t>(type_->extent()); }
  unsigned char* data() { return memory_.data(); }

  // Data byte i of elements first.. becomes value(i).
  template <class Value>
  void fill(std::size_t first, std::size_t count, Value value) {
    std::vector<std::byte> packed(count * type_->layout().size());
    for (std::size_t i = 0; i < packed.size(); ++i) packed[i] = std::byte{value(i)};
    unpack(part(first, count), 0, packed);
  }
  friend bool operator==(const Buffer& a, const Buffer& b) { return a.memory_ == b.memory_; }

 private:
  DataView part(std::size_t first, std::size_t count) {
    return DataView::of(data() + first * extent(), type_->layout(), count);
  }
  const Datatype* type_;
  std::size_t count_;
  std::vector<unsigned char> memory_;
};

// Byte i of what rank `from` has for rank `to`.
unsigned char value_of(int from, int to, std::size_t i) {
  return static_cast<unsigned char>(from * 37 + to * 11 + static_cast<int>(i % 251));
}
auto values(int from, int to) {
  return [=](std::size_t i) { return value_of(from, to, i); };
}

const Datatype& any_type(Random& random) { return random.one_in(2) ? gapped() : dense(); }

std::size_t any_count(Random& random) {
  constexpr std::size_t kCounts[] = {1, 1, 2, 5, 40, 700};
  return kCounts[random.below(std::size(kCounts))];
}

const Selection& selection_of(Collective collective) {
  return selections()[static_cast<std::size_t>(collective)];
}

// A simulation that ends with everybody done, and with no more messages between hosts than
// two_level.h promises.
class Trial {
 public:
  Trial(Random& random, int size, Algorithm algorithm)
      : simulator(size, random.below(1U << 30)), two_level_(algorithm == Algorithm::kTwoLevel) {
    if (two_level_) place_at_random(simulator, random, false);
  }
  // promised(H) of H hosts.
  template <class Promised>
  void finish(Promised promised) {
    ASSERT_EQ(simulator.run(), "");
    if (!two_level_) return;
    ASSERT_LE(simulator.messages_between_hosts(), promised(simulator.hosts().hosts()));
  }
  Schedule& schedule(int rank) { return simulator.schedule(rank); }

  Simulator simulator;

 private:
  bool two_level_;
};
int once_per_host(int hosts) { return hosts - 1; }
int each_to_each(int hosts) { return hosts * (hosts - 1); }

// Calls body(random, size, algorithm) for all sizes, algorithms and repeats.
template <class Body>
void for_all(Collective collective, Body body) {
  Random random(static_cast<std::uint64_t>(collective));
  for (const Algorithm algorithm : selection_of(collective).algorithms) {
    if (algorithm == Algorithm::kShared) continue;  // Has no schedule.
    for (int size = algorithm == Algorithm::kTwoLevel ? 2 : 1; size <= kSizes; ++size) {
      for (int repeat = 0; repeat < kRepeats; ++repeat) {
        SCOPED_TRACE(std::string(name_of(algorithm)) + " with " + std::to_string(size) +
                     " ranks, repeat " + std::to_string(repeat));
        body(random, size, algorithm);
        if (testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(Barrier, NobodyLeavesBeforeEverybodyCame) {
  for_all(Collective::kBarrier, [](Random& random, int size, Algorithm algorithm) {
    Trial run(random, size, algorithm);
    for (int rank = 0; rank < size; ++rank) barrier(run.schedule(rank), algorithm);
    run.simulator.start_last(random.between(0, size - 1));
    run.simulator.when_latecomer_is_missed = [&] {
      for (int rank = 0; rank < size; ++rank) EXPECT_FALSE(run.schedule(rank).done());
    };
    run.finish([](int hosts) { return hosts * rounds_to(hosts); });
  });
}

TEST(Bcast, EverybodyHasTheRootsData) {
  for_all(Collective::kBcast, [](Random& random, int size, Algorithm algorithm) {
    const Datatype& type = any_type(random);
    // Now and then several segments of a pipeline.
    const std::size_t count = random.one_in(20) ? 120000 : any_count(random);
    const int root = random.between(0, size - 1);
    Trial run(random, size, algorithm);
    std::vector<Buffer> buffers(static_cast<std::size_t>(size), Buffer(type, count));
    buffers[static_cast<std::size_t>(root)].fill(0, count, values(root, 0));
    for (int rank = 0; rank < size; ++rank) {
      bcast(run.schedule(rank), algorithm,
            DataView::of(buffers[static_cast<std::size_t>(rank)].data(), type.layout(), count),
            root);
    }
    const bool pieces = count * type.layout().size() > (512U << 10);
    run.finish([pieces](int hosts) { return pieces ? each_to_each(hosts) : once_per_host(hosts); });
    for (const Buffer& buffer : buffers) {
      ASSERT_TRUE(buffer == buffers[static_cast<std::size_t>(root)]);
    }
  });
}

// Blocks of random sizes at random places, or equal ones.
struct Shape {
  Shape(Random& random, int size, bool vary) : varies(vary) {
    const auto equal = static_cast<int>(any_count(random));
    for (int i = 0; i < size; ++i) {
      counts.push_back(vary ? random.between(0, 9) : equal);
      displs.push_back(static_cast<int>(total));
      total += static_cast<std::size_t>(counts.back() + (vary ? random.between(0, 2) : 0));
    }
  }
  Blocks over(const void* base, const Datatype& type) const {
    if (!varies) return {base, counts[0], type};
    return {base, IntArray{counts.data(), false}, IntArray{displs.data(), false}, type};
  }
  std::size_t count(int i) const { return static_cast<std::size_t>(counts[std::size_t(i)]); }
  std::size_t start(int i) const { return static_cast<std::size_t>(displs[std::size_t(i)]); }

  bool varies;
  std::vector<int> counts;
  std::vector<int> displs;
  std::size_t total = 0;
};

void test_gather(Collective collective) {
  for_all(collective, [=](Random& random, int size, Algorithm algorithm) {
    const Shape shape(random, size, collective == Collective::kGatherv);
    const int root = random.between(0, size - 1);
    const bool in_place = random.one_in(3);
    Trial run(random, size, algorithm);
    Buffer all(gapped(), shape.total);
    Buffer expected = all;
    std::vector<Buffer> own;
    for (int rank = 0; rank < size; ++rank) {
      expected.fill(shape.start(rank), shape.count(rank), values(rank, 0));
      // Twice as many elements of half the size: the signatures are what has to match.
      own.emplace_back(dense(), 2 * shape.count(rank));
      own.back().fill(0, 2 * shape.count(rank), values(rank, 0));
    }
    if (in_place) all.fill(shape.start(root), shape.count(root), values(root, 0));
    for (int rank = 0; rank < size; ++rank) {
      const DataView mine =
          DataView::of(own[std::size_t(rank)].data(), dense().layout(), 2 * shape.count(rank));
      gather(run.schedule(rank), algorithm, in_place && rank == root ? nullptr : &mine,
             rank == root ? shape.over(all.data(), gapped()) : Blocks(), root);
    }
    run.finish(once_per_host);
    ASSERT_TRUE(all == expected);
  });
}
TEST(Gather, RootHasAllBlocks) { test_gather(Collective::kGather); }
TEST(Gatherv, RootHasAllBlocks) { test_gather(Collective::kGatherv); }

void test_scatter(Collective collective) {
  for_all(collective, [=](Random& random, int size, Algorithm algorithm) {
    const Shape shape(random, size, collective == Collective::kScatterv);
    const int root = random.between(0, size - 1);
    const bool in_place = random.one_in(3);
    Trial run(random, size, algorithm);
    Buffer all(gapped(), shape.total);
    std::vector<Buffer> own;
    std::vector<Buffer> expected;
    for (int rank = 0; rank < size; ++rank) {
      all.fill(shape.start(rank), shape.count(rank), values(0, rank));
      own.emplace_back(dense(), 2 * shape.count(rank));
      expected.push_back(own.back());
      if (in_place && rank == root) continue;
      expected.back().fill(0, 2 * shape.count(rank), values(0, rank));
    }
    for (int rank = 0; rank < size; ++rank) {
      const DataView mine =
          DataView::of(own[std::size_t(rank)].data(), dense().layout(), 2 * shape.count(rank));
      scatter(run.schedule(rank), algorithm,
              rank == root ? shape.over(all.data(), gapped()) : Blocks(),
              in_place && rank == root ? nullptr : &mine, root);
    }
    run.finish(once_per_host);
    for (int rank = 0; rank < size; ++rank) {
      ASSERT_TRUE(own[std::size_t(rank)] == expected[std::size_t(rank)]);
    }
  });
}
TEST(Scatter, EverybodyHasItsBlock) { test_scatter(Collective::kScatter); }
TEST(Scatterv, EverybodyHasItsBlock) { test_scatter(Collective::kScatterv); }

void test_allgather(Collective collective) {
  for_all(collective, [=](Random& random, int size, Algorithm algorithm) {
    const Shape shape(random, size, collective == Collective::kAllgatherv);
    const Datatype& type = any_type(random);
    const bool in_place = random.one_in(3);
    Trial run(random, size, algorithm);
    Buffer expected(type, shape.total);
    std::vector<Buffer> all(std::size_t(size), expected);
    std::vector<Buffer> own;
    for (int rank = 0; rank < size; ++rank) {
      expected.fill(shape.start(rank), shape.count(rank), values(rank, 0));
      own.emplace_back(type, shape.count(rank));
      own.back().fill(0, shape.count(rank), values(rank, 0));
      if (in_place) {
        all[std::size_t(rank)].fill(shape.start(rank), shape.count(rank), values(rank, 0));
      }
    }
    for (int rank = 0; rank < size; ++rank) {
      const DataView mine =
          DataView::of(own[std::size_t(rank)].data(), type.layout(), shape.count(rank));
      allgather(run.schedule(rank), algorithm, in_place ? nullptr : &mine,
                shape.over(all[std::size_t(rank)].data(), type));
    }
    run.finish(each_to_each);
    for (const Buffer& buffer : all) ASSERT_TRUE(buffer == expected);
  });
}
TEST(Allgather, EverybodyHasAllBlocks) { test_allgather(Collective::kAllgather); }
TEST(Allgatherv, EverybodyHasAllBlocks) { test_allgather(Collective::kAllgatherv); }

// counts[i * size + j]: from i to j. In place they are symmetric.
void test_alltoall(Collective collective) {
  for_all(collective, [=](Random& random, int size, Algorithm algorithm) {
    const bool vary = collective == Collective::kAlltoallv;
    const Datatype& type = any_type(random);
    const bool in_place = random.one_in(3);
    const int equal = static_cast<int>(any_count(random) % 50);
    const auto n = static_cast<std::size_t>(size);
    std::vector<std::vector<int>> counts(n, std::vector<int>(n, equal));
    for (std::size_t i = 0; vary && i < n; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        counts[i][j] = random.between(0, 9);
        counts[j][i] = in_place ? counts[i][j] : random.between(0, 9);
      }
    }
    Trial run(random, size, algorithm);
    struct Side {
      std::vector<int> counts, displs;
      std::vector<Buffer> buffer;
    };
    std::vector<Side> from(n), to(n), expected(n);
    for (std::size_t rank = 0; rank < n; ++rank) {
      int sent = 0;
      int received = 0;
      for (std::size_t i = 0; i < n; ++i) {
        from[rank].counts.push_back(counts[rank][i]);
        from[rank].displs.push_back(sent);
        sent += counts[rank][i];
        to[rank].counts.push_back(counts[i][rank]);
        to[rank].displs.push_back(received);
        received += counts[i][rank];
      }
      from[rank].buffer.emplace_back(type, static_cast<std::size_t>(sent));
      to[rank].buffer.emplace_back(type, static_cast<std::size_t>(received));
      expected[rank].buffer = to[rank].buffer;
      for (std::size_t i = 0; i < n; ++i) {
        const auto fill = [&](Side& side, const std::vector<int>& displs, int count, auto value) {
          side.buffer[0].fill(static_cast<std::size_t>(displs[i]), static_cast<std::size_t>(count),
                              value);
        };
        const int self = static_cast<int>(rank);
        const int other = static_cast<int>(i);
        fill(in_place ? to[rank] : from[rank], from[rank].displs, counts[rank][i],
             values(self, other));
        fill(expected[rank], to[rank].displs, counts[i][rank], values(other, self));
      }
    }
    const auto blocks = [&](const Side& side, std::vector<Buffer>& buffer) {
      if (!vary) return Blocks(buffer[0].data(), equal, type);
      return Blocks(buffer[0].data(), IntArray{side.counts.data(), false},
                    IntArray{side.displs.data(), false}, type);
    };
    for (int rank = 0; rank < size; ++rank) {
      Side& sends = from[std::size_t(rank)];
      Side& receives = to[std::size_t(rank)];
      const Blocks input = blocks(sends, sends.buffer);
      alltoall(run.schedule(rank), algorithm, in_place ? nullptr : &input,
               blocks(receives, receives.buffer));
    }
    run.finish(each_to_each);
    for (std::size_t rank = 0; rank < n; ++rank) {
      ASSERT_TRUE(to[rank].buffer == expected[rank].buffer) << "rank " << rank;
    }
  });
}
TEST(Alltoall, EverybodyHasABlockFromEverybody) { test_alltoall(Collective::kAlltoall); }
TEST(Alltoallv, EverybodyHasABlockFromEverybody) { test_alltoall(Collective::kAlltoallv); }

}  // namespace
}  // namespace tern::mpi::coll
