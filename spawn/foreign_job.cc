// spawn/foreign_job.cc - see foreign_job.h.
#include "spawn/foreign_job.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "spawn/job_env.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

// FNV-1a, continued.
std::uint64_t hash(std::string_view text, std::uint64_t value = 0xcbf29ce484222325ULL) {
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return value;
}

WireUp* to_abort = nullptr;  // Of abort_at_exit().
pid_t process_to_abort = 0;
bool registered = false;  // Handlers of exit cannot be taken back.

void abort_job(int status, void*) {
  // A child of fork() that has not executed another program is not the rank.
  if (to_abort == nullptr || ::getpid() != process_to_abort) return;
  to_abort->abort(status != 0 ? status : 1, "a rank has ended without MPI_Finalize");
}

std::string take(const char* name) {
  std::string value = text_variable(name);
  ::unsetenv(name);
  return value;
}

}  // namespace

std::uint64_t foreign_job_id(std::string_view launcher_name) {
  std::uint64_t id = hash(launcher_name);
  // Names such as Slurm's 17.0 and Open MPI's numbers return on other clusters and in other years.
  for (const char* name : {env::kSeed, "SLURM_CLUSTER_NAME", "SLURM_JOB_START_TIME",
                           "OMPI_MCA_orte_hnp_uri", "PRTE_MCA_prte_hnp_uri"}) {
    id = hash(text_variable(name), hash(";", id));
  }
  return id;
}

void take_handed_facts(LaunchInfo& info) {
  info.initial_errhandler = take(env::kErrhandler);
  info.parent_port = take(env::kParentPort);
  const std::string part = take(env::kAppnum);
  if (info.appnum < 0 || !part.empty()) info.appnum = to_number(part).value_or(info.appnum);
  info.universe_size = to_number(take(env::kUniverse)).value_or(info.universe_size);
  ::unsetenv(env::kSeed);
}

void place_on_host(LaunchInfo& info) {
  const auto rank = number_variable("MPI_LOCALRANKID");
  const auto size = number_variable("MPI_LOCALNRANKS");
  if (rank && size && *rank >= 0 && *rank < *size && *size <= info.size) {
    info.local_rank = *rank;
    info.local_size = *size;
    return;
  }
  const HostFinder hosts(info.hosts);
  const int host = hosts.of(info.rank);
  if (host < 0) return;
  info.local_rank = info.local_size = 0;
  for (int other = 0; other < info.size; ++other) {
    if (hosts.of(other) != host) continue;
    if (other < info.rank) ++info.local_rank;
    ++info.local_size;
  }
}

void end_with_launcher() { (void)::prctl(PR_SET_PDEATHSIG, SIGKILL); }

void abort_at_exit(WireUp* wireup) {
  if (wireup != nullptr && !registered) registered = ::on_exit(abort_job, nullptr) == 0;
  process_to_abort = ::getpid();
  to_abort = wireup;
}

void claim_launcher_variables(std::string_view identity) {
  ::setenv(env::kJobId, "inherited", 0);
  ::setenv(env::kLaunchedAs, std::string(identity).c_str(), 1);
}

bool is_inherited(std::string_view identity) {
  const char* const text = std::getenv(env::kLaunchedAs);
  return text != nullptr && identity == text;
}

}  // namespace tern::spawn
