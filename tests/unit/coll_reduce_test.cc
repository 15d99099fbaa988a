// Every algorithm of the collectives that reduce, for all sizes from 1 to 17, with operations that
// commute and one that does not, on layouts without and with gaps, against the definition.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/op.h"
#include "tests/unit/coll_simulator.h"
#include "tests/unit/seed.h"

namespace tern::mpi::coll::reduce_test {
namespace {

using test::Random;

constexpr int kSizes = 17;
constexpr int kRepeats = 2;
constexpr unsigned char kUntouched = 0xee;

// A 2x2 matrix over the integers mod 2^32, in memory with a gap: the product does not commute.
struct Matrix {
  std::uint32_t at[2][2];
};
constexpr std::size_t kMatrixExtent = 24;
constexpr std::size_t kHalf = 8;  // The second row begins 12 bytes from the origin.
constexpr std::size_t kSecondRow = 12;

Matrix load(const void* place) {
  Matrix m;
  std::memcpy(m.at[0], place, kHalf);
  std::memcpy(m.at[1], static_cast<const char*>(place) + kSecondRow, kHalf);
  return m;
}
void store(const Matrix& m, void* place) {
  std::memcpy(place, m.at[0], kHalf);
  std::memcpy(static_cast<char*>(place) + kSecondRow, m.at[1], kHalf);
}

void multiply(void* in, void* inout, int* count, MPI_Datatype*) {
  for (int i = 0; i < *count; ++i) {
    char* const left = static_cast<char*>(in) + kMatrixExtent * static_cast<std::size_t>(i);
    char* const right = static_cast<char*>(inout) + kMatrixExtent * static_cast<std::size_t>(i);
    const Matrix a = load(left);
    const Matrix b = load(right);
    Matrix product{};
    for (int row = 0; row < 2; ++row) {
      for (int column = 0; column < 2; ++column) {
        product.at[row][column] = a.at[row][0] * b.at[0][column] + a.at[row][1] * b.at[1][column];
      }
    }
    store(product, right);
  }
}

// What is reduced: an operation on a datatype.
struct Subject {
  const char* name;
  const Op& op;
  const Datatype& type;
};

const std::vector<Subject>& subjects() {
  static const Datatype int64(Layout::dense(8), Basic::kInt64, "int64");
  // double, int and padding.
  static const Datatype double_int(Layout({{0, 8}, {8, 4}}, 0, 16), Basic::kDoubleInt,
                                   "double_int");
  static const Datatype matrix(Layout({{0, kHalf}, {kSecondRow, kHalf}}, 0, kMatrixExtent),
                               Basic::kNone, "matrix");
  static const Op sum(OpKind::kSum, "sum");
  static const Op minloc(OpKind::kMinloc, "minloc");
  static const Op product(&multiply, false);
  static const std::vector<Subject> all = {
      {"sum of int64", sum, int64},
      {"minloc of double_int", minloc, double_int},
      {"product of matrices", product, matrix},
  };
  return all;
}

// count elements; the gaps keep their value.
class Elements {
 public:
  Elements(const Datatype& type, std::size_t count)
      : type_(&type), memory_(count * extent() + 1, kUntouched) {}

  std::byte* at(std::size_t i) {
    return reinterpret_cast<std::byte*>(memory_.data()) + i * extent();
  }
  std::size_t extent() const { return static_cast<std::size_t>(type_->extent()); }

  // Small numbers, so that equal values (minloc's ties) are frequent and doubles are never NaN.
  void randomize(std::size_t first, std::size_t count, Random& random) {
    for (std::size_t i = first; i < first + count; ++i) {
      if (type_->basic() == Basic::kDoubleInt) {
        const auto value = static_cast<double>(random.below(4));
        const auto index = static_cast<int>(random.below(50));
        std::memcpy(at(i), &value, sizeof value);
        std::memcpy(at(i) + sizeof value, &index, sizeof index);
      } else if (type_->basic() == Basic::kInt64) {
        const std::uint64_t value = random.below(1000);
        std::memcpy(at(i), &value, sizeof value);
      } else {
        Matrix m;
        for (auto& row : m.at) {
          for (auto& cell : row) cell = static_cast<std::uint32_t>(random.below(100));
        }
        store(m, at(i));
      }
    }
  }
  // Data of count elements from `other`, element by element, without the gaps.
  void take(std::size_t first, Elements& other, std::size_t from, std::size_t count) {
    copy(DataView::of(other.at(from), type_->layout(), count),
         DataView::of(at(first), type_->layout(), count));
  }
  friend bool operator==(const Elements& a, const Elements& b) { return a.memory_ == b.memory_; }

