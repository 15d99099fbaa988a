// spawn/options.h - mpiexec's command line: what it can say, and what it means.
//
// Understands the options of both MPICH and Open MPI where they make sense; those of
// no effect here are accepted and named once. CLI11 does parsing and help on words that arguments.h
// has prepared.
// Failure: a Problem with one sentence, whatever the input.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "spawn/arguments.h"
#include "spawn/environment.h"
#include "spawn/hosts.h"
#include "spawn/output_relay.h"
#include "spawn/placement.h"
#include "spawn/problem.h"

namespace tern::spawn {

// One program of the job and how many ranks run it.
struct AppPlan {
  int count = 0;     // 0: not said; as many as there are slots or cores.
  int per_host = 0;  // -N; 0: not said.
  std::string directory;
  std::string path;  // -path: searched before $PATH.
  Words command;
  EnvironmentWish environment;
};

enum class StdinTo { kOneRank, kAll, kNone };

struct JobPlan {
  std::vector<AppPlan> apps;
  PlacementWish placement;
  OutputWish output;
  StdinTo stdin_to = StdinTo::kOneRank;
  int stdin_rank = 0;
  std::chrono::milliseconds timeout{0};  // 0: none.
  int universe_size = 0;                 // 0: not said.
  HostList hosts;
  bool round_hosts = false;            // --map-by node: one rank per host in turn.
  std::string launcher;                // --launcher; empty: chosen by itself.
  std::string launcher_agent;          // What reaches other hosts; empty: ssh.
  EnvironmentWish common_environment;  // Part of each app's, too.
  std::string initial_errhandler;
  bool verbose = false;
  bool quiet = false;
  bool print_exit_codes = false;
  bool report_bindings = false;
  std::string connections_path;  // --report-connections; empty: none.
  bool display_map = false;
  bool display_allocation = false;
  Words without_effect;  // Options given that do nothing here.
};

// Reads the command line (without argv[0]). `show` is filled instead when mpiexec has only to print
// something (-h, -V). `default_timeout` is the value of MPIEXEC_TIMEOUT, or nullptr.
Problem read_command_line(const Words& words, const char* default_timeout, JobPlan& plan,
                          std::string& show);

}  // namespace tern::spawn
