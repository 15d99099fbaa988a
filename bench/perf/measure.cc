// bench/perf/measure.cc - implementation of measure.h.
#include "measure.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "statistics.h"

namespace tern::perf {
namespace {

// Reading the clock twice costs about 50 ns: a thousandth of this.
constexpr double kBlockSeconds = 50e-6;
constexpr int kBlocksMin = 5;
constexpr int kBlocksMax = 20000;
constexpr int kIterationsMax = 1 << 20;

// Share of a size's time spent on warming up, which also tells how long an iteration takes.
constexpr double kWarmUpShare = 0.15;

// Rounds of the warm-up even if the first ones were so slow that the time is over: something else
// had the processor then.
constexpr int kWarmUpRoundsMin = 8;

constexpr std::uint32_t kCheckRounds = 3;

// Runs a workload on the ranks that have one; the others only take part in the decisions, which
// rank 0 makes for everybody by its own clock.
class Run {
 public:
  Run(Workload* workload, MPI_Comm all, bool decides)
      : workload_(workload), all_(all), decides_(decides) {}

  // Doubles the iterations until the time is spent; returns how many make a block. That is judged
  // by the fastest round: one that something disturbed would make blocks too short.
  int warm_up(double seconds_per_size) {
    double spent = 0;
    double fastest = HUGE_VAL;
    int iterations = 1;
    int per_block = 0;
    for (int rounds = 1; per_block == 0; ++rounds) {
      MPI_Barrier(all_);
      const double start = MPI_Wtime();
      if (workload_ != nullptr) workload_->run(iterations);
      const double round = MPI_Wtime() - start;
      spent += round;
      fastest = std::min(fastest, round / iterations);
      const bool enough = spent >= kWarmUpShare * seconds_per_size && rounds >= kWarmUpRoundsMin;
      const bool too_much = spent >= seconds_per_size || iterations >= kIterationsMax;
      if (decides_ && (enough || too_much)) {
        per_block = iterations_for(kBlockSeconds / std::max(fastest, 1e-9));
      }
      MPI_Bcast(&per_block, 1, MPI_INT, 0, all_);
      iterations *= 2;
    }
    return per_block;
  }

  // Seconds per iteration on this rank, one value per block. The number of blocks at a time doubles
  // while the time lasts: that needs few decisions, and none rests on an early, lucky estimate.
  std::vector<double> timed_blocks(int iterations, double seconds) {
    std::vector<double> blocks;
    MPI_Barrier(all_);
    const double start = MPI_Wtime();
    for (int more = kBlocksMin; more > 0;) {
      for (int i = 0; i < more; ++i) {
        blocks.push_back(workload_ != nullptr ? workload_->run(iterations) / iterations : 0);
      }
      if (decides_) more = blocks_that_fit(MPI_Wtime() - start, seconds, blocks.size());
      MPI_Bcast(&more, 1, MPI_INT, 0, all_);
    }
    return blocks;
  }

  std::int64_t check(std::uint32_t first_seed) {
    long long wrong = 0;
    for (std::uint32_t round = 0; round < kCheckRounds && workload_ != nullptr; ++round) {
      wrong += workload_->run_checked(first_seed + round);
    }
    long long sum = 0;
    MPI_Reduce(&wrong, &sum, 1, MPI_LONG_LONG, MPI_SUM, 0, all_);
    return sum;
  }

 private:
  static int iterations_for(double wanted) {
    return static_cast<int>(std::clamp(std::ceil(wanted), 1.0, double{kIterationsMax}));
  }

  // At most as many as there were, which took `spent`, and no more than the time left allows.
  static int blocks_that_fit(double spent, double seconds, std::size_t done) {
    const double fit = (seconds - spent) / (spent / static_cast<double>(done));
    const auto room = kBlocksMax - static_cast<double>(done);
    return static_cast<int>(std::clamp(fit, 0.0, std::min(static_cast<double>(done), room)));
  }

