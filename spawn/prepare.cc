// spawn/prepare.cc - see prepare.h.
#include "spawn/prepare.h"

#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/format.h"
#include "spawn/hosts.h"
#include "spawn/machine.h"
#include "spawn/program.h"
#include "spawn/report.h"

namespace tern::spawn {
namespace {

// Of mpiexec, per rank: its PMI socket and the pipes of its three streams, both ends while
// starting.
constexpr rlim_t kDescriptorsPerRank = 4;
constexpr rlim_t kDescriptorsBesides = 64;
constexpr const char* kDefaultPath = "/usr/local/bin:/usr/bin:/bin";

Problem check_limits(long long ranks) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return {};
  const rlim_t needed = static_cast<rlim_t>(ranks) * kDescriptorsPerRank + kDescriptorsBesides;
  if (needed <= limit.rlim_max) return {};
  return {
      tern::format("{} ranks need up to {} open files in mpiexec, and the limit is {}; raise it "
                   "(ulimit -Hn) or start fewer ranks",
                   ranks, needed, limit.rlim_max),
      ExitCode::kFailure};
}

// How many ranks each program gets, and the machine where that or the placement depends on it.
Problem count_ranks(const JobPlan& plan, Machine& machine, std::vector<int>& counts) {
  long long total = 0;
  for (const AppPlan& app : plan.apps) {
    int count = app.count > 0 ? app.count : app.per_host > 0 ? app.per_host : plan.hosts.slots();
    if (count == 0) {
      if (machine.cpus.empty()) {
        if (Problem problem = read_machine(allowed_cpus(), machine); problem.has()) return problem;
      }
      count =
          count_units(machine, plan.placement.count_hwthreads ? Level::kHwThread : Level::kCore);
      if (plan.placement.per_object > 0 && plan.placement.map) {
        count = plan.placement.per_object * count_units(machine, *plan.placement.map);
      }
    }
    counts.push_back(count);
    total += count;
  }
  if (Problem problem = check_limits(total); problem.has()) return problem;
  // --stdin names a rank, so it must be one.
  if (plan.stdin_to == StdinTo::kOneRank && plan.stdin_rank >= total) {
    return Problem::usage(tern::format("--stdin names rank {}, and the job has ranks 0 to {}",
                                       plan.stdin_rank, total - 1));
  }
  return {};
}

// What other jobs of this mpiexec use.
void mark_use(const SlotUse& use, Machine& machine) {
  machine.ranks = use.ranks;
  for (Cpu& cpu : machine.cpus) cpu.ranks = use.on(cpu.os_index);
}

Problem place_ranks(const JobPlan& plan, const SlotUse& use, Machine& machine, PreparedJob& job) {
  const int size = job.facts.size;
  job.cpus.assign(static_cast<std::size_t>(size), {});
  const bool by_default = plan.placement.is_default();
  job.must_bind = !by_default;
  if (plan.placement.bind_none && plan.placement.cpu_list.empty() &&
      !plan.placement.refuse_oversubscription) {
    return {};
  }
  const CpuSet allowed = allowed_cpus();
  // The default policy binds only several ranks that all find a core; hwloc need not be asked else.
  if (by_default && (size < 2 || static_cast<std::size_t>(size) > allowed.size())) return {};
  if (machine.cpus.empty()) {
    Problem problem = read_machine(allowed, machine);
    if (problem.has()) return by_default ? Problem() : problem;
  }
  mark_use(use, machine);
  return place(machine, size, plan.placement, job.cpus);
}

Problem place_beside_others(const JobPlan& plan, SlotAccount& account, Machine& machine,
                            PreparedJob& job) {
  account.lock();
  Problem problem = place_ranks(plan, account.read(), machine, job);
  if (!problem.has()) account.enter(job.cpus);
  account.unlock();
  return problem;
}

Problem prepare_program(const AppPlan& app, const EnvironmentWish& wish, char* const* environment,
                        const JobFacts& facts, int appnum, std::vector<std::string>& missing,
                        Program& program) {
  program.name = app.command[0];
  program.arguments = app.command;
  program.directory = app.directory;
  if (!app.directory.empty()) {
    if (Problem problem = check_directory(app.directory); problem.has()) return problem;
  }
  program.environment =
      std::make_unique<RankEnvironment>(environment, wish, facts, appnum, missing);
  const char* path = program.environment->get("PATH");
  if (path == nullptr) path = std::getenv("PATH");
  std::string search = path == nullptr ? kDefaultPath : path;
  if (!app.path.empty()) search = app.path + ":" + search;
  return find_program(app.command[0], search, app.directory, program.file);
}

std::string join(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string describe_cpus(const CpuSet& cpus) {
  if (cpus.empty()) return "not bound";
  return tern::format("CPU{} {}", cpus.size() == 1 ? "" : "s", format_cpu_list(cpus));
}

}  // namespace

std::uint64_t random_id() {
  std::uint64_t id = 0;
  if (::getrandom(&id, sizeof id, 0) == sizeof id) return id;
  // A sandbox without the call: still different between two jobs of one machine.
  return (static_cast<std::uint64_t>(::getpid()) << 40) ^
         static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
}

Problem prepare(const JobPlan& plan, char* const* environment, SlotAccount* account,
                PreparedJob& job) {
  Machine machine;
  std::vector<int> counts;
  if (Problem problem = count_ranks(plan, machine, counts); problem.has()) return problem;
  for (std::size_t app = 0; app < counts.size(); ++app) {
    job.program_of.insert(job.program_of.end(), static_cast<std::size_t>(counts[app]),
                          static_cast<int>(app));
  }
  JobFacts& facts = job.facts;
  facts.size = static_cast<int>(job.program_of.size());
  facts.job_id = random_id();
  facts.kvs_name = tern::format("kvs_tern_{}_{:016x}", ::getpid(), facts.job_id);
  facts.initial_errhandler = plan.initial_errhandler;
  const int slots =
      plan.hosts.slots() > 0 ? plan.hosts.slots() : static_cast<int>(allowed_cpus().size());
  facts.universe_size = plan.universe_size > 0 ? plan.universe_size : std::max(facts.size, slots);

  std::vector<std::string> missing;
  for (std::size_t i = 0; i < plan.apps.size(); ++i) {
    const AppPlan& app = plan.apps[i];
    EnvironmentWish wish = app.environment;
    if (!app.directory.empty()) {
      std::error_code ignored;
      const auto absolute = std::filesystem::absolute(app.directory, ignored);
      // First, so that the user's own setting wins.
      wish.set.insert(wish.set.begin(), {"PWD", absolute.lexically_normal().string()});
    }
    Problem problem = prepare_program(app, wish, environment, facts, static_cast<int>(i), missing,
                                      job.programs.emplace_back());
    if (problem.has()) return problem;
  }
  if (!missing.empty()) {
    remark(tern::format("-x names variables that are not set here: {}", join(missing)));
  }
  return account != nullptr ? place_beside_others(plan, *account, machine, job)
                            : place_ranks(plan, {}, machine, job);
}

std::string describe_allocation(const JobPlan& plan, const PreparedJob& job) {
  const auto slots =
      plan.hosts.slots() > 0 ? static_cast<std::size_t>(plan.hosts.slots()) : allowed_cpus().size();
  return tern::format("Allocation: host {}, {} slots, {} ranks{}\n", host_name(), slots,
                      job.facts.size,
                      static_cast<std::size_t>(job.facts.size) > slots ? " (oversubscribed)" : "");
}

std::string describe_map(const PreparedJob& job) {
  std::string text = tern::format("Map: {} ranks on host {}\n", job.facts.size, host_name());
  for (std::size_t rank = 0; rank < job.program_of.size(); ++rank) {
    const auto app = static_cast<std::size_t>(job.program_of[rank]);
    text += tern::format("  rank {}: {}, {}\n", rank, describe_cpus(job.cpus[rank]),
                         join(job.programs[app].arguments));
  }
  return text;
}

std::string describe_bindings(const PreparedJob& job) {
  std::string text;
  for (std::size_t rank = 0; rank < job.cpus.size(); ++rank) {
    text += tern::format("mpiexec: rank {} on host {}: {}{}\n", rank, host_name(),
                         job.cpus[rank].empty() ? "" : "bound to ", describe_cpus(job.cpus[rank]));
  }
  return text;
}

}  // namespace tern::spawn
