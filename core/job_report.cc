// core/job_report.cc - the text of TERN_REPORT; see job_traffic.h.
#include <algorithm>
#include <set>
#include <tuple>

#include "core/format.h"
#include "core/job_traffic.h"

namespace tern {
namespace {

using preconnect::Rank;

constexpr std::size_t kPairsMax = 28;  // Listed one by one: all of 8 ranks.
constexpr std::size_t kLinesMax = 40;

struct Both {
  counters::Volume there, back;
  std::uint64_t bytes() const { return there.bytes + back.bytes; }
};

std::string plural(std::uint64_t count, std::string_view what) {
  return format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string in_brackets(const std::string& reason) {
  return reason.empty() ? "" : " (" + reason + ")";
}

}  // namespace

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return plural(bytes, "byte");
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (value /= 1000; value >= 999.5 && unit + 1 < std::size(kUnits); value /= 1000) ++unit;
  return value < 9.95 ? format("{:.1f} {}", value, kUnits[unit])
                      : format("{:.0f} {}", value, kUnits[unit]);
}

std::string JobTraffic::report() const {
  std::set<std::string_view> hosts;
  for (const auto& [rank, host] : hosts_) hosts.insert(host);
  std::string text = format("tern: report: {} on {}, TERN_FABRIC={}\n", plural(size_, "rank"),
                            plural(hosts.size(), "host"), preference_);
  if (reported() < size_) {
    text += format("tern:   {} of them have said nothing: is TERN_REPORT set for all ranks?\n",
                   size_ - reported());
  }
  if (!plan_.empty()) {
    text += format("tern:   connected in advance ({}): {}, {:.3f} ms at the slowest rank\n", plan_,
                   plural(plan_connections_ / 2, "pair"), static_cast<double>(plan_us_) / 1000);
  }
  std::set<preconnect::Pair> pairs;
  for (const Flow& flow : flows_) {
    pairs.insert({std::min(flow.from, flow.to), std::max(flow.from, flow.to)});
    if (pairs.size() > kPairsMax) break;
  }
  return text + (pairs.size() <= kPairsMax ? pair_lines() : host_lines()) + fabric_lines();
}

std::string JobTraffic::pair_lines() const {
  // A pair may have had several fabrics, one after the other.
  std::map<std::tuple<Rank, Rank, std::string, std::string>, Both> lines;
  for (const Flow& flow : flows_) {
    Both& both = lines[{std::min(flow.from, flow.to), std::max(flow.from, flow.to), fabric_of(flow),
                        reason_of(flow)}];
    counters::Volume& volume = flow.from <= flow.to ? both.there : both.back;
    volume = volume + flow.sent;
  }
  std::string text;
  for (const auto& [key, both] : lines) {
    const auto& [a, b, fabric, reason] = key;
    if (a == b) {
      text += format("tern:   rank {} with itself: {}, {}\n", a,
                     plural(both.there.messages, "message"), bytes_text(both.there.bytes));
      continue;
    }
    text += format("tern:   ranks {} and {} over {}: {} and {}, {} and {}{}\n", a, b, fabric,
                   plural(both.there.messages, "message"), both.back.messages,
                   bytes_text(both.there.bytes), bytes_text(both.back.bytes), in_brackets(reason));
  }
  return text;
}

std::string JobTraffic::host_lines() const {
  struct Line {
    std::set<preconnect::Pair> pairs;
    counters::Volume sent;
  };
  std::map<std::tuple<std::string, std::string, std::string, std::string>, Line> groups;
  for (const Flow& flow : flows_) {
    if (flow.from == flow.to) continue;
    const auto [low, high] = std::minmax(host_of(flow.from), host_of(flow.to));
    Line& line = groups[{low, high, fabric_of(flow), reason_of(flow)}];
    line.pairs.insert({std::min(flow.from, flow.to), std::max(flow.from, flow.to)});
    line.sent = line.sent + flow.sent;
  }
  std::vector<const decltype(groups)::value_type*> sorted;
  sorted.reserve(groups.size());
  for (const auto& group : groups) sorted.push_back(&group);
  std::ranges::stable_sort(sorted, [](const auto* a, const auto* b) {
    return a->second.sent.bytes > b->second.sent.bytes;
  });
  std::string text;
  for (std::size_t i = 0; i < std::min(sorted.size(), kLinesMax); ++i) {
    const auto& [low, high, fabric, reason] = sorted[i]->first;
    const Line& line = sorted[i]->second;
    text += format("tern:   {}{}: {} over {}, {}, {}{}\n", low,
                   low == high ? " with itself" : " and " + high, plural(line.pairs.size(), "pair"),
                   fabric, plural(line.sent.messages, "message"), bytes_text(line.sent.bytes),
                   in_brackets(reason));
  }
  if (sorted.size() > kLinesMax) {
    text += format("tern:   and {} more pairs of hosts with less\n", sorted.size() - kLinesMax);
  }
  return text;
}

std::string JobTraffic::fabric_lines() const {
  using counters::Protocol;
  std::string text;
  for (const auto& [name, sum] : fabrics_) {
    if (sum.opened + sum.failed > 0) {
      const std::uint64_t mean = sum.opened == 0 ? 0 : sum.handshake_us_total / sum.opened;
      text += format(
          "tern:   {}: {} opened in {}/{}/{} us (shortest/mean/longest), {} closed, {} replayed, "
          "{} failed; {} sent for that, {} of memory held\n",
          name, plural(sum.opened, "connection end"), sum.handshake_us_min, mean,
          sum.handshake_us_max, sum.closed, sum.replayed, sum.failed, bytes_text(sum.setup_bytes),
          bytes_text(sum.memory_bytes));
    }
    const auto of = [&volumes = sum.volumes](Protocol protocol) {
      const counters::Volume& volume = volumes[static_cast<std::size_t>(protocol)];
      return plural(volume.messages, "message") + ", " + bytes_text(volume.bytes);
    };
    text += format("tern:   {}: eager {}; rendezvous {}; of these fetched {}; streamed {}\n", name,
                   of(Protocol::kEager), of(Protocol::kRendezvous), of(Protocol::kFetched),
                   of(Protocol::kStreamed));
  }
  return text;
}

}  // namespace tern
