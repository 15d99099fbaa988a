// Plans for connecting in advance: every pair once, in the same round at both ends, nobody twice in
// a round; and the file of pairs.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/preconnect.h"
#include "tests/unit/seed.h"

namespace tern::preconnect {
namespace {

using test::Random;

TEST(Preconnect, PlansAreRead) {
  Plan plan;
  std::string why;
  EXPECT_TRUE(parse_plan("none", plan, why));
  EXPECT_EQ(plan.kind, Plan::Kind::kNone);
  EXPECT_TRUE(parse_plan("all", plan, why));
  EXPECT_EQ(plan.kind, Plan::Kind::kAll);
  EXPECT_TRUE(parse_plan("nodes", plan, why));
  EXPECT_EQ(plan.kind, Plan::Kind::kNodes);
  EXPECT_TRUE(parse_plan("neighbors:12", plan, why));
  EXPECT_EQ(plan.kind, Plan::Kind::kNeighbors);
  EXPECT_EQ(plan.neighbors, 12U);
  EXPECT_TRUE(parse_plan("file:a:b", plan, why));
  EXPECT_EQ(plan.path, "a:b");
  for (const char* bad :
       {"some", "all:", "neighbors", "neighbors:", "neighbors:0", "neighbors:-1", "neighbors:3x",
        "file:", "file", "nodes:2", "neighbors:99999999999999999999"}) {
    why.clear();
    EXPECT_FALSE(parse_plan(bad, plan, why)) << bad;
    EXPECT_NE(why.find("'" + std::string(bad) + "'"), std::string::npos) << why;
    EXPECT_NE(why.find("allowed: none, all"), std::string::npos);
  }
}

TEST(Preconnect, TournamentMeetsEveryPairOnce) {
  for (Rank size = 1; size <= 40; ++size) {
    std::set<Pair> met;
    for (Rank round = 0; round < tournament_rounds(size); ++round) {
      for (Rank rank = 0; rank < size; ++rank) {
        const Rank partner = tournament_partner(size, round, rank);
        ASSERT_LT(partner, size);
        ASSERT_EQ(tournament_partner(size, round, partner), rank);
        if (rank < partner) {
          ASSERT_TRUE(met.insert({rank, partner}).second);
        }
      }
    }
    EXPECT_EQ(met.size(), std::size_t{size} * (size - 1) / 2);
    EXPECT_LE(tournament_rounds(size), size);
  }
}

Plan plan_of(Plan::Kind kind, Rank neighbors = 0) {
  Plan plan;
  plan.kind = kind;
  plan.neighbors = neighbors;
  return plan;
}

// All ranks' lists: symmetric, without repetitions.
std::map<Rank, std::set<Rank>> all_partners(const Plan& plan, Rank size,
                                            std::span<const Rank> node_of = {},
                                            std::span<const Pair> pairs = {}) {
  std::map<Rank, std::set<Rank>> result;
  for (Rank rank = 0; rank < size; ++rank) {
    const std::vector<Rank> list = partners(plan, rank, size, node_of, pairs);
    result[rank] = std::set<Rank>(list.begin(), list.end());
    EXPECT_EQ(result[rank].size(), list.size()) << "a partner twice";
    EXPECT_EQ(result[rank].count(rank), 0U);
  }
  for (const auto& [rank, set] : result) {
    for (const Rank partner : set) EXPECT_EQ(result[partner].count(rank), 1U);
  }
  return result;
}

TEST(Preconnect, PartnersOfEachPlan) {
  for (Rank size = 1; size <= 20; ++size) {
    EXPECT_TRUE(partners({}, 0, size, {}, {}).empty());
    for (const auto& [rank, set] : all_partners(plan_of(Plan::Kind::kAll), size)) {
      EXPECT_EQ(set.size(), size - 1);
    }
    for (Rank reach = 1; reach <= 12; ++reach) {
      for (const auto& [rank, set] : all_partners(plan_of(Plan::Kind::kNeighbors, reach), size)) {
        std::set<Rank> expected;
        for (Rank d = 1; d <= reach; ++d) {
          expected.insert((rank + d) % size);
          expected.insert((rank + size * d - d) % size);
        }
        expected.erase(rank);
        EXPECT_EQ(set, expected) << size << " ranks, " << reach << " neighbours of " << rank;
      }
    }
  }
  Random random(1);
  for (int run = 0; run < 50; ++run) {
    const auto size = static_cast<Rank>(1 + random.below(30));
    std::vector<Rank> node_of;
    for (Rank r = 0; r < size; ++r) node_of.push_back(static_cast<Rank>(random.below(5)));
    const auto leader = [&](Rank rank) {
      return static_cast<Rank>(std::find(node_of.begin(), node_of.end(), node_of[rank]) -
                               node_of.begin());
    };
    for (const auto& [rank, set] : all_partners(plan_of(Plan::Kind::kNodes), size, node_of)) {
      for (Rank other = 0; other < size; ++other) {
        const bool both_lead = leader(rank) == rank && leader(other) == other;
        const bool one_host = leader(rank) == other || leader(other) == rank;
        EXPECT_EQ(set.count(other), rank != other && (both_lead || one_host) ? 1U : 0U);
      }
    }
  }
}

TEST(Preconnect, PairsBecomeRounds) {
  Random random(2);
  for (int run = 0; run < 100; ++run) {
    const auto size = static_cast<Rank>(2 + random.below(20));
    std::vector<Pair> pairs;
    std::map<Rank, std::set<Rank>> degree;
    for (std::uint64_t i = random.below(60); i > 0; --i) {
      const auto a = static_cast<Rank>(random.below(size));
      const auto b = static_cast<Rank>(random.below(size));
      pairs.emplace_back(a, b);
      if (a != b) degree[a].insert(b), degree[b].insert(a);
    }
    std::size_t largest = 0;
    for (const auto& [rank, set] : degree) largest = std::max(largest, set.size());
    const auto rounds = rounds_of(pairs);
    EXPECT_LE(rounds.size(), largest == 0 ? 0 : 2 * largest - 1);
    std::map<Rank, std::set<Rank>> seen;
    for (const auto& round : rounds) {
      std::set<Rank> busy;
      for (const auto& [a, b] : round) {
        EXPECT_TRUE(busy.insert(a).second && busy.insert(b).second);
        seen[a].insert(b), seen[b].insert(a);
      }
    }
    EXPECT_EQ(seen, degree);
    for (const auto& [rank, set] : all_partners(plan_of(Plan::Kind::kFile), size, {}, pairs)) {
      EXPECT_EQ(set, degree[rank]);
    }
  }
}

TEST(Preconnect, FileIsReadAsWritten) {
  Random random(3);
  std::vector<Talk> talks;
  std::set<Pair> expected;
  for (int i = 0; i < 300; ++i) {
    const auto a = static_cast<Rank>(random.below(100));
    const auto b = static_cast<Rank>(random.below(100));
    if (a == b) continue;
    talks.emplace_back(Pair(a, b), counters::Volume{1, 8});
    expected.insert({std::min(a, b), std::max(a, b)});
  }
  const std::string text = write_pairs(talks, 100);
  std::vector<Pair> read;
  std::string why;
  ASSERT_TRUE(read_pairs(text, "pairs.txt", 100, read, why)) << why;
  EXPECT_EQ(read, std::vector<Pair>(expected.begin(), expected.end()));
  // A smaller job takes what concerns it.
  ASSERT_TRUE(read_pairs(text, "pairs.txt", 10, read, why));
  for (const auto& [a, b] : read) EXPECT_TRUE(a < 10 && b < 10);
}

TEST(Preconnect, BadLinesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "f:1: is empty"},
      {"# nothing\n\n", "f:2: is empty"},
      {"0 1\n", "f:1: wants 'tern-pairs 1 SIZE'"},
      {"tern-pairs 2 8\n", "f:1: wants 'tern-pairs 1 SIZE'"},
      {"tern-pairs 1 x\n", "f:1: 'x' is no number of ranks"},
      {"tern-pairs 1 0\n", "f:1: '0' is no number of ranks"},
      {"tern-pairs 1 8\n0 1\n2\n", "f:3: wants two ranks, such as '0 7', not '2 '"},
      {"tern-pairs 1 8\n0 one\n", "f:2: wants two ranks"},
      {"tern-pairs 1 8\n-1 2\n", "f:2: wants two ranks"},
      {"tern-pairs 1 8\n\n0 8\n", "f:3: rank 8 is not below 8"},
      {"tern-pairs 1 8\n3 3\n", "f:2: pairs rank 3 with itself"},
      {"tern-pairs 1 8\n3 4 many\n", "f:2: 'many' is no number of messages"},
  };
  for (const auto& [text, expected] : cases) {
    std::vector<Pair> pairs;
    std::string why;
    EXPECT_FALSE(read_pairs(text, "f", 8, pairs, why)) << text;
    EXPECT_EQ(why.rfind(expected, 0), 0U) << why;
  }
  std::vector<Pair> pairs;
  std::string why;
  EXPECT_TRUE(
      read_pairs("# made by hand\ntern-pairs 1 8\n 1\t0 5 100 # five\r\n7 0", "f", 8, pairs, why))
      << why;
  EXPECT_EQ(pairs, (std::vector<Pair>{{0, 1}, {0, 7}}));
}

