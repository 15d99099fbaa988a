// spawn/foreign_launcher.cc - see foreign_launcher.h.
#include "spawn/foreign_launcher.h"

#include <array>
#include <optional>
#include <string_view>

#include "spawn/job_env.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

struct Launcher {
  const char* name;
  const char* rank_variable;  // Set for every task.
  const char*
      size_variable;  // Number of tasks; nullptr: there is none, so more than one is assumed.
  bool tern_sets_it;  // Our mpiexec sets the same variables for its own ranks.
  const char* remedy;
};

constexpr const char* kUseMpiexec = "Start it with Tern's mpiexec instead";
constexpr const char* kUseSrunMpi =
    "Start it with `srun --mpi=pmi2` or `srun --mpi=pmix`, or with Tern's mpiexec inside the "
    "allocation";

// SLURM_STEP_NUM_TASKS and not SLURM_NTASKS: inside a batch script, outside any step, a program is
// on its own however many tasks the allocation has.
constexpr auto kLaunchers = std::to_array<Launcher>({
    {"Slurm's srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", false, kUseSrunMpi},
    {"Open MPI's mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", true, kUseMpiexec},
    {"MVAPICH's mpirun_rsh", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", true, kUseMpiexec},
    {"Cray's PALS", "PALS_RANKID", "PMI_SIZE", false, kUseMpiexec},
    {"Flux", "FLUX_TASK_RANK", "FLUX_JOB_SIZE", false, "Start it with `flux run -o pmi=simple`"},
    {"LSF's jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", false, kUseMpiexec},
    {"a PMIx launcher", "PMIX_RANK", nullptr, false, kUseMpiexec},
    {"a PMI launcher", "PMI_RANK", "PMI_SIZE", true, kUseMpiexec},
});

std::optional<int> number(const EnvLookup& lookup, const char* variable) {
  const char* text = variable == nullptr ? nullptr : lookup(variable);
  return text == nullptr ? std::nullopt : to_number(text);
}

bool same(const EnvLookup& lookup, const char* variable, const char* other) {
  const char* a = variable == nullptr ? nullptr : lookup(variable);
  const char* b = lookup(other);
  return a != nullptr && b != nullptr && std::string_view(a) == b;
}

// A program that a rank starts by itself inherits the rank's variables and is yet on its own. They
// are inherited when TERN_JOB_ID is there (set by mpiexec, and by the client under other launchers)
// and those that mpiexec writes still agree with each other.
bool is_inherited_from_rank(const EnvLookup& lookup, const Launcher& launcher) {
  if (lookup(env::kJobId) == nullptr) return false;
  return !launcher.tern_sets_it || (same(lookup, launcher.rank_variable, env::kPmiRank) &&
                                    same(lookup, launcher.size_variable, env::kPmiSize));
}

}  // namespace

std::string foreign_launcher_problem(const EnvLookup& lookup) {
  for (const Launcher& launcher : kLaunchers) {
    const auto rank = number(lookup, launcher.rank_variable);
    const auto size = number(lookup, launcher.size_variable);
    if (!rank || (launcher.size_variable != nullptr && size.value_or(1) <= 1)) continue;
    if (is_inherited_from_rank(lookup, launcher)) continue;
    std::string text = "this process is task " + std::to_string(*rank);
    if (size) text += " of " + std::to_string(*size);
    text += std::string(" of a job that ") + launcher.name +
            " started in a way that Tern cannot talk to, so it would run as a job of one rank. " +
            launcher.remedy + " (or unset " + launcher.rank_variable +
            " if it is meant to run on its own)";
    return text;
  }
  return {};
}

}  // namespace tern::spawn
