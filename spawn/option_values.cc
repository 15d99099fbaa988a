// spawn/option_values.cc - see option_values.h.
#include "spawn/option_values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "core/format.h"
#include "core/preconnect.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

constexpr const char* kObjects = "hwthread, core, l1cache, l2cache, l3cache, numa, socket";

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

Problem not_understood(std::string_view option, std::string_view text, std::string_view allowed) {
  return Problem::usage(
      tern::format("{} does not understand '{}'; it takes {}", option, text, allowed));
}

// One word behind the object of --map-by.
Problem read_map_modifier(std::string_view text, std::string_view word, PlacementWish& wish) {
  const std::string modifier = lower_case(word);
  if (modifier.starts_with("pe=")) {
    return read_count("--map-by ...:PE", modifier.substr(3), 1, wish.cores_per_rank);
  }
  if (modifier == "nooversubscribe")
    wish.refuse_oversubscription = true;
  else if (modifier == "oversubscribe")
    wish.refuse_oversubscription = false;
  else if (is_one_of(modifier, {"hwtcpus", "hwthread-cpus"}))
    wish.count_hwthreads = true;
  else if (!is_one_of(modifier, {"span", "corecpus", "inherit", "noinherit"})) {
    return not_understood("--map-by", text,
                          "the modifiers PE=N, OVERSUBSCRIBE, NOOVERSUBSCRIBE and HWTCPUS");
  }
  return {};
}

}  // namespace

Problem read_count(std::string_view option, std::string_view text, int least, int& value) {
  const auto number = to_number(text);
  if (!number || *number < least) {
    return Problem::usage(
        tern::format("{} needs a whole number of at least {}, not '{}'", option, least, text));
  }
  value = *number;
  return {};
}

std::vector<std::string> split_at(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    if (end != 0) parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

Problem read_bind_to(std::string_view text, PlacementWish& wish) {
  const auto parts = split_at(text, ':');
  const std::string object = parts.empty() ? "" : lower_case(parts[0]);
  wish.bind = read_level(object);
  wish.bind_none = is_one_of(object, {"none", "board", "machine", "node"});
  if (wish.bind_none) wish.bind.reset();
  if (!wish.bind && !wish.bind_none) {
    return not_understood("--bind-to", text, tern::format("none, {}", kObjects));
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string qualifier = lower_case(parts[i]);
    // MPICH: "core:2" is two cores per rank.
    if (wish.bind == Level::kCore && to_number(qualifier)) {
      Problem problem = read_count("--bind-to core", qualifier, 1, wish.cores_per_rank);
      if (problem.has()) return problem;
    } else if (!is_one_of(qualifier, {"overload-allowed", "if-supported", "ordered", "report"})) {
      return not_understood("--bind-to", text, "an object and the qualifier overload-allowed");
    }
  }
  return {};
}

Problem read_map_by(std::string_view text, PlacementWish& wish) {
  auto parts = split_at(text, ':');
  std::size_t next = 0;
  // ":OVERSUBSCRIBE" names no object; "ppr:2:socket" names one behind a number.
  if (!text.starts_with(':') && !parts.empty()) {
    std::string object = lower_case(parts[next++]);
    if (object == "ppr") {
      if (parts.size() < 3) return not_understood("--map-by", text, "ppr:N:OBJECT");
      Problem problem = read_count("--map-by ppr", parts[1], 1, wish.per_object);
      if (problem.has()) return problem;
      object = lower_case(parts[2]);
      next = 3;
    }
    wish.map = read_level(object);
    wish.map_by_slot = object == "slot";
    if (!wish.map && !wish.map_by_slot) {
      return not_understood("--map-by", text, tern::format("slot, {}, ppr:N:OBJECT", kObjects));
    }
    // There is one host, so going round the hosts says nothing.
    if (wish.map == Level::kMachine && wish.per_object == 0) wish.map.reset();
  }
  for (; next < parts.size(); ++next) {
    // Modifiers may also be separated by commas.
    for (const std::string& word : split_at(parts[next], ',')) {
      Problem problem = read_map_modifier(text, word, wish);
      if (problem.has()) return problem;
    }
  }
  return {};
}

Problem read_rank_by(std::string_view text, PlacementWish& wish) {
  const std::string object = lower_case(split_at(text, ':').empty() ? "" : split_at(text, ':')[0]);
  if (is_one_of(object, {"slot", "node", "fill", "span"})) return {};
  wish.rank_by = read_level(object);
  if (wish.rank_by) return {};
  return not_understood("--rank-by", text, tern::format("slot, node, fill, span, {}", kObjects));
}

bool says_round_hosts(std::string_view text) {
  return is_one_of(lower_case(text.substr(0, text.find(':'))), {"node", "machine", "span"});
}

Problem read_launcher(std::string_view text, JobPlan& plan) {
  const std::string name = lower_case(text);
  if (is_one_of(name, {"ssh", "rsh"})) {
    plan.launcher_agent = name;
  } else if (name == "slurm") {
    plan.launcher = "srun";
  } else if (is_one_of(name, {"srun", "prrte", "openmpi", "hydra", "fork"})) {
    plan.launcher = name;
  } else if (name != "auto") {
    return not_understood("--launcher", text,
                          "srun, prrte, openmpi, hydra, fork (only this host), ssh, rsh or auto");
  }
  return {};
}

Problem read_timeout(std::string_view option, std::string_view text,
                     std::chrono::milliseconds& timeout) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  // A year; the comparison is also false for what is not a number at all.
  if (error != std::errc() || end != text.data() + text.size() ||
      !(seconds >= 0.001 && seconds <= 366 * 86400.0)) {
    return not_understood(option, text, "a number of seconds such as 90 or 1.5");
  }
  timeout = std::chrono::milliseconds(static_cast<long long>(seconds * 1000));
  return {};
}

