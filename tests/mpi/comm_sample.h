// tests/mpi/comm_sample.h - communicators to try collectives on, with their members known.
//
// A set of MPI_COMM_WORLD, a reversed copy and random splits of it. Every rank holds the same
// number of samples; where it belongs to no part of a split its handle is MPI_COMM_NULL.
#pragma once

#include "check.h"

namespace check {

struct CommSample {
  MPI_Comm handle = MPI_COMM_NULL;
  std::vector<int> members;  // World ranks in the order of the communicator.
  int rank = -1;             // Of this process in it.
  int size() const { return static_cast<int>(members.size()); }
};

class CommSamples {
 public:
  explicit CommSamples(int splits) {
    std::vector<int> zero(check::size, 0), keys(check::size), colors(check::size);
    add(zero, zero);
    for (int r = 0; r < check::size; ++r) keys[r] = -r;
    add(zero, keys);
    for (int i = 0; i < splits; ++i) {
      Random random(800, splits, i);
      for (int r = 0; r < check::size; ++r) {
        keys[r] = random.below(10);
        colors[r] = random.below(10) < 9 ? random.below(2) : MPI_UNDEFINED;
      }
      add(colors, keys);
    }
  }
  ~CommSamples() {
    for (CommSample& sample : samples_) {
      if (sample.handle != MPI_COMM_NULL) MPI_Comm_free(&sample.handle);
    }
  }
  CommSamples(const CommSamples&) = delete;
  CommSamples& operator=(const CommSamples&) = delete;

  // All ranks must draw from the same stream.
  CommSample& pick(Random& random) {
    return samples_[random.below(static_cast<int>(samples_.size()))];
  }
  std::size_t count() const { return samples_.size(); }
  CommSample& operator[](std::size_t i) { return samples_[i]; }

 private:
  void add(const std::vector<int>& colors, const std::vector<int>& keys) {
    CommSample sample;
    EXPECT_OK(
        MPI_Comm_split(MPI_COMM_WORLD, colors[check::rank], keys[check::rank], &sample.handle));
    for (int r = 0; r < check::size; ++r) {
      if (colors[r] == colors[check::rank]) sample.members.push_back(r);
    }
    std::stable_sort(sample.members.begin(), sample.members.end(),
                     [&](int a, int b) { return keys[a] < keys[b]; });
    sample.rank =
        static_cast<int>(std::find(sample.members.begin(), sample.members.end(), check::rank) -
                         sample.members.begin());
    samples_.push_back(sample);
  }
  std::vector<CommSample> samples_;
};

}  // namespace check
