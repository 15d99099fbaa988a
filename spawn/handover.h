// spawn/handover.h - runs a job by another launcher, which starts the ranks on other hosts.
//
// mpiexec stays as its parent: it passes signals on, ends the job after --timeout, and when it is
// killed itself, the kernel tells the launcher. Output, input and the exit code are the launcher's.
// Threading: the calling thread. Failure: sentences on stderr and an exit code.
#pragma once
#include "spawn/options.h"

namespace tern::spawn {

// How a job ended.
struct JobEnd {
  int code = 0;
  int ended_by_signal = 0;  // mpiexec was asked to end.
};

// Precondition: needs_engine(plan).
JobEnd hand_over(const JobPlan& plan, char* const* environment);

}  // namespace tern::spawn
