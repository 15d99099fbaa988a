// core/job_traffic.h - who of a job talked to whom, over what and how much: what each rank says of
// itself, all of it together, and the texts made of that.
//
// A rank encodes its part as lines of text; whoever has the parts of all ranks adds them up. Used
// by rank 0 at MPI_Finalize, and by mpiexec, which draws the picture. Pure; no I/O. Failure: a part
// that is damaged is left out, with a sentence.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/counters.h"
#include "core/preconnect.h"

namespace tern {

// One direction of one pair.
struct Flow {
  preconnect::Rank from = 0;
  preconnect::Rank to = 0;
  std::uint16_t fabric = 0;  // JobTraffic::names
  std::uint32_t reason = 0;  // JobTraffic::reasons
  counters::Volume sent;
};

// What the ranks' fabrics have counted, added up.
struct FabricSum {
  std::uint64_t opened = 0, closed = 0, replayed = 0, failed = 0;
  std::uint64_t handshake_us_min = 0, handshake_us_max = 0, handshake_us_total = 0;
  std::uint64_t setup_bytes = 0, memory_bytes = 0;
  counters::Volumes volumes{};
};

// What one rank says.
struct RankTraffic {
  struct Peer {
    preconnect::Rank rank = 0;
    std::string_view fabric;  // "none": it was lost or could not be reached.
    std::string reason;       // Why it is not another fabric.
    counters::Volume sent;
  };
  preconnect::Rank rank = 0;
  preconnect::Rank size = 0;
  std::string host;
  std::string preference;  // TERN_FABRIC
  std::string plan;        // Connected in advance by this plan, so many, in that time.
  std::uint64_t plan_connections = 0;
  std::uint64_t plan_us = 0;
  std::vector<Peer> peers;
  std::map<std::string, FabricSum, std::less<>> fabrics;

  std::string encode() const;
};

// The counters of this process, for RankTraffic::fabrics.
std::map<std::string, FabricSum, std::less<>> sums_of_process();

class JobTraffic {
 public:
  // Adds the part of one rank, or several one behind the other. False, with a sentence in `why`,
  // when a line is none; what came before it counts.
  bool add(std::string_view text, std::string& why);

  preconnect::Rank size() const { return size_; }
  std::size_t reported() const { return hosts_.size(); }
  const std::string& host_of(preconnect::Rank rank) const;
  const std::vector<Flow>& flows() const { return flows_; }
  const std::string& fabric_of(const Flow& flow) const { return names_[flow.fabric]; }
  const std::string& reason_of(const Flow& flow) const { return reasons_[flow.reason]; }

  // The report of TERN_REPORT: single pairs while they are few, else one line for each two hosts,
  // and never more than a page.
  std::string report() const;
  // The file of TERN_CONNECTIONS_OUT: the pairs that exchanged messages, in the format that
  // TERN_PRECONNECT=file: reads.
  std::string pairs_file() const;

 private:
  bool add_line(std::string_view line);
  std::string pair_lines() const;
  std::string host_lines() const;
  std::string fabric_lines() const;

  preconnect::Rank size_ = 0;
  preconnect::Rank current_ = 0;               // Whose lines are being read.
  std::vector<std::uint32_t> reason_numbers_;  // Of its reasons in reasons_.
  std::map<preconnect::Rank, std::string> hosts_;
  std::string preference_;
  std::string plan_;
  std::uint64_t plan_connections_ = 0;
  std::uint64_t plan_us_ = 0;
  std::vector<std::string> names_;
  std::vector<std::string> reasons_;
  std::vector<Flow> flows_;
  std::map<std::string, FabricSum, std::less<>> fabrics_;
};

// "17 bytes", "3.2 kB", "45 GB".
std::string bytes_text(std::uint64_t bytes);

}  // namespace tern
