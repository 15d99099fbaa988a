// spawn/prepare.h - from what the user asked for to what is to be started, rank by rank.
//
// Everything that can be found wrong before the first process is started is found here: programs,
// directories, numbers, CPUs, limits. Failure: a Problem; nothing was started.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spawn/environment.h"
#include "spawn/options.h"
#include "spawn/placement.h"
#include "spawn/problem.h"
#include "spawn/slot_account.h"

namespace tern::spawn {

// One program of the job, ready to be executed.
struct Program {
  std::string name;  // As the user wrote it.
  std::string file;
  std::string directory;  // Empty: mpiexec's.
  Words arguments;        // argv.
  std::unique_ptr<RankEnvironment> environment;
};

struct PreparedJob {
  JobFacts facts;
  std::vector<Program> programs;
  std::vector<int> program_of;  // By rank.
  std::vector<CpuSet> cpus;     // By rank; empty: not bound.
  bool must_bind = false;       // The user asked for it.
};

// Tells jobs apart.
std::uint64_t random_id();

// With an account the ranks are placed beside those that are in it, and entered.
Problem prepare(const JobPlan& plan, char* const* environment, SlotAccount* account,
                PreparedJob& job);

// What --display-map, --display-allocation and --report-bindings print; may be empty.
std::string describe_allocation(const JobPlan& plan, const PreparedJob& job);
std::string describe_map(const PreparedJob& job);
std::string describe_bindings(const PreparedJob& job);

}  // namespace tern::spawn
