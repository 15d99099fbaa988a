// spawn/spawned.h - mpiexec as the launcher of processes that another job has spawned.
//
// It is started with --tern-spawned ADDRESS SLOTS, by the mpiexec of the job that spawns, or by a
// process that has none. At the address (an abstract Unix socket) the process waits that wants the
// new ones: it sends a request and gets an answer (spawn_request.h). As long as it has not said
// that the two are connected no more, the end of the conversation ends the new processes. SLOTS is
// the descriptor of the account of slots (slot_account.h), or -1.
#pragma once
#include <string>

namespace tern::spawn {

// Runs the job to its end and returns the exit code. The arguments are those behind the option.
int run_spawned(const std::string& address, const std::string& slots);

}  // namespace tern::spawn
