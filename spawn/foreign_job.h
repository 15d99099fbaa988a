// spawn/foreign_job.h - what is the same for a rank under every launcher that is not Tern's
// mpiexec.
//
// Threading: call it before other threads look at the environment.
#pragma once
#include <cstdint>
#include <string_view>

#include "spawn/wireup.h"

namespace tern::spawn {

// The same 64 bits in all ranks of a job, out of the launcher's name for it and of whatever else
// tells two jobs of the same name apart.
std::uint64_t foreign_job_id(std::string_view launcher_name);

// What mpiexec says to the ranks of a job that it has another launcher start (job_env.h). Takes it
// out of the environment: programs that this process starts are no part of that.
void take_handed_facts(LaunchInfo& info);

// Where this rank stands among those of its host: what the launcher says in the environment, else
// counted from its map of hosts.
void place_on_host(LaunchInfo& info);

// Has the kernel end this process when what started it dies: a launcher's daemon that is killed
// cannot end its ranks any more.
void end_with_launcher();

// For launchers that make no exit code of a process that leaves without finalize(), and may wait
// for the others for ever: from now on exit() aborts the job with the code given to it. One WireUp
// per process; nullptr ends it.
void abort_at_exit(WireUp* wireup);

// Remembers in the environment that the launcher's variables belong to this process (`identity`),
// for the sake of programs that it starts.
void claim_launcher_variables(std::string_view identity);

// True when the variables of the launcher were left by the process that started this one, which was
// its rank `identity`.
bool is_inherited(std::string_view identity);

}  // namespace tern::spawn
