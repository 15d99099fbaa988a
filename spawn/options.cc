// spawn/options.cc - puts the plan of a job together from its parts' options; see options.h.
#include "spawn/options.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "core/format.h"
#include "spawn/hosts.h"
#include "spawn/option_table.h"
#include "spawn/option_values.h"

namespace tern::spawn {
namespace {

// Applies `read` when the option was given, and stops at the first problem.
class Steps {
 public:
  template <class Read>
  Steps& when_given(const std::string& text, Read read) {
    if (!problem_.has() && !text.empty()) problem_ = read(text);
    return *this;
  }
  template <class Read>
  Steps& for_each(const Words& texts, Read read) {
    for (const std::string& text : texts) {
      if (!problem_.has()) problem_ = read(text);
    }
    return *this;
  }
  Problem problem() const { return problem_; }

 private:
  Problem problem_;
};

Problem check_architecture(const std::string& wanted) {
  utsname own{};
  ::uname(&own);
  if (wanted == static_cast<const char*>(own.machine)) return {};
  return Problem::usage(
      tern::format("-arch wants '{}', and this machine is '{}'", wanted, own.machine));
}

Problem check_errhandler(const std::string& name) {
  constexpr std::array<std::string_view, 3> kNames = {"mpi_errors_are_fatal", "mpi_errors_abort",
                                                      "mpi_errors_return"};
  if (std::ranges::find(kNames, name) != kNames.end()) return {};
  return Problem::usage(tern::format(
      "-initial-errhandler does not know '{}'; it takes mpi_errors_are_fatal, mpi_errors_abort or "
      "mpi_errors_return",
      name));
}

// The largest number of a -soft list "a,b:c,d:e:f" (MPI 5.0, reserved info key `soft`).
Problem read_soft(const std::string& text, int& count) {
  count = 0;
  for (const std::string& triplet : split_at(text, ',')) {
    const auto numbers = split_at(triplet, ':');
    int values[3] = {0, 0, 1};
    if (numbers.empty() || numbers.size() > 3)
      return Problem::usage("-soft needs a list such as 2,4:8:2");
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      Problem problem = read_count("-soft", numbers[i], i == 2 ? 1 : 0, values[i]);
      if (problem.has()) return problem;
    }
    const int last = numbers.size() == 1 ? values[0] : values[1];
    if (last < values[0]) continue;
    count = std::max(count, last - (last - values[0]) % values[2]);
  }
  return count > 0 ? Problem() : Problem::usage("-soft allows no number of ranks above 0");
}

// What this part of the command line says about its own program.
Problem read_app(const RawOptions& raw, AppPlan& app) {
  app.directory = raw.directory;
  app.path = raw.path;
  app.environment.inherit_none = raw.local_none;
  app.environment.inherit_only = split_at(raw.local_list, ',');
  for (const auto& [name, value] : raw.local_set) app.environment.set.emplace_back(name, value);
  int soft = 0;
  Steps steps;
  steps.when_given(raw.count, [&](auto& text) { return read_count("-n", text, 1, app.count); })
      .when_given(raw.soft, [&](auto& text) { return read_soft(text, soft); })
      .when_given(raw.arch, check_architecture);
  if (app.count == 0) app.count = soft;
  steps.when_given(raw.per_host,
                   [&](auto& text) { return read_count("-N", text, 1, app.per_host); });
  return steps.problem();
}

Problem read_placement(const RawOptions& raw, PlacementWish& wish) {
  const auto number = [](const char* option, int& value) {
    return [option, &value](const std::string& text) { return read_count(option, text, 1, value); };
  };
  int per_socket = 0;
  Steps steps;
  steps.when_given(raw.bind_to, [&](auto& text) { return read_bind_to(text, wish); })
      .when_given(raw.map_by, [&](auto& text) { return read_map_by(text, wish); })
      .when_given(raw.rank_by, [&](auto& text) { return read_rank_by(text, wish); })
      .when_given(raw.cores_per_rank, number("--cpus-per-rank", wish.cores_per_rank))
      .when_given(raw.per_socket, number("--npersocket", per_socket));
  if (per_socket > 0) {
    wish.map = Level::kSocket;
    wish.per_object = per_socket;
  }
  if (!raw.cpu_set.empty()) wish.cpu_list = raw.cpu_set;
  if (raw.no_oversubscribe) wish.refuse_oversubscription = true;
  if (raw.oversubscribe) wish.refuse_oversubscription = false;
  if (raw.hwthreads) wish.count_hwthreads = true;
  return steps.problem();
}

Problem read_streams(const RawOptions& raw, JobPlan& plan) {
  OutputWish& output = plan.output;
  if (raw.label_rank) output.label = OutputWish::Label::kRank;
  if (raw.label_job) output.label = OutputWish::Label::kJobRank;
  output.timestamp |= raw.timestamp;
  output.merge |= raw.merge;
  if (!raw.output_directory.empty()) read_output_directory(raw.output_directory, output);
  if (!raw.output_pattern.empty()) output.output_pattern = raw.output_pattern;
  if (!raw.error_pattern.empty()) output.error_pattern = raw.error_pattern;
  Steps steps;
  return steps.for_each(raw.output, [&](auto& text) { return read_output_kinds(text, output); })
      .when_given(raw.stdin_to, [&](auto& text) { return read_stdin(text, plan); })
      .problem();
}

// What holds for the whole job, in whichever part it was said. The environment is collected apart,
// because it must reach programs that were named before.
Problem read_job(const RawOptions& raw, JobPlan& plan, EnvironmentWish& environment) {
  plan.verbose |= raw.verbose;
  plan.quiet |= raw.quiet;
  plan.print_exit_codes |= raw.exit_codes;
  plan.report_bindings |= raw.report_bindings;
  if (!raw.connections_path.empty()) plan.connections_path = raw.connections_path;
  plan.display_map |= raw.display_map;
  plan.display_allocation |= raw.display_allocation;
  plan.without_effect.insert(plan.without_effect.end(), raw.without_effect.begin(),
                             raw.without_effect.end());
  environment.inherit_none |= raw.global_none;
  for (std::string& name : split_at(raw.global_list, ',')) {
    environment.inherit_only.push_back(std::move(name));
  }
  for (const auto& [name, value] : raw.global_set) environment.set.emplace_back(name, value);
  if (!raw.preconnect.empty()) {
    if (Problem problem = read_preconnect(raw.preconnect, environment); problem.has()) {
      return problem;
    }
  }
  if (!raw.errhandler.empty()) plan.initial_errhandler = raw.errhandler;
  plan.round_hosts |= says_round_hosts(raw.map_by) || says_round_hosts(raw.rank_by);
  Steps steps;
  steps.for_each(raw.exports, [&](auto& text) { return read_exports(text, environment); })
      .for_each(raw.hosts, [&](auto& text) { return read_host_list(text, plan.hosts); })
      .for_each(raw.host_files, [&](auto& text) { return read_host_file(text, plan.hosts); })
      .when_given(raw.errhandler, check_errhandler)
      .when_given(raw.launcher, [&](auto& text) { return read_launcher(text, plan); })
      .when_given(raw.timeout,
                  [&](auto& text) { return read_timeout("-timeout", text, plan.timeout); });
  // MPICH also has the words SYSTEM and INFINITE, which say no more than the default.
  if (raw.universe != "SYSTEM" && raw.universe != "INFINITE") {
    steps.when_given(raw.universe,
                     [&](auto& text) { return read_count("-usize", text, 1, plan.universe_size); });
  }
  if (Problem problem = steps.problem(); problem.has()) return problem;
  if (!raw.launcher_agent.empty()) plan.launcher_agent = raw.launcher_agent;
  if (Problem problem = read_placement(raw, plan.placement); problem.has()) return problem;
  return read_streams(raw, plan);
}

// One part of the command line. Parts may come from a file that a part names.
class Reader {
 public:
  Reader(JobPlan& plan, std::string& show) : plan_(plan), show_(show) {}

