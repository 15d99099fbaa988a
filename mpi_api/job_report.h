// mpi_api/job_report.h - what rank 0 says and writes at MPI_Finalize about all connections of the
// job: TERN_REPORT, TERN_CONNECTIONS_OUT, and the picture of mpiexec --report-connections.
//
// Each rank for which something is asked sends its part to rank 0 before the last barrier, in
// messages that are sent without waiting for a receive; so a rank 0 for which nothing is asked is
// no trouble, nor is a rank that sends nothing. core/job_traffic.h makes the texts. Threading:
// under the entry lock. Failure: a warning; MPI_Finalize does not fail for it.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "core/config.h"
#include "core/job_traffic.h"
#include "core/request.h"
#include "mpi_api/repeated_receive.h"

namespace tern::mpi {

// What is asked for; read in MPI_Init.
struct ReportWish {
  bool text = false;       // TERN_REPORT
  std::string pairs_path;  // TERN_CONNECTIONS_OUT; empty: none.
  std::string parts_path;  // Where mpiexec reads the parts of all ranks; empty: none.
  std::string preference;  // TERN_FABRIC

  explicit operator bool() const { return text || !pairs_path.empty() || !parts_path.empty(); }
};
ReportWish read_report_wish(const Config& config);

class JobReport {
 public:
  // Looks at what this process has done; messages from now on do not count any more. nullptr when
  // nothing is asked for.
  static std::unique_ptr<JobReport> begin();
  JobReport(const JobReport&) = delete;
  JobReport& operator=(const JobReport&) = delete;

  // Before the last barrier: all but rank 0 send their part.
  void send();
  // After it: rank 0 prints and writes.
  void finish();

 private:
  JobReport();
  void take(const Envelope& envelope, std::span<const std::byte> piece);
  void add(const std::string& part);

  std::string own_part_;
  bool collects_ = false;  // Rank 0.
  std::unique_ptr<RepeatedReceive> inbox_;
  std::map<std::int32_t, std::string> arriving_;  // By rank.
  JobTraffic all_;
  std::string parts_;  // For mpiexec.
};

}  // namespace tern::mpi
