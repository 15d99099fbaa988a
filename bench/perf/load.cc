// bench/perf/load.cc - implementation of load.h, from /proc/stat and getrusage.
#include "load.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

namespace tern::perf {
namespace {

constexpr int kHostBytes = 256;

// Shorter than this, the kernel's accounts (ticks of 10 ms) are too coarse to compare.
constexpr double kSecondsMin = 0.3;

// Seconds of this process on the processor.
double own_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Seconds that all processors of the host were busy, or negative if unknown. The line reads "cpu
// USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL" in clock ticks; what was stolen was not ours.
double all_seconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double user, nice, system, idle, wait, irq, soft_irq, steal;
  if (!(file >> name >> user >> nice >> system >> idle >> wait >> irq >> soft_irq >> steal)) {
    return -1;
  }
  return (user + nice + system + irq + soft_irq + steal) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

bool shares_host_with_rank_0(MPI_Comm comm) {
  char mine[kHostBytes] = {};
  char first[kHostBytes] = {};
  gethostname(mine, kHostBytes - 1);
  std::memcpy(first, mine, kHostBytes);
  MPI_Bcast(first, kHostBytes, MPI_CHAR, 0, comm);
  return std::memcmp(mine, first, kHostBytes) == 0;
}

}  // namespace

LoadWatch::LoadWatch(MPI_Comm comm)
    : comm_(comm),
      beside_rank_0_(shares_host_with_rank_0(comm)),
      own_start_(own_seconds()),
      all_start_(all_seconds()),
      start_(MPI_Wtime()) {}

std::optional<double> LoadWatch::cores_used_by_others() const {
  const double all = all_seconds() - all_start_;
  const double own = beside_rank_0_ ? own_seconds() - own_start_ : 0;
  const double elapsed = MPI_Wtime() - start_;
  double ours = 0;
  MPI_Reduce(&own, &ours, 1, MPI_DOUBLE, MPI_SUM, 0, comm_);
  if (all_start_ < 0 || elapsed < kSecondsMin) return std::nullopt;
  return std::max(0.0, all - ours) / elapsed;
}

}  // namespace tern::perf
