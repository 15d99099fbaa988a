// spawn/engine_command.cc - see engine_command.h.
#include "spawn/engine_command.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <iterator>
#include <set>
#include <utility>

#include "core/format.h"
#include "spawn/job_env.h"
#include "spawn/option_values.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
         std::ranges::all_of(name,
                             [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; });
}

// What belongs to the place where mpiexec runs, or to launchers, and must not follow the ranks.
bool stays_here(std::string_view name) {
  constexpr auto kNames = std::to_array<std::string_view>(
      {"HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_", "TERM", "DISPLAY", "XDG_RUNTIME_DIR"});
  constexpr auto kPrefixes = std::to_array<std::string_view>(
      {"SSH_", "SLURM_", "PMIX_", "PMI_", "OMPI_", "PRTE_", "HYDRA_", "HYDI_"});
  return std::ranges::find(kNames, name) != kNames.end() ||
         std::ranges::any_of(kPrefixes, [&](auto prefix) { return name.starts_with(prefix); });
}

// What the launcher of a job that mpiexec runs inside of has said to its ranks: another one would
// take it for its own.
bool is_launchers_word(std::string_view name) {
  constexpr auto kPrefixes = std::to_array<std::string_view>(
      {"PMI_", "PMI2_", "PMIX_", "OMPI_COMM_WORLD_", "OMPI_UNIVERSE_SIZE", "OMPI_MCA_orte_",
       "OMPI_MCA_ess", "OMPI_MCA_pmix", "OMPI_FIRST_RANKS", "OMPI_APP_CTX", "OMPI_NUM_APP_CTX",
       "OMPI_COMMAND", "OMPI_ARGV", "OMPI_FILE_LOCATION", "PRTE_MCA_ess", env::kPrefix});
  return std::ranges::any_of(kPrefixes, [&](auto prefix) { return name.starts_with(prefix); });
}

// Of a step's variables srun would make options of its own.
bool is_of_step(std::string_view name) {
  constexpr auto kOfJob =
      std::to_array<std::string_view>({"SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CONF",
                                       "SLURM_CLUSTER_NAME", "SLURM_JOB_CPUS_PER_NODE"});
  return name.starts_with("SLURM_") && std::ranges::find(kOfJob, name) == kOfJob.end();
}

