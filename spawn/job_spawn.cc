// spawn/job_spawn.cc - launchers for the jobs that ranks spawn; see job.h and spawned.h.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/format.h"
#include "spawn/job.h"
#include "spawn/spawn_request.h"

namespace tern::spawn {

// A second mpiexec serves the new processes, so that they are a job of their own in every respect;
// the rank speaks with it directly. When it cannot be started the rank notices by itself.
void Job::on_spawn(int rank, std::string_view address) {
  if (ending_) return;
  std::string option = kSpawnedOption;
  std::string place(address);
  std::string name = "mpiexec";
  std::array<char*, 4> arguments = {name.data(), option.data(), place.data(), nullptr};
  ProcessStart start;
  start.file = "/proc/self/exe";
  start.arguments = arguments.data();
  start.environment = environ;
  start.signals = &signals_;
  start.files = &files_;
  StartError error;
  const pid_t pid = start_process(start, error);
  if (pid >= 0) return launchers_.push_back(pid);
  say(tern::format(
      "cannot start a launcher for the processes that rank {} spawns: failed to {}: {}", rank,
      error.step, std::strerror(error.error_number)));
}

bool Job::reap_launcher(pid_t pid, int status) {
  if (std::erase(launchers_, pid) == 0) return false;
  // Not zero only when the spawned job failed while it was connected to this one.
  if (exit_code_ == 0 && !ending_) exit_code_ = exit_code_of(status);
  return true;
}

// When this job fails, the launchers of those that are still connected to it notice that by
// themselves, and the others are not concerned. What the user wants is for all of them.
void Job::signal_launchers(int number) const {
  if (ending_ && interrupt_ == 0 && !timed_out_) return;
  for (const pid_t pid : launchers_) ::kill(pid, number);
}

}  // namespace tern::spawn