 private:
  const Datatype* type_;
  std::vector<unsigned char> memory_;
};

using Inputs = std::vector<Elements>;

// The definition: x_first op ... op x_last, applied from the left.
Elements reduced(const Subject& subject, Inputs& inputs, int first, int last, std::size_t count) {
  Elements result = inputs[std::size_t(first)];
  for (int rank = first + 1; rank <= last; ++rank) {
    Elements right = inputs[std::size_t(rank)];
    subject.op.apply(result.at(0), right.at(0), static_cast<MPI_Count>(count), subject.type);
    result = right;
  }
  return result;
}

std::size_t any_count(Random& random) {
  if (random.one_in(80)) return 20000;  // Several segments of the algorithms that cut messages.
  constexpr std::size_t kCounts[] = {1, 1, 2, 3, 16, 333};
  return kCounts[random.below(std::size(kCounts))];
}

struct Case {
  Random& random;
  int size;
  Algorithm algorithm;
  const Subject& subject;
  bool in_place;
};

template <class Body>
void for_all(Collective collective, Body body) {
  Random random(100 + static_cast<std::uint64_t>(collective));
  const Selection& selection = selections()[static_cast<std::size_t>(collective)];
  for (const Algorithm algorithm : selection.algorithms) {
    if (algorithm == Algorithm::kShared) continue;  // Has no schedule.
    const auto& restricted = selection.commutative_only;
    const bool commutative =
        std::find(restricted.begin(), restricted.end(), algorithm) != restricted.end();
    for (int size = algorithm == Algorithm::kTwoLevel ? 2 : 1; size <= kSizes; ++size) {
      for (int repeat = 0; repeat < kRepeats; ++repeat) {
        for (const Subject& subject : subjects()) {
          if (commutative && !subject.op.commutative()) continue;
          const bool in_place = random.one_in(2);
          SCOPED_TRACE(std::string(name_of(algorithm)) + ", " + subject.name + ", " +
                       std::to_string(size) + " ranks" + (in_place ? ", in place" : ""));
          body(Case{random, size, algorithm, subject, in_place});
          if (testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

void place(Simulator& simulator, const Case& c) {
  if (c.algorithm != Algorithm::kTwoLevel) return;
  place_at_random(simulator, c.random, !c.subject.op.commutative());
}

Inputs random_inputs(const Case& c, std::size_t count) {
  Inputs inputs(std::size_t(c.size), Elements(c.subject.type, count));
  for (Elements& input : inputs) input.randomize(0, count, c.random);
  return inputs;
}

// Input and output of each rank; in place both are the output.
struct Memory {
  Memory(const Case& c, const Inputs& inputs, std::size_t output_count)
      : in_place(c.in_place), input(inputs) {
    if (in_place) {
      output = inputs;
    } else {
      output.assign(inputs.size(), Elements(c.subject.type, output_count));
    }
    expected = output;
  }
  Operands operands(int rank, std::size_t count) {
    std::byte* const to = output[std::size_t(rank)].at(0);
    return {in_place ? to : input[std::size_t(rank)].at(0), to, count};
  }
  void check(const Inputs& inputs) {
    for (std::size_t rank = 0; rank < output.size(); ++rank) {
      ASSERT_TRUE(output[rank] == expected[rank]) << "rank " << rank;
      ASSERT_TRUE(input[rank] == inputs[rank]) << "the input of rank " << rank << " was changed";
    }
  }

  bool in_place;
  Inputs input;
  Inputs output;
  Inputs expected;
};

TEST(Reduce, RootHasTheResult) {
  for_all(Collective::kReduce, [](const Case& c) {
    const std::size_t count = any_count(c.random);
    const int root = c.random.between(0, c.size - 1);
    Inputs inputs = random_inputs(c, count);
    Memory memory(c, inputs, count);
    Elements result = reduced(c.subject, inputs, 0, c.size - 1, count);
    memory.expected[std::size_t(root)].take(0, result, 0, count);
    Simulator simulator(c.size, c.random.below(1U << 30));
    place(simulator, c);
    for (int rank = 0; rank < c.size; ++rank) {
      Schedule& s = simulator.schedule(rank);
      s.set_reduction(c.subject.op, c.subject.type);
      Operands data = memory.operands(rank, count);
      if (rank != root) data.to = nullptr;
      reduce(s, c.algorithm, data, root);
    }
    ASSERT_EQ(simulator.run(), "");
    memory.check(inputs);
    if (c.algorithm != Algorithm::kTwoLevel) return;
    // One more where the order of ranks leads past the root's host.
    const int hosts = simulator.hosts().hosts();
    ASSERT_LE(simulator.messages_between_hosts(), c.subject.op.commutative() ? hosts - 1 : hosts);
  });
}

TEST(Allreduce, EverybodyHasTheResult) {
  for_all(Collective::kAllreduce, [](const Case& c) {
    const std::size_t count = any_count(c.random);
    Inputs inputs = random_inputs(c, count);
    Memory memory(c, inputs, count);
    Elements result = reduced(c.subject, inputs, 0, c.size - 1, count);
    for (Elements& expected : memory.expected) expected.take(0, result, 0, count);
    Simulator simulator(c.size, c.random.below(1U << 30));
    place(simulator, c);
    for (int rank = 0; rank < c.size; ++rank) {
      Schedule& s = simulator.schedule(rank);
      s.set_reduction(c.subject.op, c.subject.type);
      allreduce(s, c.algorithm, memory.operands(rank, count));
    }
    ASSERT_EQ(simulator.run(), "");
    memory.check(inputs);
    if (c.algorithm != Algorithm::kTwoLevel) return;
    const int hosts = simulator.hosts().hosts();
    ASSERT_LE(simulator.messages_between_hosts(), 2 * hosts * rounds_to(hosts));
  });
}

// Sums of doubles depend on the order of additions; that must not depend on the order of messages.
TEST(Allreduce, EveryRunGivesEverybodyTheSameBits) {
  const Datatype type(Layout::dense(8), Basic::kFloat64, "double");
  const Op sum(OpKind::kSum, "sum");
  const Subject subject{"sum of double", sum, type};
  Random random(7);
  constexpr std::size_t kCount = 40;
  for (const Algorithm algorithm : selections()[std::size_t(Collective::kAllreduce)].algorithms) {
    if (algorithm == Algorithm::kShared) continue;
    for (int size = 3; size <= kSizes; ++size) {
      SCOPED_TRACE(std::string(name_of(algorithm)) + ", " + std::to_string(size) + " ranks");
      using Values = std::vector<std::vector<double>>;
      const auto n = static_cast<std::size_t>(size);
      Values input(n, std::vector<double>(kCount));
      for (auto& values : input) {
        for (double& value : values) value = 1.0 / (1.0 + static_cast<double>(random.below(1000)));
      }
      std::vector<double> first;
      Random hosts(static_cast<std::uint64_t>(size));
      const Random same_hosts = hosts;
      for (int run = 0; run < 5; ++run) {
        Values output(n, std::vector<double>(kCount));
        Simulator simulator(size, random.below(1U << 30));
        hosts = same_hosts;
        place(simulator, Case{hosts, size, algorithm, subject, false});
        for (int rank = 0; rank < size; ++rank) {
          Schedule& s = simulator.schedule(rank);
          s.set_reduction(sum, type);
          const auto i = static_cast<std::size_t>(rank);
          allreduce(s, algorithm,
                    {reinterpret_cast<const std::byte*>(input[i].data()),
                     reinterpret_cast<std::byte*>(output[i].data()), kCount});
        }
        ASSERT_EQ(simulator.run(), "");
        if (run == 0) first = output[0];
        for (const auto& result : output) ASSERT_EQ(result, first);
      }
    }
  }
}

TEST(ReduceScatter, EverybodyHasItsBlock) {
  for_all(Collective::kReduceScatter, [](const Case& c) {
    std::vector<std::size_t> starts{0};
    const std::size_t equal = any_count(c.random);
    for (int i = 0; i < c.size; ++i) {
      starts.push_back(starts.back() + (c.random.one_in(2) ? equal : c.random.below(5)));
    }
    const std::size_t total = starts.back();
    if (total == 0) return;
    Inputs inputs = random_inputs(c, total);
    Memory memory(c, inputs, equal + 5);
    Elements result = reduced(c.subject, inputs, 0, c.size - 1, total);
    Simulator simulator(c.size, c.random.below(1U << 30));
    place(simulator, c);
    for (int rank = 0; rank < c.size; ++rank) {
      const std::size_t first = starts[std::size_t(rank)];
      const std::size_t count = starts[std::size_t(rank) + 1] - first;
      memory.expected[std::size_t(rank)].take(0, result, first, count);
      Schedule& s = simulator.schedule(rank);
      s.set_reduction(c.subject.op, c.subject.type);
      reduce_scatter(s, c.algorithm, memory.operands(rank, 0), starts);
    }
    ASSERT_EQ(simulator.run(), "");
    // In place, what lies behind the own block may have been used.
    for (int rank = 0; c.in_place && rank < c.size; ++rank) {
      const auto index = static_cast<std::size_t>(rank);
      const std::size_t count = starts[index + 1] - starts[index];
      Elements& output = memory.output[index];
      memory.expected[index].take(count, output, count, total - count);
    }
    memory.check(inputs);
  });
}

void test_scan(Collective collective) {
  const bool exclusive = collective == Collective::kExscan;
  for_all(collective, [=](const Case& c) {
    const std::size_t count = any_count(c.random);
    Inputs inputs = random_inputs(c, count);
    Memory memory(c, inputs, count);
    Simulator simulator(c.size, c.random.below(1U << 30));
    place(simulator, c);
    for (int rank = 0; rank < c.size; ++rank) {
      const int last = exclusive ? rank - 1 : rank;
      if (last >= 0) {
        Elements result = reduced(c.subject, inputs, 0, last, count);
        memory.expected[std::size_t(rank)].take(0, result, 0, count);
      }
      Schedule& s = simulator.schedule(rank);
      s.set_reduction(c.subject.op, c.subject.type);
      scan(s, c.algorithm, memory.operands(rank, count), exclusive);
    }
    ASSERT_EQ(simulator.run(), "");
    memory.check(inputs);
  });
}
TEST(Scan, EverybodyHasTheResultUpToItself) { test_scan(Collective::kScan); }
TEST(Exscan, EverybodyHasTheResultBelowItself) { test_scan(Collective::kExscan); }

}  // namespace
}  // namespace tern::mpi::coll::reduce_test
