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

}  // namespace
}  // namespace tern::sim