std::string quoted(std::string_view word) {
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

void append(Words& words, std::initializer_list<std::string> more) {
  words.insert(words.end(), more);
}

class Translator {
 public:
  Translator(const FoundEngine& engine, const JobPlan& plan, const SlurmFacts& slurm)
      : engine_(engine), plan_(plan), slurm_(slurm), hosts_(plan.hosts) {
    // -N says how many fit on each host, whatever the lists say.
    const int per_host = per_host_of(plan);
    for (HostSlots& host : hosts_.hosts) {
      if (per_host > 0) host.slots = per_host;
    }
  }

  EngineCommand make(char* const* inherited, std::uint64_t seed) {
    command_.arguments = {engine_.program};
    make_environment(inherited, seed);
    switch (engine_.engine) {
      case Engine::kSlurm:
        slurm();
        break;
      case Engine::kPrrte:
        open_mpi("--prtemca", "plm_ssh_agent");
        break;
      case Engine::kOpenMpi:
        open_mpi("--mca", "plm_rsh_agent");
        break;
      case Engine::kHydra:
        hydra();
        break;
    }
    find_lost();
    return std::move(command_);
  }

 private:
  static int per_host_of(const JobPlan& plan) {
    if (plan.placement.map == Level::kMachine && plan.placement.per_object > 0) {
      return plan.placement.per_object;
    }
    return plan.apps.size() == 1 ? plan.apps[0].per_host : 0;
  }

  // 0: the launcher decides.
  int count_of(const AppPlan& app) const {
    if (app.count > 0) return app.count;
    return hosts_.slots();
  }

  int total() const {
    int all = 0;
    for (const AppPlan& app : plan_.apps) all += count_of(app);
    return all;
  }

  bool is_of_outer_job(std::string_view name) const {
    return is_launchers_word(name) ||
           (engine_.engine == Engine::kSlurm && slurm_.inside_step && is_of_step(name));
  }

  bool filters_environment() const {
    const EnvironmentWish& wish = plan_.common_environment;
    return wish.inherit_none || !wish.inherit_only.empty();
  }

  void set(const std::string& name, const std::string& value) {
    std::erase_if(command_.environment,
                  [&](const std::string& entry) { return env::name_of(entry) == name; });
    command_.environment.push_back(name + "=" + value);
    if (std::ranges::find(forwarded_, name) == forwarded_.end()) forwarded_.push_back(name);
  }

  // The launcher itself runs with everything; what ranks get is said by names.
  void make_environment(char* const* inherited, std::uint64_t seed) {
    const EnvironmentWish& wish = plan_.common_environment;
    const auto listed = [](std::string_view name, const std::vector<std::string>& patterns) {
      return std::ranges::any_of(patterns, [name](std::string_view pattern) {
        return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                      : name == pattern;
      });
    };
    for (char* const* entry = inherited; *entry != nullptr; ++entry) {
      const std::string_view name = env::name_of(*entry);
      if (is_of_outer_job(name)) continue;
      command_.environment.emplace_back(*entry);
      const bool wanted =
          filters_environment() ? listed(name, wish.inherit_only) : !stays_here(name);
      if (is_plain_name(name) && (wanted || listed(name, wish.inherit_extra))) {
        forwarded_.emplace_back(name);
      }
    }
    const auto& first = plan_.apps.size() == 1 ? plan_.apps[0].environment.set : wish.set;
    for (const auto& [name, value] : first) set(name, value);
    set(env::kSeed, tern::format("{:016x}", seed));
    if (!plan_.initial_errhandler.empty()) set(env::kErrhandler, plan_.initial_errhandler);
    const int universe =
        plan_.universe_size > 0 ? plan_.universe_size : std::max(total(), hosts_.slots());
    if (universe > 0) set(env::kUniverse, tern::format("{}", universe));
  }

  // A program with what is said about it alone, for launchers that have no words for that.
  Words program(const AppPlan& app, bool with_directory) const {
    Words words;
    const auto& sets = app.environment.set;
    const std::size_t common = plan_.common_environment.set.size();
    const bool own = plan_.apps.size() > 1 && sets.size() > common;
    const bool moves = with_directory && !app.directory.empty();
    if (own || moves) words.emplace_back("env");
    if (moves) words.push_back("--chdir=" + app.directory);
    for (std::size_t i = common; own && i < sets.size(); ++i) {
      words.push_back(sets[i].first + "=" + sets[i].second);
    }
    words.insert(words.end(), app.command.begin(), app.command.end());
    return words;
  }

  void slurm() {
    Words& words = command_.arguments;
    // PMI-2 needs nothing but Slurm itself; SLURM_MPI_TYPE=pmix chooses the other.
    const bool chosen = std::ranges::any_of(command_.environment, [](const std::string& entry) {
      return env::name_of(entry) == "SLURM_MPI_TYPE";
    });
    if (!chosen) words.emplace_back("--mpi=pmi2");
    append(words, {"--kill-on-bad-exit=1", "--input=" + input()});
    // Beside the processes that are there already, and at once or not at all.
    if (slurm_.inside_step) append(words, {"--overlap", "--immediate=20"});
    const int ranks = total();
    if (ranks > 0) words.push_back(tern::format("--ntasks={}", ranks));
    // A host that is named may have fewer processors in the allocation than ranks are wanted there.
    if (!hosts_.hosts.empty() || (slurm_.cpus > 0 && ranks > slurm_.cpus)) {
      words.emplace_back("--overcommit");
    }
    if (!hosts_.hosts.empty()) {
      const Words names = host_of_each_rank(ranks);
      const std::set<std::string> different(names.begin(), names.end());
      // Slurm does not count them, and would take all hosts of the allocation.
      append(words, {tern::format("--nodes={}", different.size()), "--distribution=arbitrary",
                     "--nodelist=" + joined(names)});
    } else {
      const int per_host = per_host_of(plan_);
      if (per_host > 0) words.push_back(tern::format("--ntasks-per-node={}", per_host));
      if (plan_.round_hosts) words.emplace_back("--distribution=cyclic");
    }
    slurm_binding();
    if (plan_.output.label != OutputWish::Label::kNone) words.emplace_back("--label");
    if (filters_environment()) {
      words.push_back("--export=" + joined(forwarded_));
    } else {
      words.emplace_back("--export=ALL");
    }
    slurm_programs();
  }

  void slurm_binding() {
    std::string what = plan_.report_bindings ? "verbose," : "";
    const PlacementWish& wish = plan_.placement;
    if (wish.bind_none) {
      what += "none";
    } else if (wish.bind) {
      what += *wish.bind == Level::kHwThread ? "threads"
              : *wish.bind == Level::kCore   ? "cores"
              : *wish.bind == Level::kNuma   ? "ldoms"
                                             : "sockets";
    }
    while (what.ends_with(',')) what.pop_back();
    if (!what.empty()) command_.arguments.push_back("--cpu-bind=" + what);
    if (wish.cores_per_rank > 0) {
      command_.arguments.push_back(tern::format("--cpus-per-task={}", wish.cores_per_rank));
    }
  }

  // srun runs one program; several are told apart by the rank.
  void slurm_programs() {
    Words& words = command_.arguments;
    if (plan_.apps.size() == 1) {
      const Words only = program(plan_.apps[0], false);
      if (!plan_.apps[0].directory.empty()) words.push_back("--chdir=" + plan_.apps[0].directory);
      words.insert(words.end(), only.begin(), only.end());
      return;
    }
    std::string script;
    int end = 0;
    for (std::size_t i = 0; i < plan_.apps.size(); ++i) {
      end += count_of(plan_.apps[i]);
      script += tern::format("{}[ \"$SLURM_PROCID\" -lt {} ]; then {}={}; export {}; exec",
                             i == 0 ? "if " : "elif ", end, env::kAppnum, i, env::kAppnum);
      for (const std::string& word : program(plan_.apps[i], true)) script += " " + quoted(word);
      script += "; ";
    }
    append(words, {"/bin/sh", "-c", script + "fi"});
  }

  // One name per rank: as many in a row as there are slots, then again from the first host.
  Words host_of_each_rank(int ranks) const {
    Words names;
    while (std::ssize(names) < ranks) {
      for (const HostSlots& host : hosts_.hosts) {
        const int here = plan_.round_hosts ? 1 : host.slots;
        for (int i = 0; i < here && std::ssize(names) < ranks; ++i) names.push_back(host.name);
      }
    }
    return names;
  }

  void open_mpi(const char* option, const char* agent) {
    Words& words = command_.arguments;
    if (::geteuid() == 0) words.emplace_back("--allow-run-as-root");
    if (!plan_.launcher_agent.empty()) append(words, {option, agent, plan_.launcher_agent});
    if (!hosts_.hosts.empty()) append(words, {"--host", host_slots()});
    const PlacementWish& wish = plan_.placement;
    if (!wish.refuse_oversubscription && hosts_.slots() > 0 && total() > hosts_.slots()) {
      words.emplace_back("--oversubscribe");
    }
    if (wish.map && wish.map != Level::kMachine) {
      std::string object(level_name(*wish.map));
      if (wish.per_object > 0) object = tern::format("ppr:{}:{}", wish.per_object, object);
      append(words, {"--map-by", object + processing_elements()});
    } else if (plan_.round_hosts) {
      append(words, {"--map-by", "node" + processing_elements()});
    } else if (wish.map_by_slot || wish.cores_per_rank > 0) {
      append(words, {"--map-by", "slot" + processing_elements()});
    }
    if (wish.bind_none) append(words, {"--bind-to", "none"});
    if (wish.bind) append(words, {"--bind-to", std::string(level_name(*wish.bind))});
    if (!wish.cpu_list.empty()) append(words, {"--cpu-set", wish.cpu_list});
    if (plan_.report_bindings) words.emplace_back("--report-bindings");
    if (plan_.output.label != OutputWish::Label::kNone) words.emplace_back("--tag-output");
    append(words, {"--stdin", input()});
    bool first = true;
    for (const AppPlan& app : plan_.apps) {
      if (!std::exchange(first, false)) words.emplace_back(":");
      // Each part has its own.
      for (const std::string& name : forwarded_) append(words, {"-x", name});
      add_part(app, "--wdir");
    }
  }

  std::string processing_elements() const {
    const int cores = plan_.placement.cores_per_rank;
    return cores > 0 ? tern::format(":PE={}", cores) : std::string();
  }

  void hydra() {
    Words& words = command_.arguments;
    if (!plan_.launcher_agent.empty()) {
      append(words, {"-launcher", "ssh", "-launcher-exec", plan_.launcher_agent});
    }
    if (!hosts_.hosts.empty()) {
      if (plan_.round_hosts) {
        for (HostSlots& host : hosts_.hosts) host.slots = 1;
      }
      append(words, {"-hosts", host_slots()});
    }
    const PlacementWish& wish = plan_.placement;
    if (wish.bind_none) append(words, {"-bind-to", "none"});
    if (wish.bind) append(words, {"-bind-to", std::string(level_name(*wish.bind))});
    if (wish.map && wish.map != Level::kMachine) {
      append(words, {"-map-by", std::string(level_name(*wish.map))});
    }
    if (plan_.report_bindings) command_.environment.emplace_back("HYDRA_TOPO_DEBUG=1");
    if (plan_.output.label != OutputWish::Label::kNone) words.emplace_back("-prepend-rank");
    if (filters_environment()) append(words, {"-genvlist", joined(forwarded_)});
    bool first = true;
    for (const AppPlan& app : plan_.apps) {
      if (!std::exchange(first, false)) words.emplace_back(":");
      add_part(app, "-wdir");
    }
  }

  void add_part(const AppPlan& app, const char* directory_option) {
    Words& words = command_.arguments;
    const int count = count_of(app);
    if (count > 0) append(words, {"-n", tern::format("{}", count)});
    if (!app.directory.empty()) append(words, {directory_option, app.directory});
    const Words own = program(app, false);
    words.insert(words.end(), own.begin(), own.end());
  }

  std::string host_slots() const {
    std::string text;
    for (const HostSlots& host : hosts_.hosts) {
      text += tern::format("{}{}:{}", text.empty() ? "" : ",", host.name, host.slots);
    }
    return text;
  }

  std::string input() const {
    if (plan_.stdin_to == StdinTo::kAll && engine_.engine != Engine::kOpenMpi) return "all";
    if (plan_.stdin_to == StdinTo::kNone) return "none";
    return tern::format("{}", plan_.stdin_rank);
  }

  static std::string joined(const Words& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
    return text;
  }

  void find_lost() {
    const OutputWish& output = plan_.output;
    const PlacementWish& wish = plan_.placement;
    const std::pair<bool, const char*> options[] = {
        {output.timestamp, "--timestamp-output"},
        {output.merge, "--merge-stderr-to-stdout"},
        {!output.directory.empty(), "--output-filename"},
        {!output.output_pattern.empty() || !output.error_pattern.empty(), "--outfile-pattern"},
        {plan_.print_exit_codes, "--print-all-exitcodes"},
        {wish.rank_by.has_value(), "--rank-by"},
        // Open MPI 4 takes `all`, but its ranks on other hosts get nothing and wait for ever.
        {(engine_.engine == Engine::kHydra &&
          (plan_.stdin_to == StdinTo::kAll || plan_.stdin_rank != 0)) ||
             (engine_.engine == Engine::kOpenMpi && plan_.stdin_to == StdinTo::kAll),
         "--stdin"},
        {!wish.cpu_list.empty() && engine_.engine != Engine::kOpenMpi &&
             engine_.engine != Engine::kPrrte,
         "--cpu-set"},
        {wish.cores_per_rank > 0 && engine_.engine == Engine::kHydra, "--cpus-per-rank"},
        {!plan_.launcher_agent.empty() && engine_.engine == Engine::kSlurm, "--launcher-agent"},
    };
    for (const auto& [given, name] : options) {
      if (given) command_.lost.emplace_back(name);
    }
  }

  const FoundEngine& engine_;
  const JobPlan& plan_;
  const SlurmFacts& slurm_;
  HostList hosts_;
  EngineCommand command_;
  Words forwarded_;  // Names of variables.
};

}  // namespace

EngineCommand make_engine_command(const FoundEngine& engine, const JobPlan& plan,
                                  char* const* inherited, std::uint64_t seed,
                                  const SlurmFacts& slurm) {
  return Translator(engine, plan, slurm).make(inherited, seed);
}

int count_slurm_cpus(std::string_view text) {
  int all = 0;
  for (const std::string& part : split_at(text, ',')) {
    const std::size_t open = part.find("(x");
    const auto each = to_number(part.substr(0, open));
    const auto times = open == part.npos ? std::optional<int>(1)
                                         : to_number(part.substr(open + 2, part.size() - open - 3));
    if (!each || !times || *each < 0 || *times < 0 || *each > 1'000'000 || *times > 1'000'000)
      return 0;
    const long long sum = all + static_cast<long long>(*each) * *times;
    if (sum > INT32_MAX) return 0;
    all = static_cast<int>(sum);
  }
  return all;
}

}  // namespace tern::spawn
