// Connections and message numbers of many processes on a network that misbehaves.
#include "tests/sim/world.h"
#include "tests/unit/seed.h"

namespace tern::sim {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
constexpr NodeId kScale = 8;  // Checked code is slow; the seeds do not know.
#else
constexpr NodeId kScale = 1;
#endif

constexpr Micros kSecond = 1'000'000;

connect::Options options(std::size_t connections_max = 0) {
  connect::Options options;
  options.connections_max = connections_max;
  options.dials_max = 8;
  return options;
}

Faults rough() {
  Faults faults;
  faults.loss = 0.2;
  faults.doubling = 0.1;
  faults.delay = 0.2;
  faults.breaking = 0.01;
  faults.no_endpoint = 0.05;
  return faults;
}

// Everybody sends to some others, at random times within `during`.
void random_traffic(World& world, std::uint64_t bursts, Micros during) {
  for (std::uint64_t i = 0; i < bursts; ++i) {
    const auto from = static_cast<NodeId>(world.below(world.size()));
    const auto to = static_cast<NodeId>(world.below(world.size()));
    if (from == to) continue;
    const std::uint64_t messages = 1 + world.below(12);
    world.at(world.now() + world.below(during),
             [&world, from, to, messages] { world.want(from, to, messages); });
  }
}

TEST(ConnectSim, TwoThousandPeersWithoutFaults) {
  World world(2000 / kScale, test::seed(), options());
  random_traffic(world, 6000 / kScale, kSecond / 10);
  world.run_until(world.now() + kSecond / 10);
  EXPECT_LT(world.settle(10 * kSecond), kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  world.leave_all();
}

TEST(ConnectSim, ThousandPeersOnARoughNetwork) {
  World world(1000 / kScale, test::seed() + 1, options());
  world.faults = rough();
  random_traffic(world, 6000 / kScale, 2 * kSecond);
  world.run_until(world.now() + 2 * kSecond);
  EXPECT_GT(world.broken(), 0U);
  EXPECT_LT(world.settle(60 * kSecond), 10 * kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  world.leave_all();
}

// The same seed gives the same run, event by event; another one does not.
TEST(ConnectSim, SeedReplays) {
  const auto trace = [](std::uint64_t seed) {
    World world(40, seed, options(3));
    world.faults = rough();
    random_traffic(world, 300, kSecond);
    world.run_until(world.now() + 2 * kSecond);
    return world.hash();
  };
  EXPECT_EQ(trace(test::seed()), trace(test::seed()));
  EXPECT_NE(trace(test::seed()), trace(test::seed() + 1));
}

// All to all over 64 processes that may hold 4 connections each, also with 1 and on a rough
// network.
TEST(ConnectSim, AllToAllWithinABudget) {
  for (const std::size_t budget : {4, 1}) {
    for (const bool is_rough : {false, true}) {
      SCOPED_TRACE("budget " + std::to_string(budget) + (is_rough ? ", rough" : ""));
      const NodeId size = kScale == 1 ? 64 : 24;
      World world(size, test::seed() + budget, options(budget));
      if (is_rough) world.faults = rough();
      for (NodeId a = 0; a < size; ++a) {
        for (NodeId b = 0; b < size; ++b) {
          if (a != b) world.want(a, b, 1 + world.below(8));
        }
      }
      if (is_rough) world.run_until(world.now() + 3 * kSecond);
      const Micros took = world.settle(600 * kSecond);
      EXPECT_LT(took, 300 * kSecond);
      std::cout << "budget " << budget << (is_rough ? " rough: " : ": ") << took / 1000 << " ms\n";
      EXPECT_EQ(world.first_unsatisfied(), "");
      EXPECT_EQ(world.failed(), 0U);
      world.leave_all();
    }
  }
}

// Traffic goes on in phases; connections come and go with it, and in the end all is there.
TEST(ConnectSim, ManyPeersWithinABudget) {
  World world(600 / kScale, test::seed() + 2, options(5));
  world.faults = rough();
  random_traffic(world, 6000 / kScale, 4 * kSecond);
  world.run_until(world.now() + 4 * kSecond);
  EXPECT_LT(world.settle(600 * kSecond), 60 * kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  EXPECT_EQ(world.failed(), 0U);
  world.leave_all();
}

TEST(ConnectSim, ProcessesDieAndReturn) {
  World world(300 / kScale, test::seed() + 3, options(8));
  world.faults = rough();
  random_traffic(world, 4000 / kScale, 5 * kSecond);
  for (NodeId i = 0; i < 60 / kScale; ++i) {
    const auto victim = static_cast<NodeId>(world.below(world.size()));
    const Micros when = world.now() + world.below(4 * kSecond);
    world.at(when, [&world, victim] { world.crash(victim); });
    world.at(when + 1 + world.below(kSecond), [&world, victim] { world.restart(victim); });
  }
  world.run_until(world.now() + 6 * kSecond);
  EXPECT_LT(world.settle(600 * kSecond), 60 * kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  EXPECT_EQ(world.failed(), 0U);
  world.leave_all();
}

// Two halves that cannot reach each other for less than the deadline: nobody is given up.
TEST(ConnectSim, NetworkInTwoHalves) {
  World world(200 / kScale, test::seed() + 4, options());
  random_traffic(world, 2000 / kScale, 10 * kSecond);
  world.at(world.now() + kSecond, [&world] {
    world.cut = [half = world.size() / 2](NodeId a, NodeId b) { return (a < half) != (b < half); };
  });
  world.run_until(world.now() + 10 * kSecond);
  EXPECT_LT(world.settle(600 * kSecond), 3 * kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  EXPECT_EQ(world.failed(), 0U);
  world.leave_all();
}

// A peer that is dead for good is given up after the deadline, by those who need it, and only by
// them.
TEST(ConnectSim, DeadPeerFailsAfterTheDeadline) {
  World world(20, test::seed() + 5, options());
  for (NodeId a = 1; a < 10; ++a) world.want(a, 0, 5);
  for (NodeId a = 1; a < 20; ++a) world.want(a, 1 + a % 19, 3);
  // Long enough that everybody knows that what was sent has arrived.
  world.run_until(world.now() + 4 * kSecond);
  EXPECT_EQ(world.first_unsatisfied(), "");
  world.crash(0);
  for (NodeId a = 1; a < 6; ++a) world.want(a, 0, 1);
  world.run_until(world.now() + 29 * kSecond);
  EXPECT_EQ(world.failed(), 0U);
  world.run_until(world.now() + 5 * kSecond);
  EXPECT_EQ(world.failed(), 5U);
  for (NodeId a = 1; a < 6; ++a) {
    EXPECT_EQ(world.node(a)->find(0)->state(), State::kFailed);
    EXPECT_EQ(world.node(a)->find(0)->reason(), connect::Reason::kNoAnswer);
  }
  world.leave_all();
}

}  // namespace
}  // namespace tern::sim