TEST(Preconnect, WalkDialsItsSideWithABound) {
  Walk walk({3, 0, 4, 1}, 2, 2);
  Rank partner = 0;
  bool dial = false;
  ASSERT_TRUE(walk.next(partner, dial));
  EXPECT_TRUE(partner == 3 && dial);
  ASSERT_TRUE(walk.next(partner, dial));
  EXPECT_TRUE(partner == 0 && !dial) << "the smaller rank dials";
  EXPECT_FALSE(walk.next(partner, dial));
  walk.finished();
  ASSERT_TRUE(walk.next(partner, dial));
  EXPECT_TRUE(partner == 4 && dial);
  walk.finished();
  walk.finished();
  ASSERT_TRUE(walk.next(partner, dial));
  EXPECT_TRUE(partner == 1 && !dial);
  EXPECT_FALSE(walk.next(partner, dial));
  EXPECT_FALSE(walk.done());
  walk.finished();
  EXPECT_TRUE(walk.done());
}

// Two groups: each with all of the other, nobody twice in a round, and walks that end.
TEST(Preconnect, GroupsMeetAcross) {
  for (Rank first = 1; first <= 9; ++first) {
    for (Rank second = 1; second <= 9; ++second) {
      const Rank size = first + second;
      std::vector<Walk> walks;
      std::vector<Rank> at(size, size);
      for (Rank place = 0; place < size; ++place) {
        std::vector<Rank> all = partners_across(place, first, second);
        walks.emplace_back(all, place, 1);
        std::sort(all.begin(), all.end());
        std::vector<Rank> expected(place < first ? second : first);
        std::iota(expected.begin(), expected.end(), place < first ? first : 0);
        EXPECT_EQ(all, expected) << place << " of " << first << " and " << second;
      }
      for (bool moved = true; moved;) {
        moved = false;
        for (Rank place = 0; place < size; ++place) {
          bool dial = false;
          moved |= walks[place].next(at[place], dial);
          const Rank other = at[place];
          if (other == size || at[other] != place) continue;
          walks[place].finished();
          walks[other].finished();
          at[place] = at[other] = size;
          moved = true;
        }
      }
      for (const Walk& walk : walks) EXPECT_TRUE(walk.done()) << first << " and " << second;
    }
  }
}

