// The schedule engine itself: order, restart, failures, and the table of algorithms.
#include "mpi_api/coll/schedule.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "mpi_api/coll/algorithms.h"
#include "mpi_api/coll/selection.h"
#include "tests/unit/coll_simulator.h"
#include "tests/unit/seed.h"

namespace tern::mpi::coll {
namespace {

using test::Random;

// Never called: for schedules without messages.
struct NoChannel final : Channel {
  bool send(int, int, const DataView&, tern::Request&) override { return false; }
  void receive(int, int, const DataView&, tern::Request&) override {}
  void cancel_receive(tern::Request&) override {}
};

DataView cell(int& place) { return DataView::bytes_at(&place, sizeof place); }

TEST(Schedule, RunsStepsAfterTheirPredecessorsWhateverTheOrderOfBuilding) {
  NoChannel channel;
  Schedule s;
  s.reset(0, 1, channel);
  // A chain of copies through an array, built from its middle outwards.
  std::array<int, 8> cells{7, 0, 0, 0, 0, 0, 0, 0};
  std::array<Step, 7> steps{};
  for (const std::size_t i : {3U, 4U, 2U, 5U, 1U, 6U, 0U}) {
    steps[i] = s.copy(cell(cells[i]), cell(cells[i + 1]));
  }
  for (std::size_t i = 1; i < steps.size(); ++i) s.order(steps[i - 1], steps[i]);
  s.start();
  ASSERT_TRUE(s.done());
  EXPECT_EQ(cells, (std::array<int, 8>{7, 7, 7, 7, 7, 7, 7, 7}));
  // Persistent operations start the same graph again.
  cells[0] = 9;
  s.start();
  ASSERT_TRUE(s.done());
  EXPECT_EQ(cells[7], 9);
}

TEST(Schedule, AnEmptyOneIsDoneAtOnceAndSaysSoOnce) {
  NoChannel channel;
  Schedule s;
  s.reset(0, 1, channel);
  int calls = 0;
  s.owner = &calls;
  s.on_done = [](Schedule& schedule) { ++*static_cast<int*>(schedule.owner); };
  s.start();
  EXPECT_TRUE(s.done());
  EXPECT_EQ(s.outcome(), Outcome::kOk);
  EXPECT_EQ(calls, 1);
}

TEST(Schedule, ScratchIsAlignedDistinctAndKept) {
  NoChannel channel;
  Schedule s;
  for (int round = 0; round < 3; ++round) {
    s.reset(0, 1, channel);
    std::vector<std::pair<std::byte*, std::size_t>> places;
    for (const std::size_t size : {1U, 64U, 500U, 2000U, 100000U, 3U, 7000U}) {
      std::byte* const place = s.scratch(size);
      ASSERT_NE(place, nullptr);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(place) % 64, 0U);
      std::fill_n(place, size, std::byte(places.size()));
      places.emplace_back(place, size);
    }
    for (std::size_t i = 0; i < places.size(); ++i) {
      for (std::size_t at = 0; at < places[i].second; ++at) {
        ASSERT_EQ(places[i].first[at], std::byte(i));
      }
    }
  }
  EXPECT_FALSE(s.out_of_memory());
  EXPECT_GE(s.memory_bytes(), 100000U);
  s.release_memory();
  EXPECT_EQ(s.memory_bytes(), 0U);
}

TEST(Schedule, ImpossibleScratchIsReportedNotUsed) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends the process instead of returning no memory";
#endif
  NoChannel channel;
  Schedule s;
  s.reset(0, 1, channel);
  EXPECT_EQ(s.scratch(std::size_t{1} << 60), nullptr);
  EXPECT_TRUE(s.out_of_memory());
  s.reset(0, 1, channel);
  EXPECT_FALSE(s.out_of_memory());
}

TEST(Schedule, RestartsWithMessages) {
  Random random(1);
  for (int repeat = 0; repeat < 50; ++repeat) {
    Simulator simulator(5, random.below(1U << 30));
    std::array<int, 5> cells{};
    for (int rank = 0; rank < 5; ++rank) {
      bcast(simulator.schedule(rank), Algorithm::kBinomial, cell(cells[std::size_t(rank)]), 2);
    }
    for (const int value : {11, 22, 33}) {
      cells.fill(0);
      cells[2] = value;
      ASSERT_EQ(simulator.run(), "");
      EXPECT_EQ(cells, (std::array<int, 5>{value, value, value, value, value}));
    }
  }
}

