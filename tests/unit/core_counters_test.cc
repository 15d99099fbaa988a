// The table of counters, its readers in other threads, and what engines count.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "core/counters.h"

namespace tern::counters {
namespace {

std::uint64_t value_of(std::string_view name) {
  for (std::size_t i = 0; i < table().size(); ++i) {
    if (table()[i].name == name) return read(i);
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

TEST(Counters, TheTableNamesEachCounterOnce) {
  std::set<std::string> names;
  for (const Row& row : table()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.meaning.empty());
    EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos);
    const bool has_unit =
        row.name.find("bytes") != std::string::npos || row.name.find("time") != std::string::npos;
    EXPECT_EQ(has_unit, row.unit != Unit::kCount) << row.name;
  }
  EXPECT_EQ(table().data(), table().data());
}

TEST(Counters, HandshakesAreShortestMeanAndLongest) {
  FabricCounters& of = of_fabric("a network that has no entry of its own");
  EXPECT_EQ(&of, &of_fabric("nor has this one"));
  EXPECT_NE(&of, &of_fabric("shm"));
  EXPECT_EQ(value_of("other_handshake_time_mean"), 0U);
  for (const std::uint64_t us : {30, 10, 50}) of.count_opened(us);
  EXPECT_EQ(value_of("other_connections_opened"), 3U);
  EXPECT_EQ(value_of("other_handshake_time_min"), 10U);
  EXPECT_EQ(value_of("other_handshake_time_mean"), 30U);
  EXPECT_EQ(value_of("other_handshake_time_max"), 50U);
}

TEST(Counters, WhatIsGivenBackStaysCounted) {
  TrafficPool pool;
  std::uint64_t expected = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<Traffic*> taken;
    for (int i = 0; i < 100; ++i) {
      taken.push_back(&pool.take());
      taken.back()->count(Protocol::kEager, 7);
      taken.back()->count(Protocol::kFetched, 1000);
      ++expected;
    }
    EXPECT_EQ(std::set<Traffic*>(taken.begin(), taken.end()).size(), taken.size());
    for (Traffic* const traffic : taken) pool.give_back(*traffic);
    const Volumes total = pool.total();
    EXPECT_EQ(total[static_cast<int>(Protocol::kEager)].messages, expected);
    EXPECT_EQ(total[static_cast<int>(Protocol::kEager)].bytes, 7 * expected);
    EXPECT_EQ(total[static_cast<int>(Protocol::kFetched)].bytes, 1000 * expected);
    EXPECT_EQ(total[static_cast<int>(Protocol::kStreamed)].messages, 0U);
  }
}

// A reader needs no lock: it sees sums that only grow, while peers come and go.
TEST(Counters, AnyThreadReadsAtAnyTime) {
  TrafficPool pool;
  std::atomic<bool> over{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!over.load()) {
      const std::uint64_t now = pool.total()[static_cast<int>(Protocol::kEager)].messages;
      EXPECT_GE(now, last);
      last = now;
    }
  });
  for (int i = 0; i < 2000; ++i) {
    Traffic& traffic = pool.take();
    traffic.count(Protocol::kEager, 1);
    if (i % 3 == 0) pool.give_back(traffic);
  }
  over.store(true);
  reader.join();
  EXPECT_EQ(pool.total()[static_cast<int>(Protocol::kEager)].messages, 2000U);
}

}  // namespace
}  // namespace tern::counters
