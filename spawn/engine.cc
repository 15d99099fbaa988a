// spawn/engine.cc - see engine.h.
#include "spawn/engine.h"

#include "core/format.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

std::string text(const VariableLookup& lookup, const char* name) {
  const char* const value = lookup(name);
  return value == nullptr ? std::string() : value;
}

bool in_allocation(const VariableLookup& lookup) { return !text(lookup, "SLURM_JOB_ID").empty(); }

std::string other_hosts(const HostList& list) {
  std::string names;
  for (const HostSlots& host : list.hosts) {
    if (is_this_host(host.name)) continue;
    if (names.size() > 60) return names + ", ...";
    names += (names.empty() ? "" : ", ") + host.name;
  }
  return names;
}

// Who wants the ranks to be started by another launcher.
std::string reason(const JobPlan& plan) {
  const std::string others = other_hosts(plan.hosts);
  return others.empty() ? tern::format("--launcher {} is asked for", plan.launcher)
                        : tern::format("the ranks are to run on other hosts ({})", others);
}

// Whether the launcher's way to other hosts is there.
Problem check_agent(const JobPlan& plan, const std::string& path) {
  if (!plan.launcher_agent.empty()) {
    const std::string program = plan.launcher_agent.substr(0, plan.launcher_agent.find(' '));
    const bool there = program.find('/') == program.npos ? !search_path(path, program).empty()
                                                         : is_program(program);
    if (there) return {};
    return Problem::usage(tern::format(
        "--launcher-agent names '{}', which is no program that can be run here", program));
  }
  if (!search_path(path, "ssh").empty() || !search_path(path, "rsh").empty()) return {};
  return {tern::format("{}, and there is no ssh here to reach them with; install it (Debian: "
                       "openssh-client), or name another program with --launcher-agent",
                       reason(plan)),
          ExitCode::kNotFound};
}

}  // namespace

bool needs_engine(const JobPlan& plan, const VariableLookup& lookup) {
  if (plan.launcher == "fork") return !plan.hosts.only_this_host();
  if (!plan.launcher.empty() || !plan.hosts.only_this_host()) return true;
  // A step of srun's is a place that was chosen; inside one, mpiexec stays there. Not so the shell
  // of an interactive allocation, a step whose number is too large for an int, as all that Slurm
  // has for itself.
  const auto step = to_number(text(lookup, "SLURM_STEP_ID"));
  return plan.hosts.hosts.empty() && in_allocation(lookup) && (!step || *step < 0) &&
         to_number(text(lookup, "SLURM_JOB_NUM_NODES")).value_or(1) > 1;
}

Problem choose_engine(const JobPlan& plan, const VariableLookup& lookup, FoundEngine& chosen) {
  if (plan.launcher == "fork") {
    return Problem::usage(tern::format(
        "--launcher fork starts ranks on this host ({}) only, and the hosts named include {}",
        host_name(), other_hosts(plan.hosts)));
  }
  const std::string path = text(lookup, "PATH");
  const auto found = find_engines(path);
  for (const FoundEngine& engine : found) {
    const bool is_slurm = engine.engine == Engine::kSlurm;
    const bool fits = plan.launcher.empty() ? !is_slurm || in_allocation(lookup)
                                            : plan.launcher == engine_name(engine.engine);
    if (!fits) continue;
    chosen = engine;
    // In an allocation the others start their daemons through Slurm, too.
    if (is_slurm || in_allocation(lookup) || plan.hosts.only_this_host()) return {};
    return check_agent(plan, path);
  }
  for (const Engine engine : all_engines()) {
    if (engine_name(engine) != plan.launcher) continue;
    return {tern::format("--launcher {} needs the program {}, which is not in PATH; install it "
                         "(Debian: {})",
                         plan.launcher, engine_needs(engine).program, engine_needs(engine).package),
            ExitCode::kNotFound};
  }
  return {tern::format("{}, which takes a launcher that reaches them, and none is in PATH; install "
                       "Open MPI's (Debian: openmpi-bin), PRRTE or Hydra (Debian: mpich), or run "
                       "inside a Slurm allocation",
                       reason(plan)),
          ExitCode::kNotFound};
}

}  // namespace tern::spawn
