// What the info keys of MPI_Comm_spawn make of a request, up to the CPUs that the processes get on
// a machine made up for the purpose. With real processes: tests/spawn/spawn_test.py.
#include "spawn/spawn_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "spawn/spawn_keys.h"
#include "tests/launch/made_up_machine.h"

namespace tern::spawn {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

using Keys = std::vector<std::pair<std::string, std::string>>;

SpawnRequest request(int count, Keys keys) {
  SpawnRequest wanted;
  wanted.directory = "/tmp";
  wanted.commands.push_back({"program", {}, count, std::move(keys)});
  return wanted;
}

// How many processes there would be, or -1 with the problem in `why`.
int count_of(int count, Keys keys, std::string* why = nullptr) {
  std::array<char*, 1> environment = {nullptr};
  SpawnPlan plan;
  const Problem problem = plan_spawn(request(count, std::move(keys)), environment.data(), plan);
  if (why != nullptr) *why = problem.text;
  return problem.has() ? -1 : plan.job.apps[0].count;
}

// The CPUs of each process on 2 sockets of 4 cores.
std::vector<std::string> cpus_of(int count, Keys keys) {
  std::array<char*, 1> environment = {nullptr};
  SpawnPlan plan;
  const Problem problem = plan_spawn(request(count, std::move(keys)), environment.data(), plan);
  if (problem.has()) return {"problem: " + problem.text};
  return lists(make_machine(2, 4, 1), plan.job.apps[0].count, plan.job.placement);
}

TEST(SpawnPlan, WithoutKeysNothingIsBound) {
  EXPECT_THAT(cpus_of(4, {}), Each(""));
  EXPECT_EQ(cpus_of(4, {}).size(), 4U);
}

TEST(SpawnPlan, BindTo) {
  EXPECT_THAT(cpus_of(3, {{"bind_to", "core"}}), ElementsAre("0", "1", "2"));
  EXPECT_THAT(cpus_of(3, {{"tern_bind_to", "socket"}}), ElementsAre("0-3", "4-7", "0-3"));
  EXPECT_THAT(cpus_of(2, {{"bind_to", "none"}}), Each(""));
}

TEST(SpawnPlan, MapBy) {
  EXPECT_THAT(cpus_of(3, {{"map_by", "core"}}), ElementsAre("0", "1", "2"));
  EXPECT_THAT(cpus_of(3, {{"map_by", "socket"}}), ElementsAre("0-3", "4-7", "0-3"));
  EXPECT_THAT(cpus_of(3, {{"map_by", "socket"}, {"bind_to", "core"}}), ElementsAre("0", "4", "1"));
  EXPECT_THAT(cpus_of(2, {{"map_by", "socket:PE=2"}}), ElementsAre("0-1", "4-5"));
}

TEST(SpawnPlan, RankBy) {
  const Keys keys = {{"map_by", "socket"}, {"bind_to", "core"}};
  EXPECT_THAT(cpus_of(4, keys), ElementsAre("0", "4", "1", "5"));
  Keys by_core = keys;
  by_core.emplace_back("rank_by", "core");
  EXPECT_THAT(cpus_of(4, by_core), ElementsAre("0", "1", "4", "5"));
  Keys by_socket = {{"map_by", "core"}, {"rank_by", "socket"}};
  EXPECT_THAT(cpus_of(6, by_socket), ElementsAre("0", "4", "1", "5", "2", "3"));
}

TEST(SpawnPlan, Mapper) {
  EXPECT_THAT(cpus_of(3, {{"mapper", "round_robin"}}), ElementsAre("0", "1", "2"));
  EXPECT_THAT(cpus_of(2, {{"mapper", "another"}}), Each(""));
}

TEST(SpawnPlan, ProcessesPerResource) {
  EXPECT_THAT(cpus_of(4, {{"ppr", "2:socket"}, {"bind_to", "core"}}),
              ElementsAre("0", "1", "4", "5"));
  EXPECT_THAT(cpus_of(2, {{"ppr", "1:socket"}}), ElementsAre("0-3", "4-7"));
  EXPECT_THAT(cpus_of(3, {{"ppr", "1:socket"}})[0], HasSubstr("problem"));
  EXPECT_THAT(cpus_of(1, {{"ppr", "many"}})[0], HasSubstr("problem"));
}

TEST(SpawnPlan, PerNode) {
  std::string why;
  EXPECT_EQ(count_of(2, {{"npernode", "2"}}), 2);
  EXPECT_EQ(count_of(3, {{"npernode", "2"}}, &why), -1);
  EXPECT_THAT(why, HasSubstr("npernode"));
  EXPECT_EQ(count_of(3, {{"npernode", "2"}, {"soft", "1:3"}}), 2);
  EXPECT_EQ(count_of(2, {{"pernode", "yes"}}), -1);
  EXPECT_EQ(count_of(2, {{"pernode", "no"}}), 2);
  EXPECT_EQ(count_of(1, {{"pernode", "TRUE"}}), 1);
  // On each of several hosts, whatever slots they are said to have.
  EXPECT_EQ(count_of(2, {{"host", "a:4,b:4"}, {"pernode", "1"}}), 2);
  EXPECT_EQ(count_of(3, {{"host", "a:4,b:4"}, {"pernode", "1"}}, &why), -1);
  EXPECT_THAT(why, HasSubstr("1 on each of 2 hosts"));
  EXPECT_EQ(count_of(9, {{"npernode", "3"}, {"host", "a,b"}, {"soft", "1:9"}}), 6);
}

// "HOST:SLOTS ..." of a call with several commands.
std::string hosts_of(const std::vector<std::pair<int, Keys>>& commands) {
  SpawnRequest request;
  for (const auto& [count, keys] : commands) request.commands.push_back({"p", {}, count, keys});
  std::array<char*, 1> environment = {nullptr};
  SpawnPlan plan;
  if (const Problem problem = plan_spawn(request, environment.data(), plan); problem.has()) {
    return "problem: " + problem.text;
  }
  std::string text;
  for (const HostSlots& host : plan.job.hosts.hosts) {
    text += (text.empty() ? "" : " ") + host.name + ":" + std::to_string(host.slots);
  }
  return text;
}

TEST(SpawnPlan, HostsOfSeveralCommands) {
  EXPECT_EQ(hosts_of({{2, {{"host", "a:4,b"}}}}), "a:4 b:1");
  EXPECT_EQ(hosts_of({{2, {}}, {1, {}}}), "");
  // Each command gets its own hosts, however many slots these have.
  EXPECT_EQ(hosts_of({{2, {{"host", "a:4"}}}, {3, {{"host", "b"}}}}), "a:2 b:3");
  EXPECT_EQ(hosts_of({{5, {{"host", "a:2,b"}}}, {1, {{"host", "c,d"}}}}), "a:3 b:2 c:1");
  EXPECT_EQ(hosts_of({{1, {{"host", "a"}}}, {2, {{"host", "a"}}}}), "a:3");
  EXPECT_EQ(hosts_of({{2, {}}, {1, {{"host", "b"}}}}), host_name() + ":2 b:1");
  EXPECT_EQ(hosts_of({{4, {{"host", "a:9,b:9"}, {"npernode", "2"}}}, {1, {{"host", "c"}}}}),
            "a:2 b:2 c:1");
  EXPECT_THAT(hosts_of({{1, {{"host", "a"}}}, {1, {{"host", "b"}}}, {1, {{"host", "a"}}}}),
              HasSubstr("problem: host a"));
}

TEST(SpawnPlan, Booleans) {
  for (const char* text :
       {"1", "2", "-1", "+07", " 3 ", "99999999999999999999", "yes", "YES", "True", " true"}) {
    EXPECT_TRUE(is_true(text)) << text;
    EXPECT_EQ(count_of(2, {{"pernode", text}}), -1) << text;
  }
  for (const char* text : {"0", "-0", "000", "no", "NO", "false", "False", "on", "y", "t", "1x",
                           "0x1", "1.5", "-", "", "truetrue"}) {
    EXPECT_FALSE(is_true(text)) << text;
    EXPECT_EQ(count_of(2, {{"pernode", text}}), 2) << text;
  }
}

TEST(SpawnPlan, Soft) {
  EXPECT_EQ(count_of(7, {{"soft", "1,3:9:3"}}), 6);
  EXPECT_EQ(count_of(7, {{"soft", "9:2:-2"}}), 7);
  EXPECT_EQ(count_of(7, {{"soft", "2:1000000000"}}), 7);
  EXPECT_EQ(count_of(7, {{"soft", "8,9"}}), -1);
  for (const char* wrong : {"", "x", "1:2:0", "1:2:3:4", "1;2"}) {
    EXPECT_EQ(count_of(7, {{"soft", wrong}}), wrong[0] == '\0' ? 7 : -1) << wrong;
  }
}

}  // namespace
}  // namespace tern::spawn
