// The picture of mpiexec --report-connections: well formed whatever is in it, complete, and small.
#include "spawn/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <regex>
#include <string>
#include <vector>

#include "tests/unit/seed.h"

namespace tern::spawn {
namespace {

using preconnect::Rank;

// What is wrong with the text as XML; empty: nothing.
std::string flaw(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == '&') {
      const std::string entity = text.substr(i, text.find(';', i) - i + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") {
        return "entity " + entity.substr(0, 20);
      }
    }
    if (text[i] != '<') {
      const auto byte = static_cast<unsigned char>(text[i++]);
      if ((byte < 0x20 && byte != '\n') || byte > 0x7e) return "a character that is no text";
      continue;
    }
    const std::size_t end = text.find('>', i);
    if (end == text.npos) return "an open tag";
    const std::string tag = text.substr(i + 1, end - i - 1);
    i = end + 1;
    static const std::regex kTag(R"(/?[a-z]+( [a-zA-Z0-9-]+="[^"<]*")*/?)");
    if (tag.size() < 2000 && !std::regex_match(tag, kTag)) return "tag <" + tag + ">";
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag[0] == '/') {
      if (open.empty() || "/" + open.back() != tag) return "end <" + tag + ">";
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

struct Job {
  // Every one-in-th flow there can be.
  Job(Rank size, Rank hosts, unsigned one_in, const std::string& host = "node") {
    test::Random random(9 + size);
    for (Rank rank = 0; rank < size; ++rank) {
      RankTraffic part;
      part.rank = rank;
      part.size = size;
      part.host = host + std::to_string(rank * hosts / size);
      for (Rank to = 0; to < size; ++to) {
        if (!random.one_in(one_in)) continue;
        const bool same = rank * hosts / size == to * hosts / size;
        part.peers.push_back({to,
                              rank == to ? "self"
                              : same     ? "shm"
                                         : "verbs",
                              "a & b <c>",
                              {random.below(9), random.below(1U << random.below(30))}});
        ++flows;
      }
      std::string why;
      EXPECT_TRUE(traffic.add(part.encode(), why)) << why;
    }
    picture = draw_heat_map(traffic);
  }
  std::size_t flows = 0;
  JobTraffic traffic;
  std::string picture;
};

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(HeatMap, FewRanksHaveASquareWithItsNumbersForEachFlow) {
  for (const Rank size : {1U, 2U, 3U, 16U, 64U}) {
    const Job job(size, (size + 7) / 8, 2);
    EXPECT_EQ(flaw(job.picture), "") << size;
    EXPECT_EQ(count(job.picture, "<title>"), job.flows) << size;
    for (const Flow& flow : job.traffic.flows()) {
      EXPECT_THAT(job.picture, testing::HasSubstr("<title>rank " + std::to_string(flow.from) +
                                                  " to rank " + std::to_string(flow.to) + " over " +
                                                  job.traffic.fabric_of(flow) + ": " +
                                                  std::to_string(flow.sent.messages) + " message"));
    }
  }
}

// All squares are there, as runs; the file stays small enough to be looked at.
TEST(HeatMap, ManyRanksAreFewShapes) {
  for (const Rank size : {65U, 200U, 512U}) {
    const Job job(size, size / 16, size == 200 ? 3 : 1);
    EXPECT_EQ(flaw(job.picture), "") << size;
    EXPECT_LE(count(job.picture, "<path"), 18U);
    EXPECT_LT(job.picture.size(), std::size_t{5} << 20);
    std::size_t squares = 0;
    const std::string run = "v1h-";
    for (std::size_t at = job.picture.find(run); at != std::string::npos;
         at = job.picture.find(run, at + 1)) {
      squares += std::stoul(job.picture.substr(at + run.size(), 5));
    }
    EXPECT_EQ(squares, job.flows) << size;
  }
}

TEST(HeatMap, NamesOfHostsCannotBreakIt) {
  const Job job(12, 3, 2, "<a href=\"x\">&\x01\xff\xc3");
  EXPECT_EQ(flaw(job.picture), "");
  EXPECT_EQ(job.picture.find("<a "), std::string::npos);
}

TEST(HeatMap, AJobThatDidNotTalkIsAnEmptySquare) {
  EXPECT_EQ(flaw(draw_heat_map(JobTraffic())), "");
  EXPECT_EQ(flaw(Job(4, 1, 1000000).picture), "");
}

}  // namespace
}  // namespace tern::spawn
