// bench/perf/options.h - what the user asked tern-perf to do.
//
// Reading the command line needs no MPI and prints nothing, so that every rank can do it and one of
// them can report a mistake. Threading: none. Failure: a sentence in Invocation::message.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "workload.h"

namespace tern::perf {

struct Options {
  std::vector<const Test*> tests;
  std::optional<std::vector<std::size_t>> sizes;  // Unset: each test's own range.
  double seconds_per_size = 0.2;
  int window = 64;
  std::size_t memory_max = std::size_t{512} << 20;  // Per rank, in bytes.
  bool full = false;
  bool check = false;
  bool progress = false;  // Even without a terminal.
  std::string json_path;
  std::string plot_path;
};

// Either options to run with, or a message to print and an exit status.
struct Invocation {
  std::optional<Options> options;
  std::string message;
  int exit_status = 0;  // 0: the message was asked for (--help); 2: it describes a mistake.
};

Invocation read_command_line(int argc, char** argv);

}  // namespace tern::perf
