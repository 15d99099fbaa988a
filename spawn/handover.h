// spawn/handover.h - runs a job by another launcher, which starts the ranks on other hosts.
//
// mpiexec stays as its parent: it passes signals on, ends the job after --timeout, and when it is
// killed itself, the kernel tells the launcher. Output, input and the exit code are the launcher's.
// Threading: the calling thread. Failure: sentences on stderr and an exit code.
#pragma once
#include <functional>
#include <string>

#include "spawn/engine_command.h"
#include "spawn/event_loop.h"
#include "spawn/options.h"
#include "spawn/problem.h"

namespace tern::spawn {

// How a job ended.
struct JobEnd {
  int code = 0;
  int ended_by_signal = 0;  // mpiexec was asked to end.
};

// The command line of the launcher for this job. Precondition: needs_engine(plan).
Problem prepare_handover(const JobPlan& plan, char* const* environment, EngineCommand& command);

// A job under way, for whoever wants to end it.
class HandedJob {
 public:
  virtual EventLoop& loop() = 0;
  virtual void end(const std::string& why) = 0;

 protected:
  ~HandedJob() = default;
};

// Runs it to its end. `started` hears once whether the launcher could be started.
JobEnd run_handover(const JobPlan& plan, EngineCommand command,
                    const std::function<void(HandedJob&, const Problem&)>& started = {});

// Both, with what is wrong said on stderr.
JobEnd hand_over(const JobPlan& plan, char* const* environment);

}  // namespace tern::spawn