// A message that is too long fills the memory and is reported; everybody else is served.
TEST(Schedule, TruncationIsReportedAndTheOthersGoOn) {
  Random random(2);
  for (int repeat = 0; repeat < 50; ++repeat) {
    Simulator simulator(8, random.below(1U << 30));
    std::vector<std::array<int, 2>> data(8);
    data[0] = {5, 6};
    for (int rank = 0; rank < 8; ++rank) {
      bcast(simulator.schedule(rank), Algorithm::kFlat,
            DataView::bytes_at(data[std::size_t(rank)].data(), rank == 4 ? 4 : 8), 0);
    }
    ASSERT_EQ(simulator.run(), "");
    for (int rank = 0; rank < 8; ++rank) {
      const Schedule& s = simulator.schedule(rank);
      EXPECT_EQ(s.outcome(), rank == 4 ? Outcome::kTruncated : Outcome::kOk);
      EXPECT_EQ(data[std::size_t(rank)], (std::array<int, 2>{5, rank == 4 ? 0 : 6}));
    }
    EXPECT_EQ(simulator.schedule(4).failed_rank(), 0);
  }
}

// Members that need the dead one end with an error that names it. Nobody who succeeds has wrong
// data.
TEST(Schedule, ALostPeerEndsItsPartners) {
  Random random(3);
  for (int repeat = 0; repeat < 200; ++repeat) {
    Simulator simulator(6, random.below(1U << 30));
    simulator.kill(3);
    std::vector<std::array<int, 6>> all(6);
    std::array<int, 6> own{10, 11, 12, 13, 14, 15};
    static const Datatype type(Layout::dense(sizeof(int)), Basic::kInt32, "int");
    for (int rank = 0; rank < 6; ++rank) {
      const DataView mine = cell(own[std::size_t(rank)]);
      allgather(simulator.schedule(rank), Algorithm::kFlat, &mine,
                Blocks(all[std::size_t(rank)].data(), 1, type));
    }
    simulator.run();
    for (int rank = 0; rank < 6; ++rank) {
      const Schedule& s = simulator.schedule(rank);
      ASSERT_TRUE(s.done()) << "rank " << rank;
      ASSERT_EQ(s.outcome(), Outcome::kPeerLost);
      if (rank != 3) {
        EXPECT_EQ(s.failed_rank(), 3);
      }
    }
  }
}

TEST(Selection, EveryCollectiveHasARuleForEverything) {
  ASSERT_EQ(selections().size(), kCollectives);
  for (std::size_t i = 0; i < kCollectives; ++i) {
    const Selection& selection = selections()[i];
    SCOPED_TRACE(std::string(selection.name));
    EXPECT_EQ(static_cast<std::size_t>(selection.collective), i);
    const Rule& last = selection.rules.back();
    EXPECT_EQ(last.ranks_max, kAnyRanks);
    EXPECT_EQ(last.bytes_max, kAnyBytes);
    EXPECT_EQ(last.only, Rule::Only::kAll);
    for (const Rule& rule : selection.rules) {
      const auto& offered = selection.algorithms;
      EXPECT_NE(std::find(offered.begin(), offered.end(), rule.algorithm), offered.end());
      const auto& restricted = selection.commutative_only;
      if (std::find(restricted.begin(), restricted.end(), rule.algorithm) != restricted.end()) {
        EXPECT_NE(rule.only, Rule::Only::kAll);
      }
    }
  }
}

TEST(Selection, AnOverrideHoldsWhereItIsPossible) {
  EXPECT_EQ(override_algorithm("TERN_COLL_ALLREDUCE=halving"), "");
  EXPECT_EQ(select(Collective::kAllreduce, 2, 8, true), Algorithm::kHalving);
  EXPECT_NE(select(Collective::kAllreduce, 2, 8, false), Algorithm::kHalving);
  EXPECT_EQ(override_algorithm("TERN_COLL_ALLREDUCE=auto"), "");
  EXPECT_NE(select(Collective::kAllreduce, 2, 8, true), Algorithm::kHalving);
}

TEST(Selection, AlgorithmsThatNeedMoreThanMessagesAreForThoseWhoHaveIt) {
  EXPECT_EQ(select(Collective::kAllreduce, 64, 8, true, Means::kHosts), Algorithm::kTwoLevel);
  EXPECT_NE(select(Collective::kAllreduce, 64, 8), Algorithm::kTwoLevel);
  EXPECT_EQ(override_algorithm("TERN_COLL_SCATTER=two_level"), "");
  EXPECT_EQ(select(Collective::kScatter, 8, 1 << 20, true, Means::kHosts), Algorithm::kTwoLevel);
  EXPECT_NE(select(Collective::kScatter, 8, 1 << 20), Algorithm::kTwoLevel);
  EXPECT_EQ(override_algorithm("TERN_COLL_SCATTER=auto"), "");
}

