// spawn/guard.h - ends what the ranks started when mpiexec itself is killed with -9.
//
// The kernel ends the ranks then (PR_SET_PDEATHSIG in process.cc), but not what a wrapper script
// has started. A small process of its own waits for mpiexec's death and kills the ranks' process
// groups. It costs one fork of a small process, made while the ranks are starting up. Failure:
// without it mpiexec still works; only that last net is missing.
#pragma once
#include <sys/types.h>

#include <cstddef>

namespace tern::spawn {

class Guard {
 public:
  // Room for this many process groups.
  explicit Guard(std::size_t group_count);
  // Ends the guard process.
  ~Guard();
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // The place where rank `index` enters its process group; 0 there: none (any more). nullptr when
  // there is no guard.
  volatile pid_t* place_of(std::size_t index) {
    return groups_ == nullptr ? nullptr : groups_ + index;
  }

  // Tells the guard that a child of mpiexec was reaped; it may have been the guard process.
  void forget(pid_t reaped) {
    if (reaped == guard_) guard_ = -1;
  }

  // Starts the guard process. Call it once, from the thread that lives as long as mpiexec.
  void start();

 private:
  [[noreturn]] void watch(pid_t parent) const;

  // Shared with the guard process: ranks (while they share mpiexec's memory) and mpiexec write, the
  // guard reads after mpiexec's death.
  volatile pid_t* groups_ = nullptr;
  std::size_t group_count_;
  pid_t guard_ = -1;
};

}  // namespace tern::spawn
