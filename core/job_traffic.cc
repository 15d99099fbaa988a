// core/job_traffic.cc - what the parts say, encoded and added up; see job_traffic.h. The report is
// in job_report.cc.
#include "core/job_traffic.h"

#include <algorithm>
#include <charconv>

#include "core/format.h"

namespace tern {
namespace {

// A part is lines of fields with tabs in between; the first field says what they are:
//   rank RANK SIZE HOST PREFERENCE     begins it
//   why REASON                         the next reason: they are numbered from 0 in each part
//   to RANK FABRIC REASON MESSAGES BYTES
//   fabric NAME and the numbers of FabricSum
//   plan PLAN CONNECTIONS MICROSECONDS
constexpr std::size_t kFieldsMax = 20;
using Fields = std::array<std::string_view, kFieldsMax>;

std::size_t split(std::string_view line, Fields& fields) {
  std::size_t count = 0;
  while (count < fields.size()) {
    const std::size_t tab = line.find('\t');
    fields[count++] = line.substr(0, tab);
    if (tab == line.npos) break;
    line.remove_prefix(tab + 1);
  }
  return count;
}

template <class Number>
bool parse(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Text of others' making, so that it stays one field.
std::string field(std::string_view text) {
  std::string clean(text);
  std::ranges::replace_if(
      clean, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return clean;
}

template <class Entry>
std::uint32_t number_of(std::vector<std::string>& known, const Entry& entry) {
  const auto found = std::ranges::find(known, entry);
  if (found != known.end()) return static_cast<std::uint32_t>(found - known.begin());
  known.emplace_back(entry);
  return static_cast<std::uint32_t>(known.size() - 1);
}

// All numbers of a sum, in the order in which they travel.
template <class Sum, class Visit>
void for_each_number(Sum& sum, Visit visit) {
  visit(sum.opened);
  visit(sum.closed);
  visit(sum.replayed);
  visit(sum.failed);
  visit(sum.handshake_us_min);
  visit(sum.handshake_us_max);
  visit(sum.handshake_us_total);
  visit(sum.setup_bytes);
  visit(sum.memory_bytes);
  for (auto& volume : sum.volumes) {
    visit(volume.messages);
    visit(volume.bytes);
  }
}
constexpr std::size_t kNumbers = 9 + 2 * counters::kProtocols;
static_assert(kNumbers + 2 <= kFieldsMax);

void add_sum(FabricSum& all, const FabricSum& one) {
  const std::uint64_t least =
      all.opened == 0 || (one.opened != 0 && one.handshake_us_min < all.handshake_us_min)
          ? one.handshake_us_min
          : all.handshake_us_min;
  const std::uint64_t most = std::max(all.handshake_us_max, one.handshake_us_max);
  std::array<std::uint64_t, kNumbers> numbers{};
  std::size_t i = 0;
  for_each_number(one, [&](const std::uint64_t& number) { numbers[i++] = number; });
  i = 0;
  for_each_number(all, [&](std::uint64_t& number) { number += numbers[i++]; });
  all.handshake_us_min = least;
  all.handshake_us_max = most;
}

}  // namespace

std::map<std::string, FabricSum, std::less<>> sums_of_process() {
  std::map<std::string, FabricSum, std::less<>> sums;
  for (const std::string_view name : counters::fabric_names()) {
    const counters::FabricCounters& of = counters::of_fabric(name);
    FabricSum sum{of.opened.get(),
                  of.closed.get(),
                  of.replayed.get(),
                  of.failed.get(),
                  of.handshake_us_min.get(),
                  of.handshake_us_max.get(),
                  of.handshake_us_total.get(),
                  of.setup_bytes.get(),
                  of.memory_bytes.get(),
                  of.traffic.total()};
    bool used = false;
    for_each_number(sum, [&used](std::uint64_t number) { used = used || number != 0; });
    if (used) sums.emplace(name, sum);
  }
  return sums;
}

std::string RankTraffic::encode() const {
  std::string text = format("rank\t{}\t{}\t{}\t{}\n", rank, size, field(host), field(preference));
  std::vector<std::string> reasons;
  for (const Peer& peer : peers) {
    const std::size_t known = reasons.size();
    const std::uint32_t reason = number_of(reasons, field(peer.reason));
    if (reasons.size() > known) text += "why\t" + reasons.back() + "\n";
    text += format("to\t{}\t{}\t{}\t{}\t{}\n", peer.rank, peer.fabric, reason, peer.sent.messages,
                   peer.sent.bytes);
  }
  for (const auto& [name, sum] : fabrics) {
    text += "fabric\t" + name;
    for_each_number(sum, [&](std::uint64_t number) { text += format("\t{}", number); });
    text += "\n";
  }
  if (!plan.empty()) text += format("plan\t{}\t{}\t{}\n", field(plan), plan_connections, plan_us);
  return text;
}

bool JobTraffic::add(std::string_view text, std::string& why) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (add_line(line)) continue;
    why = format("'{}' is no line of a report of connections", line.substr(0, 60));
    return false;
  }
  return true;
}

bool JobTraffic::add_line(std::string_view line) {
  Fields fields;
  const std::size_t count = split(line, fields);
  if (fields[0] == "rank" && count == 5) {
    preconnect::Rank size = 0;
    if (!parse(fields[1], current_) || !parse(fields[2], size) || current_ >= size) return false;
    if (size_ != 0 && size != size_) return false;
    size_ = size;
    if (!hosts_.emplace(current_, fields[3]).second) return false;
    if (preference_.empty()) preference_ = fields[4];
    reason_numbers_.clear();
    return true;
  }
  if (hosts_.empty()) return false;
  if (fields[0] == "why" && count == 2) {
    reason_numbers_.push_back(number_of(reasons_, fields[1]));
    return true;
  }
  if (fields[0] == "to" && count == 6) {
    Flow flow;
    std::size_t reason = 0;
    flow.from = current_;
    if (!parse(fields[1], flow.to) || flow.to >= size_ || !parse(fields[3], reason) ||
        reason >= reason_numbers_.size() || !parse(fields[4], flow.sent.messages) ||
        !parse(fields[5], flow.sent.bytes)) {
      return false;
    }
    flow.fabric = static_cast<std::uint16_t>(number_of(names_, fields[2]));
    flow.reason = reason_numbers_[reason];
    flows_.push_back(flow);
    return true;
  }
  if (fields[0] == "fabric" && count == 2 + kNumbers) {
    FabricSum sum;
    std::size_t i = 2;
    bool good = true;
    for_each_number(sum, [&](std::uint64_t& number) { good = parse(fields[i++], number) && good; });
    if (good) add_sum(fabrics_[std::string(fields[1])], sum);
    return good;
  }
  if (fields[0] == "plan" && count == 4) {
    std::uint64_t connections = 0;
    std::uint64_t took_us = 0;
    if (!parse(fields[2], connections) || !parse(fields[3], took_us)) return false;
    plan_ = fields[1];
    plan_connections_ += connections;
    plan_us_ = std::max(plan_us_, took_us);
    return true;
  }
  return false;
}

const std::string& JobTraffic::host_of(preconnect::Rank rank) const {
  static const std::string unknown = "?";
  const auto found = hosts_.find(rank);
  return found == hosts_.end() ? unknown : found->second;
}

std::string JobTraffic::pairs_file() const {
  std::vector<preconnect::Talk> talks;
  for (const Flow& flow : flows_) {
    if (flow.from == flow.to || flow.sent.messages == 0) continue;
    talks.emplace_back(preconnect::Pair(flow.from, flow.to), flow.sent);
  }
  return preconnect::write_pairs(talks, size_);
}

}  // namespace tern