  Workload* workload_;
  MPI_Comm all_;
  bool decides_;
};

double figure_of(double seconds, Metric metric, std::size_t bytes, int window) {
  const double window_bytes = static_cast<double>(bytes) * window;
  switch (metric) {
    case Metric::kHalfRoundTrip:
      return seconds / 2 * 1e6;
    case Metric::kDuration:
      return seconds * 1e6;
    case Metric::kBandwidth:
      return window_bytes / seconds * 1e-6;
    case Metric::kBidirectionalBandwidth:
      return 2 * window_bytes / seconds * 1e-6;
    case Metric::kRate:
      return window / seconds;
  }
  return 0;
}

// Whether this rank's clock counts in the figures of a test.
bool contributes(const Test& test, const Ranks& ranks) {
  return !test.between_pairs || ranks.leads_pair();
}

// Combines the ranks' blocks into one value per block. Collective; the result is rank 0's.
std::vector<double> combine(const std::vector<double>& mine, MPI_Op op, const Ranks& ranks) {
  std::vector<double> combined(mine.size());
  MPI_Reduce(mine.data(), combined.data(), static_cast<int>(mine.size()), MPI_DOUBLE, op, 0,
             ranks.all());
  return combined;
}

Figures condense(const Test& test, std::size_t bytes, const Options& options, const Ranks& ranks,
                 std::vector<double> blocks) {
  const bool counts = contributes(test, ranks);
  for (double& block : blocks) {
    block = counts ? figure_of(block, test.metric, bytes, options.window) : 0.0;
  }
  std::vector<double> combined = combine(blocks, MPI_SUM, ranks);
  Figures figures;
  if (!test.between_pairs) figures.slowest = median(combine(blocks, MPI_MAX, ranks));

  const bool lower = lower_is_better(test.metric);
  const int sources = test.between_pairs ? ranks.pairs() : ranks.size();
  for (double& value : combined) value /= lower ? sources : 1;
  std::sort(combined.begin(), combined.end());
  figures.median = quantile(combined, 0.5);
  figures.best = lower ? combined.front() : combined.back();
  figures.bad = quantile(combined, lower ? 0.99 : 0.01);
  return figures;
}

}  // namespace

Ranks::Ranks() {
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  pairs_ = size_ / 2;
  const bool paired = rank_ < 2 * pairs_;
  MPI_Comm_split(MPI_COMM_WORLD, paired ? rank_ % pairs_ : MPI_UNDEFINED, rank_, &pair_);
}

Ranks::~Ranks() {
  if (pair_ != MPI_COMM_NULL) MPI_Comm_free(&pair_);
}

bool lower_is_better(Metric metric) {
  return metric == Metric::kHalfRoundTrip || metric == Metric::kDuration;
}

std::size_t memory_needed(const Test& test, std::size_t bytes, int ranks) {
  return 2 * bytes * (test.buffers_grow ? static_cast<std::size_t>(ranks) : 1);
}

Figures measure(const Test& test, std::size_t bytes, const Options& options, const Ranks& ranks) {
  MPI_Comm comm = test.between_pairs ? ranks.pair() : ranks.all();
  const std::unique_ptr<Workload> workload =
      comm == MPI_COMM_NULL ? nullptr : test.make({bytes, options.window, comm});
  Run run(workload.get(), ranks.all(), ranks.reports());

  const bool checked = options.check && test.can_check;
  std::int64_t wrong = checked ? run.check(1) : 0;  // Before: also the cold first messages.
  const int iterations = run.warm_up(options.seconds_per_size);
  std::vector<double> blocks = run.timed_blocks(iterations, options.seconds_per_size);
  if (checked) wrong += run.check(1 + kCheckRounds);  // After: when caches and queues are warm.

  const auto count = static_cast<int>(blocks.size());
  Figures figures = condense(test, bytes, options, ranks, std::move(blocks));
  figures.iterations = std::int64_t{iterations} * count;
  figures.blocks = count;
  figures.checked = checked;
  figures.wrong = wrong;
  return figures;
}

}  // namespace tern::perf
