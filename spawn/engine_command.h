// spawn/engine_command.h - what mpiexec was asked for, in the words of another launcher.
//
// Pure: options and an environment in, a command line and an environment out.
#pragma once
#include <string>

#include "spawn/arguments.h"
#include "spawn/engine.h"
#include "spawn/options.h"

namespace tern::spawn {

struct EngineCommand {
  Words arguments;                // With the program's name.
  Words environment;              // NAME=VALUE
  Words lost;                     // Options that this launcher has no word for.
  bool waits_for_failed = false;  // It does not notice when ssh fails.
};

// What is known of a Slurm allocation.
struct SlurmFacts {
  bool inside_step = false;
  int cpus = 0;  // Of the allocation; 0: not known.
};

// `inherited` is mpiexec's environment, `seed` tells this job from others. Precondition: there is a
// program.
EngineCommand make_engine_command(const FoundEngine& engine, const JobPlan& plan,
                                  char* const* inherited, std::uint64_t seed,
                                  const SlurmFacts& slurm);

// The number of CPUs that SLURM_JOB_CPUS_PER_NODE ("8(x3),4") speaks of; 0 when it is anything
// else.
int count_slurm_cpus(std::string_view text);

}  // namespace tern::spawn
