// spawn/option_table.h - the table of mpiexec's options, as CLI11 fills it for one part of a job.
//
// Strings as written; option_values.h says what they mean. Failure: a Problem.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "spawn/arguments.h"
#include "spawn/problem.h"

namespace tern::spawn {

struct RawOptions {
  // Processes.
  std::string count, per_host, universe, soft, arch;
  Words hosts, host_files;
  std::string launcher, launcher_agent;
  // Program.
  std::string directory, path, config_file, errhandler;
  // Environment.
  Words exports;
  std::vector<std::pair<std::string, std::string>> local_set, global_set;
  std::string local_list, global_list, preconnect;
  bool local_none = false, global_none = false, inherit_all = false;
  // Output and input.
  bool label_rank = false, label_job = false, timestamp = false, merge = false;
  Words output;
  std::string output_directory, output_pattern, error_pattern, stdin_to;
  // Placement.
  std::string bind_to, map_by, rank_by, cpu_set, cores_per_rank, per_socket;
  bool oversubscribe = false, no_oversubscribe = false, hwthreads = false;
  // Control.
  std::string timeout, connections_path;
  bool verbose = false, quiet = false, exit_codes = false, version = false;
  bool report_bindings = false, display_map = false, display_allocation = false;
  Words without_effect;
};

// The names and numbers of values of all options.
const OptionNames& option_names();

// Parses prepared options (Segment::options). `help` gets the text of -h when that was asked for.
Problem parse_options(const Words& options, RawOptions& raw, std::string& help);

}  // namespace tern::spawn
