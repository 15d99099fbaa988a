// spawn/engine.h - the launchers of others that start ranks on other hosts for mpiexec.
//
// Which are installed, and which one is used. Starts nothing. Failure: a Problem that says what to
// install.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/options.h"
#include "spawn/problem.h"

namespace tern::spawn {

// In the order of preference.
enum class Engine { kSlurm, kPrrte, kOpenMpi, kHydra };

// As --launcher takes it.
std::string_view engine_name(Engine engine);

struct FoundEngine {
  Engine engine = Engine::kHydra;
  std::string program;  // Absolute.
};

// Those that `path` (as $PATH) leads to, each once. Tern's own mpiexec answers to the names of
// others and is none of them.
std::vector<FoundEngine> find_engines(std::string_view path);

using VariableLookup = std::function<const char*(const char*)>;

// Whether the ranks of this job are for another launcher: other hosts are named, --launcher says
// so, or mpiexec runs in a Slurm allocation of several hosts.
bool needs_engine(const JobPlan& plan, const VariableLookup& lookup);

// The launcher for a job that needs one.
Problem choose_engine(const JobPlan& plan, const VariableLookup& lookup, FoundEngine& chosen);

}  // namespace tern::spawn
