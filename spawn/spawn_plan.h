// spawn/spawn_plan.h - from a spawn request to a plan that mpiexec can carry out.
//
// What each info key does. Reads files that keys name, and starts nothing. Failure: a Problem.
#pragma once
#include <string>
#include <vector>

#include "spawn/options.h"
#include "spawn/problem.h"
#include "spawn/spawn_request.h"

namespace tern::spawn {

struct SpawnPlan {
  struct Extra {
    bool preload_binary = false;
    Words preload_files;  // Absolute.
  };
  JobPlan job;
  std::vector<Extra> extras;  // By app.
  Words unknown_keys;
};

// `environment` is the one that the processes inherit.
Problem plan_spawn(const SpawnRequest& request, char* const* environment, SpawnPlan& plan);

// The largest number up to `most` that a `soft` list "a,b:c,d:e:f" allows; 0 when none does.
Problem read_soft_counts(std::string_view text, int most, int& count);

}  // namespace tern::spawn
