// spawn/spawn_keys.cc - see spawn_keys.h.
#include "spawn/spawn_keys.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace tern::spawn {
namespace {

using Id = SpawnKey::Id;

constexpr auto kKeys = std::to_array<SpawnKey>({
    {"host", Id::kHost, "HOST[:SLOTS],...",
     "Hosts to run on, this one or, by a launcher that reaches them, others."},
    {"hostfile", Id::kHostFile, "FILE", "The same from a file."},
    {"add-host", Id::kAddHost, "HOST[:SLOTS],...",
     "As host, for hosts that the job did not have before."},
    {"add-hostfile", Id::kAddHostFile, "FILE", "The same from a file."},
    {"wdir", Id::kWorkingDirectory, "DIR",
     "Where the processes run; without it, the directory of the process that spawns."},
    {"path", Id::kPath, "DIR:...",
     "Where the program is looked for, after the directory of the process that spawns and before "
     "PATH."},
    {"file", Id::kFile, "FILE", "A file of further keys, `key = value` in each line."},
    {"arch", Id::kArchitecture, "NAME",
     "The architecture needed; another one than this is an error."},
    {"soft", Id::kSoft, "N|A:B[:STEP],...",
     "Numbers of processes that would do; the largest up to maxprocs is started."},
    {"env", Id::kEnvironment, "NAME=VALUE lines", "Environment of the new processes."},
    {"npernode", Id::kPerNode, "N", "At most N processes per host."},
    {"pernode", Id::kOnePerNode, "BOOL", "At most one process per host."},
    {"ppr", Id::kPerObject, "N:OBJECT", "N processes per object: core, numa, socket, node."},
    {"map_by", Id::kMapBy, "OBJECT", "As mpiexec --map-by."},
    {"rank_by", Id::kRankBy, "OBJECT", "As mpiexec --rank-by."},
    {"bind_to", Id::kBindTo, "OBJECT",
     "As mpiexec --bind-to; without it the processes are not bound."},
    {"mapper", Id::kMapper, "NAME",
     "round_robin: one core after the other; others are not known and have no effect."},
    {"mpi_initial_errhandler", Id::kErrhandler, "NAME",
     "mpi_errors_are_fatal, mpi_errors_abort or mpi_errors_return."},
    {"ompi_prefix", Id::kPrefix, "DIR",
     "DIR/bin goes before PATH, DIR/lib before LD_LIBRARY_PATH."},
    {"ompi_preload_binary", Id::kPreloadBinary, "BOOL",
     "Runs a private copy of the program, removed when the processes have ended."},
    {"ompi_preload_files", Id::kPreloadFiles, "FILE,...",
     "Copies the files into the directory where the processes run."},
    {"ompi_stdin_target", Id::kStdinTarget, "RANK|all|none", "Who reads standard input (none)."},
    {"ompi_non_mpi", Id::kNonMpi, "BOOL",
     "The program does not use MPI; the communicator is MPI_COMM_NULL."},
    {"ompi_param", Id::kParam, "TERN_NAME=VALUE", "A TERN_ variable for the new processes."},
});

constexpr std::string_view kOpenMpi = "ompi_";
constexpr std::string_view kOwn = "tern_";

}  // namespace

std::span<const SpawnKey> spawn_keys() { return kKeys; }

const SpawnKey* find_spawn_key(std::string_view name) {
  const bool own = name.starts_with(kOwn);
  const std::string_view bare = own ? name.substr(kOwn.size()) : name;
  const auto same = [&](const SpawnKey& key) {
    if (!own) return key.name == name;
    return key.name == bare ||
           (key.name.starts_with(kOpenMpi) && key.name.substr(kOpenMpi.size()) == bare);
  };
  const auto found = std::ranges::find_if(kKeys, same);
  return found == kKeys.end() ? nullptr : &*found;
}

bool is_true(std::string_view value) {
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  std::string_view digits = value;
  if (!digits.empty() && (digits.front() == '-' || digits.front() == '+')) digits.remove_prefix(1);
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0; };
  if (!digits.empty() && std::ranges::all_of(digits, is_digit)) {
    return digits.find_first_not_of('0') != std::string_view::npos;
  }
  std::string lower;
  for (const char c : value)
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower == "yes" || lower == "true";
}

}  // namespace tern::spawn
