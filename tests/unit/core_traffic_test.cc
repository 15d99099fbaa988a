// What ranks say about their connections, added up: the report, and the file of pairs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "core/job_traffic.h"
#include "core/preconnect.h"
#include "tests/unit/seed.h"

namespace tern {
namespace {

using preconnect::Pair;
using preconnect::Rank;
using ::testing::HasSubstr;
using ::testing::Not;

RankTraffic part(Rank rank, Rank size, const std::string& host) {
  RankTraffic part;
  part.rank = rank;
  part.size = size;
  part.host = host;
  part.preference = "shm,verbs";
  return part;
}

// `hosts` hosts in blocks; random pairs talk, over shm inside a host and over verbs between hosts.
struct RandomJob {
  RandomJob(Rank size, Rank hosts, int flows) {
    test::Random random(5);
    std::vector<RankTraffic> parts;
    for (Rank rank = 0; rank < size; ++rank) {
      parts.push_back(part(rank, size, "n" + std::to_string(rank * hosts / size)));
    }
    for (int i = 0; i < flows; ++i) {
      const auto from = static_cast<Rank>(random.below(size));
      const auto to = static_cast<Rank>(random.below(size));
      const counters::Volume sent{1 + random.below(1000), random.below(100000)};
      const bool same = parts[from].host == parts[to].host;
      if (!flow.emplace(Pair(from, to), sent).second) continue;
      parts[from].peers.push_back({to,
                                   from == to ? "self"
                                   : same     ? "shm"
                                              : "verbs",
                                   same ? "verbs: not needed" : "shm: another host", sent});
    }
    for (Rank i = 0; i < size; ++i) {  // In no particular order.
      std::swap(parts[i], parts[i + random.below(size - i)]);
    }
    for (const RankTraffic& one : parts) text += one.encode();
  }
  std::map<Pair, counters::Volume> flow;
  std::string text;
};

TEST(JobTraffic, WhatEachRankSaysIsThere) {
  const RandomJob job(40, 4, 300);
  JobTraffic all;
  std::string why;
  ASSERT_TRUE(all.add(job.text, why)) << why;
  EXPECT_EQ(all.size(), 40U);
  EXPECT_EQ(all.reported(), 40U);
  EXPECT_EQ(all.host_of(39), "n3");
  ASSERT_EQ(all.flows().size(), job.flow.size());
  for (const Flow& flow : all.flows()) {
    const counters::Volume& expected = job.flow.at({flow.from, flow.to});
    EXPECT_EQ(flow.sent.messages, expected.messages);
    EXPECT_EQ(flow.sent.bytes, expected.bytes);
    const bool same = all.host_of(flow.from) == all.host_of(flow.to);
    EXPECT_EQ(all.fabric_of(flow), flow.from == flow.to ? "self" : same ? "shm" : "verbs");
    EXPECT_EQ(all.reason_of(flow), same ? "verbs: not needed" : "shm: another host");
  }
}

TEST(JobTraffic, TheFileOfPairsIsReadByThePlan) {
  const RandomJob job(40, 4, 300);
  JobTraffic all;
  std::string why;
  ASSERT_TRUE(all.add(job.text, why)) << why;
  const std::string file = all.pairs_file();
  std::map<Pair, counters::Volume> expected;
  for (const auto& [pair, sent] : job.flow) {
    if (pair.first == pair.second) continue;
    counters::Volume& both = expected[std::minmax(pair.first, pair.second)];
    both = both + sent;
  }
  std::vector<Pair> pairs;
  ASSERT_TRUE(preconnect::read_pairs(file, "file", 40, pairs, why)) << why;
  ASSERT_EQ(pairs.size(), expected.size());
  for (const Pair& pair : pairs) {
    const auto found = expected.find(pair);
    ASSERT_NE(found, expected.end());
    EXPECT_THAT(file,
                HasSubstr("\n" + std::to_string(pair.first) + " " + std::to_string(pair.second) +
                          " " + std::to_string(found->second.messages) + " " +
                          std::to_string(found->second.bytes) + "\n"));
  }
}

TEST(JobTraffic, AFewPairsAreNamedOneByOne) {
  RankTraffic a = part(0, 3, "n1");
  RankTraffic b = part(1, 3, "n1");
  a.peers = {{0, "self", "", {5, 10}}, {1, "shm", "verbs: there is no RDMA device", {1, 1500}}};
  b.peers = {{0, "shm", "verbs: there is no RDMA device", {2, 7}},
             {2, "none", "its process has ended\n", {0, 0}}};
  a.fabrics["shm"] = {
      .opened = 1, .handshake_us_min = 7, .handshake_us_max = 7, .handshake_us_total = 7};
  b.fabrics["shm"] = {
      .opened = 1, .handshake_us_min = 3, .handshake_us_max = 3, .handshake_us_total = 3};
  a.plan = b.plan = "all";
  a.plan_connections = b.plan_connections = 1;
  a.plan_us = 1500;
  JobTraffic all;
  std::string why;
  ASSERT_TRUE(all.add(a.encode(), why)) << why;
  ASSERT_TRUE(all.add(b.encode(), why)) << why;
  const std::string report = all.report();
  EXPECT_THAT(report, HasSubstr("3 ranks on 1 host, TERN_FABRIC=shm,verbs"));
  EXPECT_THAT(report, HasSubstr("1 of them have said nothing"));
  EXPECT_THAT(report, HasSubstr("connected in advance (all): 1 pair, 1.500 ms"));
  EXPECT_THAT(report, HasSubstr("rank 0 with itself: 5 messages, 10 bytes"));
  EXPECT_THAT(report, HasSubstr("ranks 0 and 1 over shm: 1 message and 2, 1.5 kB and 7 bytes "
                                "(verbs: there is no RDMA device)"));
  EXPECT_THAT(report, HasSubstr("ranks 1 and 2 over none: 0 messages and 0"));
  EXPECT_THAT(report, HasSubstr("(its process has ended )"));
  EXPECT_THAT(report, HasSubstr("2 connection ends opened in 3/5/7 us"));
}

TEST(JobTraffic, TheReportOfALargeJobIsAPage) {
  const RandomJob job(1024, 128, 20000);
  JobTraffic all;
  std::string why;
  ASSERT_TRUE(all.add(job.text, why)) << why;
  const std::string report = all.report();
  EXPECT_LE(std::count(report.begin(), report.end(), '\n'), 60);
  EXPECT_THAT(report, HasSubstr("over verbs"));
  EXPECT_THAT(report, HasSubstr("more pairs of hosts"));
  EXPECT_THAT(report, Not(HasSubstr("ranks 0 and")));
}

// Whatever arrives: a sentence, and what was right before it counts.
TEST(JobTraffic, DamagedPartsAreRefused) {
  const std::string good = RandomJob(6, 2, 20).text;
  for (const char* wrong : {"rank\t6\t6\tn\tshm\n", "rank\t0\t7\tn\tshm\n", "to\t9\tshm\t0\t1\t1\n",
                            "to\t1\tshm\t7\t1\t1\n", "to\t1\tshm\t0\t1\t-1\n", "fabric\tshm\t1\n",
                            "plan\tall\n", "\n", "nonsense\n", "rank\t1\t6\tn\tshm\n"}) {
    JobTraffic all;
    std::string why;
    EXPECT_FALSE(all.add(good + wrong, why)) << wrong;
    EXPECT_NE(why, "");
    EXPECT_EQ(all.reported(), 6U);
  }
  test::Random random(6);
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int changes = 0; changes < 3; ++changes) {
      text[random.below(text.size())] = static_cast<char>("\t\n09ashmto-"[random.below(11)]);
    }
    JobTraffic all;
    std::string why;
    (void)all.add(text, why);
    (void)all.report();
    (void)all.pairs_file();
  }
}

TEST(JobTraffic, BytesAreReadable) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(1), "1 byte");
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(12345), "12 kB");
  EXPECT_EQ(bytes_text(999600), "1.0 MB");
  EXPECT_EQ(bytes_text(~std::uint64_t{0}), "18 EB");
}

}  // namespace
}  // namespace tern
