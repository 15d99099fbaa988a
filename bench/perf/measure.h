// bench/perf/measure.h - runs a workload long enough to be believed and condenses its figures.
//
// Iterations are timed in blocks: long enough that reading the clock does not matter, short enough
// that hundreds of them fit into the time given. Figures are quantiles over blocks, because a mean
// on a shared machine tells of the disturbances and not of the library.
// Threading: none. Failure: MPI's default error handler ends the program.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>

#include "options.h"
#include "workload.h"

namespace tern::perf {

// Who takes part: all ranks, and the pairs (i, i + n/2). The last of an odd number has no partner.
class Ranks {
 public:
  Ranks();  // Collective over MPI_COMM_WORLD.
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  MPI_Comm all() const { return MPI_COMM_WORLD; }
  MPI_Comm pair() const { return pair_; }  // MPI_COMM_NULL without a partner.
  bool leads_pair() const { return rank_ < pairs_; }
  int rank() const { return rank_; }
  int size() const { return size_; }
  int pairs() const { return pairs_; }
  bool reports() const { return rank_ == 0; }

 private:
  int rank_ = 0;
  int size_ = 0;
  int pairs_ = 0;
  MPI_Comm pair_ = MPI_COMM_NULL;
};

// In microseconds, million bytes per second or messages per second, after the test's metric.
// Mean over ranks or pairs for times, sum over pairs for bandwidth and rate.
struct Figures {
  double median = 0;
  double best = 0;     // Smallest time, largest bandwidth.
  double bad = 0;      // 99 % of the blocks were better.
  double slowest = 0;  // Median of the slowest rank's time; only for collectives.
  std::int64_t iterations = 0;
  int blocks = 0;
  bool checked = false;
  std::int64_t wrong = 0;  // Wrong bytes (numbers, for reductions) on all ranks.
};

bool lower_is_better(Metric metric);

// Memory that one rank needs for the test at this size, at most.
std::size_t memory_needed(const Test& test, std::size_t bytes, int ranks);

// Collective over all ranks; the figures are valid on rank 0.
Figures measure(const Test& test, std::size_t bytes, const Options& options, const Ranks& ranks);

}  // namespace tern::perf
