// Which CPUs ranks get, on machines made up for the purpose and on the real one.
#include "spawn/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <set>
#include <string>
#include <vector>

#include "spawn/foreign_slots.h"
#include "spawn/machine.h"
#include "spawn/option_values.h"
#include "spawn/slot_account.h"
#include "tests/launch/made_up_machine.h"
#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using test::Random;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PlacementWish wish(const char* bind, const char* map = "", const char* rank_by = "") {
  PlacementWish result;
  if (*bind != '\0') {
    EXPECT_EQ(read_bind_to(bind, result).text, "");
  }
  if (*map != '\0') {
    EXPECT_EQ(read_map_by(map, result).text, "");
  }
  if (*rank_by != '\0') {
    EXPECT_EQ(read_rank_by(rank_by, result).text, "");
  }
  return result;
}

TEST(Placement, ByDefaultRanksShareTheCores) {
  const Machine machine = make_machine(2, 4, 1);
  EXPECT_THAT(lists(machine, 1, {}), ElementsAre(""));
  EXPECT_THAT(lists(machine, 2, {}), ElementsAre("0-3", "4-7"));
  EXPECT_THAT(lists(machine, 3, {}), ElementsAre("0-1", "2-4", "5-7"));
  EXPECT_THAT(lists(machine, 8, {}), ElementsAre("0", "1", "2", "3", "4", "5", "6", "7"));
  EXPECT_THAT(lists(machine, 9, {}), testing::Each(""));
}

TEST(Placement, AShareIsWholeCores) {
  const Machine machine = make_machine(1, 2, 2);
  EXPECT_THAT(lists(machine, 2, {}), ElementsAre("0,2", "1,3"));
  EXPECT_THAT(lists(machine, 4, {}), testing::Each(""));
}

TEST(Placement, DefaultSharesAreDisjointAndComplete) {
  Random random;
  for (int i = 0; i < 300; ++i) {
    const Machine machine =
        make_machine(random.between(1, 4), random.between(1, 9), random.between(1, 2));
    const int cores = count_units(machine, Level::kCore);
    const int ranks = random.between(2, 40);
    std::vector<CpuSet> sets;
    ASSERT_FALSE(place(machine, ranks, {}, sets).has());
    std::multiset<int> used;
    for (const CpuSet& set : sets) {
      EXPECT_EQ(set.empty(), ranks > cores);
      used.insert(set.begin(), set.end());
    }
    if (ranks <= cores) {
      EXPECT_EQ(used.size(), machine.cpus.size());
      EXPECT_EQ(std::set<int>(used.begin(), used.end()).size(), used.size());
    }
  }
}

TEST(Placement, BindToOneObjectGoesRoundTheObjects) {
  const Machine machine = make_machine(2, 2, 2);
  EXPECT_THAT(lists(machine, 3, wish("core")), ElementsAre("0,4", "1,5", "2,6"));
  EXPECT_THAT(lists(machine, 6, wish("core")),
              ElementsAre("0,4", "1,5", "2,6", "3,7", "0,4", "1,5"));
  EXPECT_THAT(lists(machine, 3, wish("hwthread")), ElementsAre("0", "4", "1"));
  EXPECT_THAT(lists(machine, 3, wish("socket")), ElementsAre("0-1,4-5", "2-3,6-7", "0-1,4-5"));
  EXPECT_THAT(lists(machine, 2, wish("none")), ElementsAre("", ""));
}

TEST(Placement, MappingDecidesWhereBindingHowMuch) {
  const Machine machine = make_machine(2, 4, 1);
  EXPECT_THAT(lists(machine, 4, wish("core", "socket")), ElementsAre("0", "4", "1", "5"));
  EXPECT_THAT(lists(machine, 4, wish("core", "slot")), ElementsAre("0", "1", "2", "3"));
  EXPECT_THAT(lists(machine, 5, wish("socket", "slot")),
              ElementsAre("0-3", "0-3", "0-3", "0-3", "4-7"));
  EXPECT_THAT(lists(machine, 3, wish("", "numa")), ElementsAre("0-3", "4-7", "0-3"));
  EXPECT_THAT(lists(machine, 2, wish("none", "socket")), ElementsAre("", ""));
}