// Everybody walks with one partner at a time, and a pair is finished when both ends are at it: that
// comes to an end for every plan.
TEST(Preconnect, WalksOfAllEndWithTheLeastOverlap) {
  Random random(4);
  for (Rank size = 2; size <= 24; ++size) {
    std::vector<Rank> node_of;
    for (Rank r = 0; r < size; ++r) node_of.push_back(static_cast<Rank>(random.below(4)));
    std::vector<Pair> pairs;
    for (Rank i = 0; i < 2 * size; ++i) {
      pairs.emplace_back(static_cast<Rank>(random.below(size)),
                         static_cast<Rank>(random.below(size)));
    }
    for (const Plan& plan :
         {plan_of(Plan::Kind::kAll), plan_of(Plan::Kind::kNeighbors, 1),
          plan_of(Plan::Kind::kNeighbors, 4), plan_of(Plan::Kind::kNeighbors, size),
          plan_of(Plan::Kind::kNodes), plan_of(Plan::Kind::kFile)}) {
      std::vector<Walk> walks;
      std::vector<Rank> at(size);  // size: between partners, or done.
      for (Rank rank = 0; rank < size; ++rank) {
        walks.emplace_back(partners(plan, rank, size, node_of, pairs), rank, 1);
        at[rank] = size;
      }
      bool moved = true;
      while (moved) {
        moved = false;
        for (Rank rank = 0; rank < size; ++rank) {
          bool dial = false;
          moved |= walks[rank].next(at[rank], dial);
          const Rank other = at[rank];
          if (other == size || at[other] != rank) continue;
          walks[rank].finished();
          walks[other].finished();
          at[rank] = at[other] = size;
          moved = true;
        }
      }
      for (Rank rank = 0; rank < size; ++rank) {
        EXPECT_TRUE(walks[rank].done())
            << "rank " << rank << " of " << size << " waits for ever, plan "
            << static_cast<int>(plan.kind) << ":" << plan.neighbors;
      }
    }
  }
}

}  // namespace
}  // namespace tern::preconnect
