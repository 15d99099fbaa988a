// mpi_api/job_report.cc - see job_report.h.
#include "mpi_api/job_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <span>
#include <utility>

#include "core/format.h"
#include "mpi_api/lanes.h"
#include "mpi_api/runtime.h"

namespace tern::mpi {
namespace {

constexpr std::uint64_t kReports = 0x7465726e2d726570;  // A context of no communicator.
enum Tag : std::int32_t { kMore = 1, kLast = 2 };
constexpr std::size_t kPieceBytes = 4096;

void warn(const std::string& text) { std::fprintf(stderr, "tern: warning: %s\n", text.c_str()); }

// Why this peer was reached over its fabric and not over others.
std::string why_no_other(const Peer& peer) {
  std::string text = peer.why;
  // The loopback comes first of all fabrics, and its reason is no news.
  constexpr std::string_view kLoopback = "self: only reaches the process itself";
  if (text.starts_with(kLoopback)) {
    text.erase(0, kLoopback.size());
    if (text.starts_with("; ")) text.erase(0, 2);
  }
  if (peer.state == Peer::State::kFailed) return text;
  const auto add = [&text](const std::string& reason) {
    text += (text.empty() || reason.empty() ? "" : "; ") + reason;
  };
  bool behind = false;
  for (const auto& fabric : engine().fabrics()) {
    if (behind) add(std::string(fabric->name()) + ": not needed");
    behind = behind || fabric.get() == peer.fabric;
  }
  add(engine().absent_fabrics());
  return text;
}

counters::Volume sent_to(const Peer& peer) {
  const counters::Volumes volumes = Engine::traffic_with(peer);
  return volumes[static_cast<std::size_t>(counters::Protocol::kEager)] +
         volumes[static_cast<std::size_t>(counters::Protocol::kRendezvous)];
}

// What went by lanes is part of what went to the same rank by the same fabric.
void add_lanes(RankTraffic& part, std::uint64_t job) {
  if (runtime().lanes == nullptr) return;
  runtime().lanes->for_each([&](Lane& lane) {
    lane.engine().for_each_peer([&](const Peer& peer) {
      const counters::Volume sent = sent_to(peer);
      if (peer.id.job != job || sent.messages == 0 || peer.fabric == nullptr) return;
      const auto rank = static_cast<preconnect::Rank>(peer.id.rank);
      const auto known = std::ranges::find(part.peers, rank, &RankTraffic::Peer::rank);
      if (known != part.peers.end()) {
        known->sent = known->sent + sent;
      } else {
        part.peers.push_back({rank, peer.fabric->name(), {}, sent});
      }
    });
  });
}

RankTraffic part_of_this_process() {
  const spawn::LaunchInfo& info = runtime().wireup->info();
  const Preconnected& in_advance = runtime().preconnected;
  RankTraffic part;
  part.rank = static_cast<preconnect::Rank>(info.rank);
  part.size = static_cast<preconnect::Rank>(info.size);
  part.host = engine().own_card().host.host_name;
  part.preference = runtime().report.preference;
  part.plan = in_advance.plan;
  part.plan_connections = in_advance.connections;
  part.plan_us = in_advance.took_us;
  part.fabrics = sums_of_process();
  engine().for_each_peer([&](const Peer& peer) {
    const bool lost = peer.state == Peer::State::kFailed;
    const counters::Volume sent = sent_to(peer);
    // Who was only connected in advance, or has sent us its report already, was not talked to.
    if (peer.id.job != info.job_id || (sent.messages == 0 && !lost)) return;
    const bool is_self = peer.id == engine().self();
    part.peers.push_back({static_cast<preconnect::Rank>(peer.id.rank),
                          peer.fabric == nullptr ? "none" : peer.fabric->name(),
                          is_self ? std::string() : why_no_other(peer), sent});
  });
  add_lanes(part, info.job_id);
  std::ranges::sort(part.peers, {}, &RankTraffic::Peer::rank);
  return part;
}

// A reader never sees half a file.
void write_whole(const std::string& path, const std::string& text) {
  const std::string unfinished = path + ".unfinished";
  std::error_code error;
  {
    std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(unfinished, path, error);
  if (!error) return;
  std::error_code ignored;
  std::filesystem::remove(unfinished, ignored);
  warn(
      tern::format("TERN_CONNECTIONS_OUT={} cannot be written; choose a directory that rank 0 may "
                   "write to",
                   path));
}

void write_parts(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) warn("mpiexec cannot be told about the connections of this job: " + path);
}

}  // namespace

ReportWish read_report_wish(const Config& config) {
  ReportWish wish;
  wish.text = config.flag("TERN_REPORT");
  wish.pairs_path = config.text("TERN_CONNECTIONS_OUT");
  wish.preference = config.text("TERN_FABRIC");
  constexpr std::string_view kParts = "TERN_JOB_CONNECTIONS=";
  for (const Config::Setting& setting : config.settings()) {
    if (setting.value.starts_with(kParts)) wish.parts_path = setting.value.substr(kParts.size());
  }
  return wish;
}

std::unique_ptr<JobReport> JobReport::begin() {
  if (!runtime().report) return nullptr;
  return std::unique_ptr<JobReport>(new JobReport);
}

JobReport::JobReport() : own_part_(part_of_this_process().encode()) {
  collects_ = runtime().wireup->info().rank == 0;
  if (!collects_) return;
  inbox_ = std::make_unique<RepeatedReceive>(
      engine(), Envelope{kReports, kAnySource, kAnyTag}, kPieceBytes,
      [this](Peer&, const Envelope& envelope, std::span<const std::byte> piece) {
        take(envelope, piece);
      });
}

// The next piece of any rank's part.
void JobReport::take(const Envelope& envelope, std::span<const std::byte> piece) {
  std::string& part = arriving_[envelope.source];
  part.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  if (envelope.tag != kLast) return;
  add(part);
  arriving_.erase(envelope.source);
}

void JobReport::add(const std::string& part) {
  std::string why;
  if (!all_.add(part, why)) warn("a rank's report of its connections is damaged: " + why);
  if (!runtime().report.parts_path.empty()) parts_ += part;
}

void JobReport::send() {
  if (collects_) return;
  const spawn::LaunchInfo& info = runtime().wireup->info();
  Peer& to = engine().peer({info.job_id, 0});
  const auto post = [&](std::span<char> piece, Tag tag) {
    tern::Request request;
    engine().send(to, {kReports, info.rank, tag},
                  DataView::bytes_at(reinterpret_cast<std::byte*>(piece.data()), piece.size()),
                  SendMode::kStandard, request);
    engine().wait_until([&request] { return request.done; });
    return request.outcome == Outcome::kOk;
  };
  // Once an empty piece is gone there is a link, whose limit is known. What is longer would wait
  // for a receive, and rank 0 need not have posted one.
  if (!post({}, kMore)) return;
  const std::size_t piece_max = std::min(kPieceBytes, to.eager_max_bytes);
  std::span<char> left(own_part_);
  bool good = true;
  while (good && left.size() > piece_max) {
    good = post(left.first(piece_max), kMore);
    left = left.subspan(piece_max);
  }
  if (good) (void)post(left, kLast);
}

void JobReport::finish() {
  if (!collects_) return;
  // All that was sent before the barrier is here, or only has to be looked at.
  constexpr int kQuietTurns = 3;
  for (int quiet = 0; quiet < kQuietTurns;) quiet = engine().progress() > 0 ? 0 : quiet + 1;
  add(own_part_);
  const ReportWish& wish = runtime().report;
  if (wish.text) {
    const std::string text = all_.report();
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  if (!wish.pairs_path.empty()) {
    const spawn::LaunchInfo& info = runtime().wireup->info();
    // A spawned job has its parents' environment, and a file of its own.
    const bool spawned = !info.parent_port.empty();
    write_whole(
        spawned ? tern::format("{}.{:016x}", wish.pairs_path, info.job_id) : wish.pairs_path,
        all_.pairs_file());
  }
  if (!wish.parts_path.empty()) write_parts(wish.parts_path, parts_);
}

}  // namespace tern::mpi
