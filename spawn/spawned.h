// spawn/spawned.h - mpiexec as the launcher of processes that another job has spawned.
//
// It is started with --tern-spawned ADDRESS, by the mpiexec of the job that spawns, or by a process
// that has none. At the address (an abstract Unix socket) the process waits that wants the new
// ones: it sends a request and gets an answer (spawn_request.h). As long as it has not said that
// the two are connected no more, the end of the conversation ends the new processes.
#pragma once
#include <string>

namespace tern::spawn {

// Runs the job to its end and returns the exit code. `arguments` are those behind the option.
int run_spawned(const std::string& address);

}  // namespace tern::spawn