TEST(Placement, SeveralCoresPerRank) {
  const Machine machine = make_machine(2, 4, 1);
  EXPECT_THAT(lists(machine, 3, wish("", "slot:PE=2")), ElementsAre("0-1", "2-3", "4-5"));
  EXPECT_THAT(lists(machine, 3, wish("", "socket:PE=2")), ElementsAre("0-1", "4-5", "2-3"));
  EXPECT_THAT(lists(machine, 2, wish("core:3")), ElementsAre("0-2", "3-5"));
  EXPECT_THAT(lists(machine, 1, wish("", "slot:PE=9")), ElementsAre(HasSubstr("8 are available")));
  EXPECT_THAT(lists(machine, 1, wish("", "socket:PE=5")), ElementsAre(HasSubstr("socket")));
}

TEST(Placement, ANumberPerObject) {
  const Machine machine = make_machine(2, 4, 1);
  EXPECT_THAT(lists(machine, 4, wish("core", "ppr:2:socket")), ElementsAre("0", "1", "4", "5"));
  EXPECT_THAT(lists(machine, 4, wish("", "ppr:2:socket:PE=2")),
              ElementsAre("0-1", "2-3", "4-5", "6-7"));
  EXPECT_THAT(lists(machine, 4, wish("", "ppr:2:socket")), ElementsAre("0-3", "0-3", "4-7", "4-7"));
  EXPECT_THAT(lists(machine, 5, wish("", "ppr:2:socket")),
              ElementsAre(HasSubstr("places 4 ranks")));
  EXPECT_THAT(lists(machine, 3, wish("", "ppr:2:node")), ElementsAre(HasSubstr("places 2 ranks")));
}

TEST(Placement, RankNumbersCanGoRoundOtherObjects) {
  const Machine machine = make_machine(2, 4, 1);
  EXPECT_THAT(lists(machine, 4, wish("core", "ppr:2:socket", "socket")),
              ElementsAre("0", "4", "1", "5"));
  EXPECT_THAT(lists(machine, 4, wish("core", "socket", "slot")), ElementsAre("0", "4", "1", "5"));
}

TEST(Placement, OnlyTheListedCpus) {
  const Machine machine = make_machine(2, 4, 1);
  PlacementWish some;
  some.cpu_list = "1-2,6";
  EXPECT_THAT(lists(machine, 3, some), ElementsAre("1", "2", "6"));
  EXPECT_THAT(lists(machine, 1, some), ElementsAre("1-2,6"));
  EXPECT_THAT(lists(machine, 4, some), testing::Each("1-2,6"));
  some.cpu_list = "7-8";
  EXPECT_THAT(lists(machine, 1, some), ElementsAre(HasSubstr("CPU 8")));
  some.cpu_list = "1-";
  EXPECT_THAT(lists(machine, 1, some), ElementsAre(HasSubstr("--cpu-set")));
}

TEST(Placement, OversubscriptionIsRefusedOnlyOnRequest) {
  const Machine machine = make_machine(1, 2, 2);
  EXPECT_THAT(lists(machine, 3, wish("", ":NOOVERSUBSCRIBE")), ElementsAre(HasSubstr("2 cores")));
  EXPECT_THAT(lists(machine, 2, wish("", ":NOOVERSUBSCRIBE")), ElementsAre("0,2", "1,3"));
  EXPECT_THAT(lists(machine, 4, wish("", ":NOOVERSUBSCRIBE:HWTCPUS")),
              ElementsAre("0", "2", "1", "3"));
}

