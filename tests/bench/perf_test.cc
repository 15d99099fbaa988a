// The parts of tern-perf that need no MPI: sizes, statistics, data patterns, the picture.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bench/perf/buffer.h"
#include "bench/perf/plot.h"
#include "bench/perf/sizes.h"
#include "bench/perf/statistics.h"
#include "bench/perf/svg.h"

namespace tern::perf {
namespace {

using Sizes = std::vector<std::size_t>;

Sizes sizes(std::string_view text) {
  std::string error;
  return parse_sizes(text, error).value_or(Sizes{});
}

std::string complaint(std::string_view text) {
  std::string error;
  EXPECT_FALSE(parse_sizes(text, error)) << text;
  return error;
}

TEST(Sizes, ASuffixIsBinary) {
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("64K"), 65536u);
  EXPECT_EQ(parse_size("4m"), 4194304u);
  EXPECT_EQ(parse_size("1G"), 1073741824u);
}

TEST(Sizes, WhatIsNoSizeIsRefused) {
  for (const char* text :
       {"", "K", "-1", "1.5K", "4Q", "4KB", "8 ", "99999999999999999999", "99999999999999999G"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(Sizes, WritingAndReadingAgree) {
  for (const std::size_t size : {0, 1, 1023, 1024, 1025, 65536, 65537, 4194304, 1073741824}) {
    EXPECT_EQ(parse_size(format_size(size)), size);
  }
  EXPECT_EQ(format_size(65536), "64K");
  EXPECT_EQ(format_size(65537), "65537");
}

TEST(Sizes, RangesDouble) {
  EXPECT_EQ(sizes("1:8"), (Sizes{1, 2, 4, 8}));
  EXPECT_EQ(sizes("3:13"), (Sizes{3, 6, 12}));
  EXPECT_EQ(sizes("0:4"), (Sizes{0, 1, 2, 4}));
  EXPECT_EQ(sizes("0:0"), (Sizes{0}));
  EXPECT_EQ(sizes("64K"), (Sizes{65536}));
  EXPECT_EQ(sizes("8,1K:4K,3"), (Sizes{8, 1024, 2048, 4096, 3}));
}

TEST(Sizes, ARangeUpToTheLargestNumberEnds) {
  const Sizes all = sizes("1:18446744073709551615");
  ASSERT_EQ(all.size(), 64u);
  EXPECT_EQ(all.back(), std::size_t{1} << 63);
}

TEST(Sizes, AMistakeIsNamed) {
  EXPECT_NE(complaint("8,4Q").find("'4Q'"), std::string::npos);
  EXPECT_NE(complaint("8,").find("''"), std::string::npos);
  EXPECT_NE(complaint("1M:1K").find("write 1K:1M"), std::string::npos);
}

TEST(Statistics, QuantilesInterpolate) {
  const std::vector<double> sorted{1, 2, 3, 4, 5};
  EXPECT_DOUBLE_EQ(quantile(sorted, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(sorted, 0.5), 3);
  EXPECT_DOUBLE_EQ(quantile(sorted, 0.875), 4.5);
  EXPECT_DOUBLE_EQ(quantile(sorted, 1), 5);
  EXPECT_DOUBLE_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_DOUBLE_EQ(median({7}), 7);
}

TEST(Pattern, WhatWasFilledIsRight) {
  Buffer buffer(1000);
  fill(buffer.slice(0, 1000), stream_of(1, 2, 3));
  EXPECT_EQ(count_wrong(buffer.slice(0, 1000), stream_of(1, 2, 3)), 0);
}

TEST(Pattern, EveryByteThatNeverArrivedIsWrong) {
  Buffer buffer(1000);
  spoil(buffer.slice(0, 1000), stream_of(1, 2, 3));
  EXPECT_EQ(count_wrong(buffer.slice(0, 1000), stream_of(1, 2, 3)), 1000);
}

TEST(Pattern, OneWrongByteIsSeen) {
  Buffer buffer(1000);
  fill(buffer.slice(0, 1000), 5);
  buffer.data()[999] ^= std::byte{1};
  EXPECT_EQ(count_wrong(buffer.slice(0, 1000), 5), 1);
}

TEST(Pattern, ShiftedDataAndOtherMessagesAreSeen) {
  Buffer buffer(1001);
  fill(buffer.slice(0, 1001), stream_of(1, 0, 1));
  // By chance one byte in 256 agrees.
  EXPECT_GT(count_wrong(buffer.slice(1, 1000), stream_of(1, 0, 1)), 950);
  EXPECT_GT(count_wrong(buffer.slice(0, 1000), stream_of(2, 0, 1)), 950);
  EXPECT_GT(count_wrong(buffer.slice(0, 1000), stream_of(1, 1, 0)), 950);
}

TEST(Pattern, MemoryIsPageAligned) {
  for (const std::size_t bytes : {0, 1, 5000}) {
    Buffer buffer(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0u);
  }
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

PlotPanel panel_with(std::vector<PlotPoint> points) {
  return {"Latency", "us", true, {{"latency", std::move(points)}}};
}

TEST(Plot, HasADotPerFigureAndALinePerSeries) {
  const std::string svg = draw_plot("t", "s", {panel_with({{1, 0.3}, {1024, 0.7}, {4096, 1.5}})});
  EXPECT_EQ(occurrences(svg, "<circle"), 3u);
  EXPECT_EQ(occurrences(svg, "<polyline"), 1u);
  EXPECT_NE(svg.find("latency, 1K bytes: 0.7 µs"), std::string::npos);
}

TEST(Plot, LeavesOutWhatALogarithmCannotShow) {
  const std::string svg = draw_plot("t", "s", {panel_with({{0, 0.3}, {8, 0}, {16, 0.4}})});
  EXPECT_EQ(occurrences(svg, "<circle"), 1u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(Plot, APanelWithoutFiguresIsNotDrawn) {
  const PlotPanel empty{"Bandwidth", "MB/s", false, {{"bandwidth", {}}}};
  const std::string svg = draw_plot("t", "s", {panel_with({{8, 0.3}}), empty});
  EXPECT_EQ(svg.find("Bandwidth"), std::string::npos);
  EXPECT_EQ(occurrences(draw_plot("t", "s", {empty}), "<polyline"), 0u);
}

TEST(Plot, TextIsEscaped) {
  const std::string svg = draw_plot("a<b & c>d", "s", {});
  EXPECT_NE(svg.find("a&lt;b &amp; c&gt;d"), std::string::npos);
}

}  // namespace
}  // namespace tern::perf