TEST(Selection, AWrongOverrideSaysWhatIsAllowedAndChangesNothing) {
  const Algorithm before = select(Collective::kBcast, 2, 8);
  const std::string algorithm = override_algorithm("TERN_COLL_BCAST=fast");
  EXPECT_NE(algorithm.find("binomial"), std::string::npos) << algorithm;
  const std::string collective = override_algorithm("TERN_COLL_BROADCAST=flat");
  EXPECT_NE(collective.find("bcast"), std::string::npos) << collective;
  EXPECT_NE(override_algorithm("TERN_COLL_"), "");
  EXPECT_NE(override_algorithm("TERN_COLL_BCAST"), "");
  EXPECT_EQ(select(Collective::kBcast, 2, 8), before);
}

// A file with this text.
class AlgorithmFile {
 public:
  explicit AlgorithmFile(const std::string& text) {
    const int fd = mkstemp(path_);
    EXPECT_GE(fd, 0);
    EXPECT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(fd);
  }
  ~AlgorithmFile() {
    unlink(path_);
    EXPECT_TRUE(read_algorithm_file("").empty());
  }
  AlgorithmFile(const AlgorithmFile&) = delete;
  AlgorithmFile& operator=(const AlgorithmFile&) = delete;
  std::vector<std::string> read() const { return read_algorithm_file(path_); }

 private:
  char path_[32] = "/tmp/tern-coll-XXXXXX";
};

TEST(Selection, TheFirstLineOfAFileThatFitsDecides) {
  const Algorithm otherwise = select(Collective::kBcast, 3, 8);
  const AlgorithmFile file(
      "# a comment\n\n"
      "allreduce 4 1k central  # and another\n"
      "allreduce 4 * halving\n"
      "  allreduce\t* * doubling\n"
      "barrier 8 * shared\n");
  ASSERT_EQ(file.read(), std::vector<std::string>());
  EXPECT_EQ(select(Collective::kAllreduce, 4, 1024), Algorithm::kCentral);
  EXPECT_EQ(select(Collective::kAllreduce, 4, 1025), Algorithm::kHalving);
  EXPECT_EQ(select(Collective::kAllreduce, 4, 1025, false), Algorithm::kDoubling);
  EXPECT_EQ(select(Collective::kAllreduce, 5, 8), Algorithm::kDoubling);
  EXPECT_EQ(select(Collective::kBarrier, 8, 0, true, Means::kShared), Algorithm::kShared);
  EXPECT_NE(select(Collective::kBarrier, 8, 0), Algorithm::kShared);
  EXPECT_EQ(select(Collective::kBcast, 3, 8), otherwise);
  // A variable of one collective goes before the file.
  EXPECT_EQ(override_algorithm("TERN_COLL_ALLREDUCE=flat"), "");
  EXPECT_EQ(select(Collective::kAllreduce, 4, 1024), Algorithm::kFlat);
  const Selection& allreduce = selections()[static_cast<std::size_t>(Collective::kAllreduce)];
  const std::vector<Rule> rules = rules_in_force(allreduce);
  ASSERT_EQ(rules.size(), 4 + allreduce.rules.size());
  EXPECT_EQ(rules[0].algorithm, Algorithm::kFlat);
  EXPECT_EQ(rules[1].bytes_max, 1024U);
  EXPECT_EQ(override_algorithm("TERN_COLL_ALLREDUCE=auto"), "");
}

TEST(Selection, AFileWithMistakesNamesTheirLinesAndHasNoEffect) {
  const Algorithm before = select(Collective::kAllreduce, 4, 8);
  const AlgorithmFile file(
      "allreduce * * binomial\n"
      "allreduce * binomial\n"
      "broadcast * * flat\n"
      "bcast 0 * flat\n"
      "bcast 4 64q flat\n"
      "bcast 4 64k halving\n");
  const std::vector<std::string> problems = file.read();
  ASSERT_EQ(problems.size(), 5U);
  for (std::size_t i = 0; i < problems.size(); ++i) {
    EXPECT_NE(problems[i].find(":" + std::to_string(i + 2) + ": "), std::string::npos)
        << problems[i];
  }
  EXPECT_NE(problems[1].find("bcast"), std::string::npos) << problems[1];
  EXPECT_NE(problems[4].find("binomial"), std::string::npos) << problems[4];
  EXPECT_EQ(select(Collective::kAllreduce, 4, 8), before);
  EXPECT_EQ(read_algorithm_file("/nowhere/there").size(), 1U);
}

}  // namespace
}  // namespace tern::mpi::coll
