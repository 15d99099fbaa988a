// spawn/spawn_plan.cc - see spawn_plan.h.
#include "spawn/spawn_plan.h"

#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "core/format.h"
#include "spawn/hosts.h"
#include "spawn/job_env.h"
#include "spawn/option_values.h"
#include "spawn/pmi1_line.h"
#include "spawn/spawn_keys.h"

namespace tern::spawn {
namespace {

using Id = SpawnKey::Id;

constexpr int kFileDepthMax = 4;

std::string absolute(const std::string& path, const std::string& directory) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

std::string_view value_in(char* const* environment, std::string_view name) {
  for (char* const* entry = environment; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.size() > name.size() && text.starts_with(name) && text[name.size()] == '=') {
      return text.substr(name.size() + 1);
    }
  }
  return {};
}

std::string before(const std::string& first, std::string_view rest) {
  return rest.empty() ? first : first + ":" + std::string(rest);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// The slots that so many processes take: those that the hosts have, in order, then one more on each
// in turns.
void fit(HostList& list, int count) {
  int left = count;
  std::vector<int> taken;
  for (const HostSlots& host : list.hosts) {
    taken.push_back(std::min(host.slots, left));
    left -= taken.back();
  }
  for (std::size_t i = 0; left > 0; i = (i + 1) % taken.size(), --left) ++taken[i];
  for (std::size_t i = 0; i < taken.size(); ++i) list.hosts[i].slots = taken[i];
  std::erase_if(list.hosts, [](const HostSlots& host) { return host.slots == 0; });
}

// Launchers fill hosts in order with the processes of one command after the other. So the list has
// for each command exactly what it takes, on this host where it names none.
Problem join_hosts(std::vector<HostList> lists, const std::vector<AppPlan>& apps, HostList& all) {
  const auto names_none = [](const HostList& list) { return list.hosts.empty(); };
  if (std::ranges::all_of(lists, names_none)) return {};
  if (lists.size() == 1) {
    all = std::move(lists[0]);
    return {};
  }
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (names_none(lists[i])) lists[i].hosts.push_back({host_name(), apps[i].count});
    fit(lists[i], apps[i].count);
    for (HostSlots& host : lists[i].hosts) {
      if (!all.hosts.empty() && all.hosts.back().name == host.name) {
        all.hosts.back().slots += host.slots;
        continue;
      }
      if (std::ranges::find(all.hosts, host.name, &HostSlots::name) != all.hosts.end()) {
        return {
            tern::format("host {} is named by several commands with others in between; bring "
                         "those that are to run there together",
                         host.name)};
      }
      all.hosts.push_back(std::move(host));
    }
  }
  return {};
}

// Applies the keys of one command.
class KeyReader {
 public:
  KeyReader(const SpawnRequest& request, char* const* environment, SpawnPlan& plan)
      : request_(request), environment_(environment), plan_(plan) {}

  Problem read(const SpawnCommand& command) {
    app_ = {};
    extra_ = {};
    soft_.clear();
    per_host_ = 0;
    hosts_ = {};
    app_.directory = request_.directory;
    for (const auto& [key, value] : command.info) {
      if (Problem problem = apply(key, value, 0); problem.has()) return problem;
    }
    app_.count = command.count;
    if (!soft_.empty()) {
      Problem problem = read_soft_counts(soft_, command.count, app_.count);
      if (problem.has()) return problem;
    }
    if (Problem problem = limit_per_host(); problem.has()) return problem;
    find_command(command);
    plan_.job.apps.push_back(std::move(app_));
    plan_.extras.push_back(std::move(extra_));
    host_lists_.push_back(std::move(hosts_));
    return {};
  }

 private:
  // npernode and pernode: on each of the hosts named, or on this one.
  Problem limit_per_host() {
    if (per_host_ == 0) return {};
    std::vector<HostSlots>& hosts = hosts_.hosts;
    for (HostSlots& host : hosts) host.slots = per_host_;
    const long long most = per_host_ * std::max(1LL, static_cast<long long>(hosts.size()));
    if (app_.count <= most) return {};
    if (!soft_.empty()) return read_soft_counts(soft_, static_cast<int>(most), app_.count);
    return {tern::format(
        "{} processes are asked for, and info keys npernode and pernode allow {} on each of {}",
        app_.count, per_host_,
        hosts.size() > 1 ? tern::format("{} hosts", hosts.size()) : std::string("one host"))};
  }