  Problem read(const Words& words, bool from_file) {
    Segment segment;
    RawOptions raw;
    if (Problem problem = normalise(words, option_names(), segment); problem.has()) return problem;
    if (Problem problem = parse_options(segment.options, raw, show_); problem.has()) return problem;
    if (raw.version) show_ = "mpiexec (Tern) " TERN_VERSION "\n";
    if (!show_.empty()) return {};
    if (Problem problem = read_job(raw, plan_, environment_); problem.has()) return problem;
    if (!raw.config_file.empty()) return read_file(raw, segment, from_file);
    if (segment.command.empty()) {
      return Problem::usage(words.empty()
                                ? "no program given; mpiexec -h shows how"
                                : "no program given behind the options; mpiexec -h shows how");
    }
    AppPlan app;
    app.command = std::move(segment.command);
    Problem problem = read_app(raw, app);
    plan_.apps.push_back(std::move(app));
    return problem;
  }

  // What is common to all programs goes before what each says itself.
  void finish() {
    plan_.common_environment = environment_;
    for (AppPlan& app : plan_.apps) {
      EnvironmentWish own = std::exchange(app.environment, environment_);
      app.environment.inherit_none |= own.inherit_none;
      if (!own.inherit_only.empty()) app.environment.inherit_only = own.inherit_only;
      for (auto& entry : own.set) app.environment.set.push_back(std::move(entry));
    }
  }

 private:
  Problem read_file(const RawOptions& raw, const Segment& segment, bool from_file) {
    if (from_file) return Problem::usage("-configfile cannot be used inside its own file");
    if (!segment.command.empty()) {
      return Problem::usage(
          tern::format("-configfile takes the programs from the file, so '{}' is "
                       "one program too many",
                       segment.command[0]));
    }
    std::vector<Words> parts;
    if (Problem problem = read_config_file(raw.config_file, parts); problem.has()) return problem;
    for (const Words& part : parts) {
      Problem problem = read(part, true);
      if (problem.has() || !show_.empty()) return problem;
    }
    return {};
  }

  JobPlan& plan_;
  std::string& show_;
  EnvironmentWish environment_;
};

}  // namespace

Problem read_command_line(const Words& words, const char* default_timeout, JobPlan& plan,
                          std::string& show) {
  if (default_timeout != nullptr && *default_timeout != '\0') {
    Problem problem = read_timeout("MPIEXEC_TIMEOUT", default_timeout, plan.timeout);
    if (problem.has()) return problem;
  }
  Reader reader(plan, show);
  for (const Words& part : split_segments(words)) {
    Problem problem = reader.read(part, false);
    if (problem.has() || !show.empty()) return problem;
  }
  reader.finish();
  return {};
}

}  // namespace tern::spawn