TEST(Placement, EveryWishEndsInSetsOfTheMachineOrAProblem) {
  Random random;
  const std::vector<const char*> objects = {"hwthread", "core",   "l1cache", "l2cache", "l3cache",
                                            "numa",     "socket", "node",    "slot"};
  for (int i = 0; i < 3000; ++i) {
    const Machine machine =
        make_machine(random.between(1, 3), random.between(1, 5), random.between(1, 3));
    PlacementWish any;
    any.bind_none = random.one_in(8);
    if (!any.bind_none && random.one_in(2)) (void)read_bind_to(objects[random.below(8)], any);
    if (random.one_in(2)) (void)read_map_by(objects[random.below(objects.size())], any);
    if (any.map && random.one_in(3)) any.per_object = random.between(1, 4);
    if (random.one_in(3)) any.cores_per_rank = random.between(1, 6);
    if (random.one_in(3)) (void)read_rank_by(objects[random.below(8)], any);
    any.count_hwthreads = random.one_in(4);
    any.refuse_oversubscription = random.one_in(6);
    if (random.one_in(6)) any.cpu_list = "0";
    const int ranks = random.between(1, 30);
    std::vector<CpuSet> sets;
    if (place(machine, ranks, any, sets).has()) continue;
    ASSERT_EQ(sets.size(), static_cast<std::size_t>(ranks));
    for (const CpuSet& set : sets) {
      for (const int cpu : set) ASSERT_LT(static_cast<std::size_t>(cpu), machine.cpus.size());
    }
  }
}

