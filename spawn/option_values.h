// spawn/option_values.h - what the words of single options mean.
//
// Pure functions: text in, a part of the plan out. Failure: a Problem that names the option, the
// value and what is allowed.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/options.h"

namespace tern::spawn {

// A whole number of at least `least`.
Problem read_count(std::string_view option, std::string_view text, int least, int& value);

// --bind-to OBJECT[:QUALIFIER]..., --map-by, --rank-by.
Problem read_bind_to(std::string_view text, PlacementWish& wish);
Problem read_map_by(std::string_view text, PlacementWish& wish);
Problem read_rank_by(std::string_view text, PlacementWish& wish);
// Whether --map-by or --rank-by goes round the hosts.
bool says_round_hosts(std::string_view text);

// --launcher: one of Tern's names for launchers, or Hydra's word for what reaches other hosts.
Problem read_launcher(std::string_view text, JobPlan& plan);

// -timeout: seconds, also with a fraction.
Problem read_timeout(std::string_view option, std::string_view text,
                     std::chrono::milliseconds& timeout);

// --stdin RANK|all|none.
Problem read_stdin(std::string_view text, JobPlan& plan);

// --output KIND,...
Problem read_output_kinds(std::string_view text, OutputWish& output);
// --output-filename DIR[:nocopy][,nojobid].
void read_output_directory(std::string_view text, OutputWish& output);

// --preconnect PLAN: becomes TERN_PRECONNECT, with an absolute path, for ranks may run elsewhere.
Problem read_preconnect(std::string_view text, EnvironmentWish& wish);

// -x NAME[=VALUE],...
Problem read_exports(std::string_view text, EnvironmentWish& wish);

// "a,b,c", without empty ones.
std::vector<std::string> split_at(std::string_view text, char separator);

}  // namespace tern::spawn