  // First in the directory of the process that spawns, then `path`, then PATH.
  void find_command(const SpawnCommand& command) {
    const std::string here = absolute(command.program, request_.directory);
    struct stat info {};
    const bool is_here = ::stat(here.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
    app_.command = {is_here ? here : command.program};
    app_.command.insert(app_.command.end(), command.arguments.begin(), command.arguments.end());
  }

  Problem apply(const std::string& key, const std::string& value, int depth) {
    const SpawnKey* const known = find_spawn_key(key);
    if (known == nullptr) {
      if (std::ranges::find(plan_.unknown_keys, key) == plan_.unknown_keys.end()) {
        plan_.unknown_keys.push_back(key);
      }
      return {};
    }
    if (known->id == Id::kFile) return read_file(absolute(value, request_.directory), depth);
    Problem problem = apply_known(known->id, value);
    if (problem.has()) problem.text = tern::format("info key `{}`: {}", key, problem.text);
    return problem;
  }

  Problem apply_known(Id id, const std::string& value) {
    JobPlan& job = plan_.job;
    switch (id) {
      case Id::kHost:
      case Id::kAddHost:
        return read_host_list(value, hosts_);
      case Id::kHostFile:
      case Id::kAddHostFile:
        return read_host_file(absolute(value, request_.directory), hosts_);
      case Id::kMapBy:
        return read_map_by(value, job.placement);
      case Id::kRankBy:
        return read_rank_by(value, job.placement);
      case Id::kBindTo:
        bound_ = true;
        return read_bind_to(value, job.placement);
      case Id::kPerObject:
        return read_map_by("ppr:" + value, job.placement);
      case Id::kMapper:
        if (value == "round_robin") job.placement.map_by_slot = true;
        return {};
      case Id::kErrhandler:
        return read_errhandler(value);
      case Id::kStdinTarget:
        return read_stdin(value, job);
      case Id::kNonMpi:  // The library's.
      case Id::kFile:
        return {};
      default:
        return apply_to_app(id, value);
    }
  }

  Problem apply_to_app(Id id, const std::string& value) {
    auto& set = app_.environment.set;
    switch (id) {
      case Id::kWorkingDirectory:
        app_.directory = absolute(value, request_.directory);
        return {};
      case Id::kPath:
        app_.path = value;
        return {};
      case Id::kArchitecture:
        return read_architecture(value);
      case Id::kSoft:
        soft_ = value;
        return {};
      case Id::kEnvironment:
        return read_environment(value);
      case Id::kPerNode:
        return read_count("npernode", value, 1, per_host_);
      case Id::kOnePerNode:
        if (is_true(value)) per_host_ = 1;
        return {};
      case Id::kPrefix:
        set.emplace_back("PATH", before(value + "/bin", value_in(environment_, "PATH")));
        set.emplace_back("LD_LIBRARY_PATH",
                         before(value + "/lib", value_in(environment_, "LD_LIBRARY_PATH")));
        return {};
      case Id::kPreloadBinary:
        extra_.preload_binary = is_true(value);
        return {};
      case Id::kPreloadFiles:
        for (const std::string& file : split_at(value, ',')) {
          extra_.preload_files.push_back(absolute(file, request_.directory));
        }
        return {};
      case Id::kParam:
        if (!value.starts_with("TERN_") || value.find('=') == std::string::npos) {
          return {tern::format("`{}` should be TERN_NAME=VALUE", value)};
        }
        set.emplace_back(value.substr(0, value.find('=')), value.substr(value.find('=') + 1));
        return {};
      default:
        return {};
    }
  }

  Problem read_file(const std::string& path, int depth) {
    std::ifstream file(path);
    if (!file || depth >= kFileDepthMax) {
      return {tern::format("info key `file`: {} cannot be read", path)};
    }
    std::string line;
    while (std::getline(file, line)) {
      const std::string_view text = trimmed(line);
      if (text.empty() || text.front() == '#') continue;
      const std::size_t equals = text.find('=');
      if (equals == std::string_view::npos) {
        return {tern::format("info key `file`: the line `{}` of {} should be `key = value`", line,
                             path)};
      }
      Problem problem = apply(std::string(trimmed(text.substr(0, equals))),
                              std::string(trimmed(text.substr(equals + 1))), depth + 1);
      if (problem.has()) return problem;
    }
    return {};
  }

  Problem read_environment(const std::string& lines) {
    for (const std::string& line : split_at(lines, '\n')) {
      const std::size_t equals = line.find('=');
      if (equals == 0 || equals == std::string::npos) {
        return {tern::format("the line `{}` should be NAME=VALUE", line)};
      }
      app_.environment.set.emplace_back(line.substr(0, equals), line.substr(equals + 1));
    }
    return {};
  }

  static Problem read_architecture(const std::string& wanted) {
    utsname own{};
    ::uname(&own);
    if (wanted == static_cast<const char*>(own.machine)) return {};
    return {tern::format("`{}` is wanted, and this host is `{}`", wanted, own.machine)};
  }

  Problem read_errhandler(const std::string& name) {
    constexpr std::array<std::string_view, 3> kNames = {"mpi_errors_are_fatal", "mpi_errors_abort",
                                                        "mpi_errors_return"};
    plan_.job.initial_errhandler = name;
    if (std::ranges::find(kNames, name) != kNames.end()) return {};
    return {
        tern::format("`{}` should be mpi_errors_are_fatal, mpi_errors_abort or "
                     "mpi_errors_return",
                     name)};
  }

 public:
  // Processes that come later share the cores with those that are there: not bound by themselves.
  Problem finish() {
    const PlacementWish& wish = plan_.job.placement;
    if (!bound_ && wish.is_default()) plan_.job.placement.bind_none = true;
    return join_hosts(std::move(host_lists_), plan_.job.apps, plan_.job.hosts);
  }

 private:
  const SpawnRequest& request_;
  char* const* environment_;
  SpawnPlan& plan_;
  AppPlan app_;
  SpawnPlan::Extra extra_;
  HostList hosts_;
  std::vector<HostList> host_lists_;  // Of each command.
  std::string soft_;
  int per_host_ = 0;
  bool bound_ = false;
};

}  // namespace

Problem read_soft_counts(std::string_view text, int most, int& count) {
  count = 0;
  for (const std::string& triplet : split_at(text, ',')) {
    const auto words = split_at(triplet, ':');
    std::array<int, 3> numbers{0, 0, 1};
    bool sound = !words.empty() && words.size() <= 3;
    for (std::size_t i = 0; sound && i < words.size(); ++i) {
      const auto number = to_number(words[i]);
      sound = number.has_value();
      numbers[i] = number.value_or(0);
    }
    if (words.size() == 1) numbers[1] = numbers[0];
    const auto [first, last, step] = numbers;
    if (!sound || step == 0) {
      return {tern::format("info key `soft`: `{}` should be a list such as 1,2:8:2", text)};
    }
    // The list may be long and go either way; only what lies in 1..most counts.
    for (long long n = first; step > 0 ? n <= last : n >= last; n += step) {
      if (n <= most) count = std::max(count, static_cast<int>(n));
      if (step > 0 && n > most) break;
    }
  }
  if (count > 0) return {};
  return {
      tern::format("info key `soft`: `{}` allows no number of processes from 1 to {}", text, most)};
}

Problem plan_spawn(const SpawnRequest& request, char* const* environment, SpawnPlan& plan) {
  plan.job.stdin_to = StdinTo::kNone;
  plan.job.universe_size = request.universe_size;
  KeyReader reader(request, environment, plan);
  for (const SpawnCommand& command : request.commands) {
    if (Problem problem = reader.read(command); problem.has()) return problem;
  }
  if (Problem problem = reader.finish(); problem.has()) return problem;
  for (AppPlan& app : plan.job.apps) {
    // By this, programs of other MPIs know that they have a parent.
    if (!request.values.empty()) app.environment.set.emplace_back("PMI_SPAWNED", "1");
    if (!request.port.empty()) app.environment.set.emplace_back(env::kParentPort, request.port);
  }
  return {};
}

}  // namespace tern::spawn
