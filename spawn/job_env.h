// spawn/job_env.h - the environment variables through which mpiexec tells a rank who it is.
//
// The one list that both ends use: mpiexec writes them, spawn/pmi1_client.cc reads them. With all
// of them present MPI_Init needs no round trip to the launcher. Everything Tern adds begins with
// TERN_JOB_, so that the configuration (which warns about unknown TERN_ names) can skip the prefix.
//
// Besides these, mpiexec sets what programs written for other MPIs look for before MPI_Init; that
// list is in spawn/environment.cc.
#pragma once
#include <cstdlib>
#include <optional>
#include <string>

#include "spawn/pmi1_line.h"

namespace tern::spawn {

// The value of an environment variable; empty, nullopt when it is not set, or is no number.
inline std::string text_variable(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr ? std::string() : text;
}
inline std::optional<int> number_variable(const char* name) {
  return to_number(text_variable(name));
}

}  // namespace tern::spawn

namespace tern::spawn::env {

inline constexpr char kPrefix[] = "TERN_JOB_";

// PMI-1, as every launcher of that protocol sets them.
inline constexpr char kPmiFd[] = "PMI_FD";      // Descriptor of the socket to the launcher.
inline constexpr char kPmiPort[] = "PMI_PORT";  // host:port instead of a descriptor.
inline constexpr char kPmiId[] = "PMI_ID";      // With PMI_PORT: who is calling.
inline constexpr char kPmiRank[] = "PMI_RANK";
inline constexpr char kPmiSize[] = "PMI_SIZE";

// Tern's own. kChannel is the inode number of the socket behind PMI_FD: when it does not match, the
// variables are left-overs of an outer job (another launcher runs inside a rank) and do not count.
inline constexpr char kChannel[] = "TERN_JOB_CHANNEL";
inline constexpr char kJobId[] = "TERN_JOB_ID";              // 64 random bits, hexadecimal.
inline constexpr char kKvsName[] = "TERN_JOB_KVS";           // PMI-1 name of the key-value space.
inline constexpr char kLocalRank[] = "TERN_JOB_LOCAL_RANK";  // Among the ranks of this host.
inline constexpr char kLocalSize[] = "TERN_JOB_LOCAL_SIZE";
inline constexpr char kCores[] = "TERN_JOB_CORES";            // That the ranks of this host share.
inline constexpr char kAppnum[] = "TERN_JOB_APPNUM";          // Which part of an MPMD command line.
inline constexpr char kUniverse[] = "TERN_JOB_UNIVERSE";      // MPI_UNIVERSE_SIZE.
inline constexpr char kErrhandler[] = "TERN_JOB_ERRHANDLER";  // -initial-errhandler; optional.
inline constexpr char kConnections[] = "TERN_JOB_CONNECTIONS";  // File for --report-connections.
inline constexpr char kTerminal[] = "TERN_JOB_STDERR_TTY";      // Set: stderr ends at a terminal.
inline constexpr char kParentPort[] = "TERN_JOB_PARENT_PORT";   // Spawned jobs only.

// For ranks that another launcher starts, on mpiexec's behalf or not.
inline constexpr char kSeed[] = "TERN_JOB_SEED";  // 64 random bits that tell jobs apart.
// Whose the launcher's variables are; set by that process itself, so those it starts see it.
inline constexpr char kLaunchedAs[] = "TERN_JOB_LAUNCHED_AS";
inline constexpr char kPmiJob[] = "PMI_JOBID";  // PMI-2
inline constexpr char kPmixRank[] = "PMIX_RANK";
inline constexpr char kPmixNamespace[] = "PMIX_NAMESPACE";

// NAME of "NAME=value".
inline std::string_view name_of(std::string_view entry) { return entry.substr(0, entry.find('=')); }

}  // namespace tern::spawn::env