TEST(CpuList, ReadsAndWrites) {
  EXPECT_EQ(read_cpu_list("0"), (CpuSet{0}));
  EXPECT_EQ(read_cpu_list("3,1-2,2"), (CpuSet{1, 2, 3}));
  EXPECT_EQ(format_cpu_list({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(format_cpu_list({}), "");
  for (const char* wrong : {"", ",", "1,", "-", "2-1", "a", "1-b", "-1", "1--2", "0-9999999"}) {
    EXPECT_FALSE(read_cpu_list(wrong).has_value()) << wrong;
  }
}

TEST(RealMachine, OffersWhatIsAllowed) {
  const CpuSet allowed = allowed_cpus();
  ASSERT_FALSE(allowed.empty());
  Machine machine;
  ASSERT_EQ(read_machine(allowed, machine).text, "");
  EXPECT_EQ(machine.cpus.size(), allowed.size());
  EXPECT_GE(count_units(machine, Level::kHwThread), count_units(machine, Level::kCore));
  EXPECT_GE(count_units(machine, Level::kCore), count_units(machine, Level::kSocket));
  EXPECT_EQ(count_units(machine, Level::kMachine), 1);

  Machine one;
  ASSERT_EQ(read_machine({allowed.front()}, one).text, "");
  EXPECT_EQ(one.cpus.size(), 1U);
  EXPECT_EQ(std::getenv("HWLOC_PLUGINS_PATH"), nullptr);
}

// What other jobs use.
void use(Machine& machine, const CpuSet& cpus) {
  ++machine.ranks;
  for (Cpu& cpu : machine.cpus) cpu.ranks += std::ranges::count(cpus, cpu.os_index) > 0 ? 1 : 0;
}

TEST(Placement, WhatOthersLeaveFreeComesFirst) {
  Machine machine = make_machine(2, 2, 2);  // Cores {0,4} {1,5} | {2,6} {3,7}
  use(machine, {0, 4});
  EXPECT_THAT(lists(machine, 3, wish("core")), ElementsAre("1,5", "2,6", "3,7"));
  EXPECT_THAT(lists(machine, 5, wish("core")), ElementsAre("1,5", "2,6", "3,7", "0,4", "1,5"));
  EXPECT_THAT(lists(machine, 2, wish("core", "socket")), ElementsAre("2,6", "1,5"));
  EXPECT_THAT(lists(machine, 3, wish("core", "ppr:2:socket")), ElementsAre("2,6", "3,7", "1,5"));
  use(machine, {2, 6});
  use(machine, {2, 6});
  EXPECT_THAT(lists(machine, 4, wish("hwthread")), ElementsAre("1", "5", "3", "7"));
}

TEST(Placement, OthersCountAgainstOversubscription) {
  Machine machine = make_machine(1, 4, 1);
  use(machine, {});
  use(machine, {1});
  PlacementWish both = wish("core");
  both.refuse_oversubscription = true;
  EXPECT_THAT(lists(machine, 2, both), ElementsAre("0", "2"));
  EXPECT_THAT(lists(machine, 3, both),
              ElementsAre(HasSubstr("2 of which ranks of other jobs use")));
}

TEST(SlotAccount, CountsThoseThatLiveAndForgetsTheOthers) {
  const auto mine = SlotAccount::open();
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(mine->read().ranks, 0);
  mine->lock();
  mine->enter({{0, 1}, {}, {1}});
  mine->unlock();
  std::array<int, 2> word{};
  ASSERT_EQ(::pipe(word.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {  // Another launcher, which then dies as by kill -9.
    const auto same = SlotAccount::inherit(::dup(mine->fd()));
    same->lock();
    same->enter({{1}, {4095, 4096, 100000}});
    same->unlock();
    (void)!::write(word[1], same->read().ranks == 5 ? "y" : "n", 1);
    ::pause();
    ::_exit(0);
  }
  char said = 0;
  ASSERT_EQ(::read(word[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  SlotUse use = mine->read();
  EXPECT_EQ(use.ranks, 5);
  EXPECT_EQ(use.on(0), 1);
  EXPECT_EQ(use.on(1), 3);
  EXPECT_EQ(use.on(4095), 1);
  EXPECT_EQ(use.on(100000), 0);
  mine->leave({1});
  EXPECT_EQ(mine->read().on(1), 2);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  use = mine->read();
  EXPECT_EQ(use.ranks, 2);
  EXPECT_EQ(use.on(1), 1);
  for (const int fd : word) ::close(fd);
}

// Ranks of another launcher: this process plays it, and has two children, of which one is bound.
TEST(SlotAccount, IsSharedByRanksOfAnotherLauncher) {
  const std::uint64_t job = Random().below(UINT64_MAX);
  CpuMask own{};
  ASSERT_EQ(::sched_getaffinity(0, sizeof own, reinterpret_cast<cpu_set_t*>(own.data())), 0);
  const int bound = allowed_cpus().front();
  const bool can_bind = allowed_cpus().size() > 1;
  struct Told {
    ino_t account;
    int ranks;
    int on_bound;
    bool knows_cores;
  };
  std::array<int, 2> told{}, go{};
  ASSERT_EQ(::pipe(told.data()) | ::pipe(go.data()), 0);
  std::array<pid_t, 2> children{};
  for (pid_t& child : children) {
    child = ::fork();
    if (child != 0) continue;
    char word = 0;
    (void)!::read(go[0], &word, 1);
    const auto account = open_foreign_account(job);
    struct stat file {};
    (void)::fstat(account->fd(), &file);
    const SlotUse use = account->read();
    CpuMask cores{};
    const Told mine{file.st_ino, use.ranks, use.on(bound),
                    cores_of_foreign_job(cores) && cores == own};
    (void)!::write(told[1], &mine, sizeof mine);
    ::pause();
    ::_exit(0);
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(bound, &one);
  EXPECT_EQ(::sched_setaffinity(children[0], sizeof one, &one), 0);
  (void)!::write(go[1], "go", 2);
  std::array<Told, 2> both{};
  for (Told& each : both) {
    ASSERT_EQ(::read(told[0], &each, sizeof each), static_cast<ssize_t>(sizeof each));
  }
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  EXPECT_EQ(both[0].account, both[1].account);
  for (const Told& each : both) {
    EXPECT_EQ(each.ranks, 2);
    EXPECT_TRUE(each.knows_cores);
    EXPECT_EQ(each.on_bound, can_bind ? 1 : 0);
  }
  for (const int fd : {told[0], told[1], go[0], go[1]}) ::close(fd);
}

TEST(SlotAccount, TakesNothingElseOver) {
  EXPECT_EQ(SlotAccount::inherit(-1), nullptr);
  EXPECT_EQ(SlotAccount::inherit(0), nullptr);
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  EXPECT_EQ(SlotAccount::inherit(ends[0]), nullptr);
  for (const int fd : ends) ::close(fd);
}

}  // namespace
}  // namespace tern::spawn
