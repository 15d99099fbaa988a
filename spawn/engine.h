// spawn/engine.h - the launchers of others that start ranks on other hosts for mpiexec.
//
// Which one is used for a job. Starts nothing. Failure: a Problem that says what to
// install.
#pragma once
#include <functional>

#include "spawn/engine_search.h"
#include "spawn/options.h"
#include "spawn/problem.h"

namespace tern::spawn {

using VariableLookup = std::function<const char*(const char*)>;

// Whether the ranks of this job are for another launcher: other hosts are named, --launcher says
// so, or mpiexec runs in a Slurm allocation of several hosts.
bool needs_engine(const JobPlan& plan, const VariableLookup& lookup);

// The launcher for a job that needs one.
Problem choose_engine(const JobPlan& plan, const VariableLookup& lookup, FoundEngine& chosen);

}  // namespace tern::spawn