Problem read_stdin(std::string_view text, JobPlan& plan) {
  const std::string word = lower_case(text);
  plan.stdin_to = word == "all"    ? StdinTo::kAll
                  : word == "none" ? StdinTo::kNone
                                   : StdinTo::kOneRank;
  if (plan.stdin_to != StdinTo::kOneRank) return {};
  const auto rank = to_number(text);
  if (!rank || *rank < 0) return not_understood("--stdin", text, "a rank, all or none");
  plan.stdin_rank = *rank;
  return {};
}

Problem read_output_kinds(std::string_view text, OutputWish& output) {
  for (const std::string& kind : split_at(text, ',')) {
    const std::string word = lower_case(kind);
    if (word == "tag")
      output.label = OutputWish::Label::kJobRank;
    else if (word == "rank")
      output.label = OutputWish::Label::kRank;
    else if (word == "timestamp")
      output.timestamp = true;
    else if (is_one_of(word, {"merge", "merge-stderr-to-stdout"}))
      output.merge = true;
    else if (word.starts_with("dir=") && word.size() > 4)
      read_output_directory(std::string_view(kind).substr(4), output);
    else
      return not_understood("--output", kind, "tag, rank, timestamp, merge, dir=DIR");
  }
  return {};
}

void read_output_directory(std::string_view text, OutputWish& output) {
  // Qualifiers stand behind the last colon; a directory may have colons of its own.
  const std::size_t colon = text.rfind(':');
  const auto words =
      colon == text.npos ? std::vector<std::string>() : split_at(text.substr(colon + 1), ',');
  const bool are_qualifiers =
      !words.empty() && std::ranges::all_of(words, [](const std::string& word) {
        return is_one_of(word, {"nocopy", "nojobid", "copy"});
      });
  output.directory = are_qualifiers ? text.substr(0, colon) : text;
  if (!are_qualifiers) return;
  output.directory_only = std::ranges::find(words, "nocopy") != words.end();
  output.directory_has_job = std::ranges::find(words, "nojobid") == words.end();
}

Problem read_preconnect(std::string_view text, EnvironmentWish& wish) {
  preconnect::Plan plan;
  std::string why;
  if (!preconnect::parse_plan(text, plan, why)) return Problem::usage("--preconnect: " + why);
  std::string value(text);
  if (plan.kind == preconnect::Plan::Kind::kFile) {
    std::error_code ignored;
    const auto path = std::filesystem::absolute(plan.path, ignored);
    std::vector<preconnect::Pair> any;
    if (!preconnect::read_pairs_file(plan.path, INT32_MAX, any, why)) {
      return Problem::usage("--preconnect: " + why);
    }
    value = "file:" + path.string();
  }
  wish.set.emplace_back("TERN_PRECONNECT", std::move(value));
  return {};
}

Problem read_exports(std::string_view text, EnvironmentWish& wish) {
  // With a '=' it is one variable, whose value may hold commas.
  const std::size_t equals = text.find('=');
  if (equals == 0 || text.empty()) {
    return not_understood("-x", text, "NAME, NAME=VALUE, NAME,NAME or NAME*");
  }
  if (equals != std::string_view::npos) {
    wish.set.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    return {};
  }
  for (std::string& name : split_at(text, ',')) wish.inherit_extra.push_back(std::move(name));
  return {};
}

}  // namespace tern::spawn
