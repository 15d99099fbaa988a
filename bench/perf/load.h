// bench/perf/load.h - how much of the machine other programs used while we measured.
//
// The commonest reason for figures that nobody can repeat. Compares the kernel's account of busy
// time with that of our own ranks, on rank 0's host. Threading: none. Failure: without /proc/stat
// the answer is empty.
#pragma once

#include <mpi.h>

#include <optional>

namespace tern::perf {

class LoadWatch {
 public:
  // Starts watching. Collective over `comm`.
  explicit LoadWatch(MPI_Comm comm);

  // The cores' worth of time that others, hypervisor included, used on rank 0's host since the
  // start: 0.5 is half a core. Collective; the answer is rank 0's.
  std::optional<double> cores_used_by_others() const;

 private:
  MPI_Comm comm_;
  bool beside_rank_0_;
  double own_start_;
  double all_start_;
  double start_;
};

}  // namespace tern::perf
