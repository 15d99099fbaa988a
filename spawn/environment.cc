// spawn/environment.cc - see environment.h.
#include "spawn/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "core/format.h"
#include "core/wait.h"
#include "spawn/job_env.h"

namespace tern::spawn {
namespace {

// Set for each rank. Programs, GPU libraries and scripts look for these before MPI_Init, each for
// those of the MPI it grew up with. On one machine the local rank is the rank.
constexpr auto kRankVariables = std::to_array<const char*>({
    env::kPmiRank,
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_NODE_RANK",
    "MV2_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PMI_LOCAL_RANK",
    "LOCAL_RANK",
    env::kLocalRank,
});
constexpr auto kSizeVariables = std::to_array<const char*>({
    env::kPmiSize,
    "OMPI_COMM_WORLD_SIZE",
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "PMI_LOCAL_SIZE",
    env::kLocalSize,
});

// Left over from a launcher that started mpiexec itself (or the job that mpiexec was started in).
constexpr auto kOuterPrefixes =
    std::to_array<std::string_view>({"PMI_", "PMI2_", "PMIX_", "OMPI_COMM_WORLD_",
                                     "MV2_COMM_WORLD_", "MPI_LOCAL", "LOCAL_RANK=", env::kPrefix});

bool is_outer(std::string_view entry) {
  return std::ranges::any_of(kOuterPrefixes,
                             [entry](std::string_view p) { return entry.starts_with(p); });
}

// `pattern` may end in '*'.
bool matches(std::string_view name, std::string_view pattern) {
  if (!pattern.ends_with('*')) return name == pattern;
  return name.starts_with(pattern.substr(0, pattern.size() - 1));
}

bool listed(std::string_view name, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns, [name](const auto& p) { return matches(name, p); });
}

}  // namespace

RankEnvironment::RankEnvironment(char* const* inherited, const EnvironmentWish& wish,
                                 const JobFacts& facts, int appnum,
                                 std::vector<std::string>& missing) {
  const bool everything = !wish.inherit_none && wish.inherit_only.empty();
  for (char* const* entry = inherited; *entry != nullptr; ++entry) {
    const std::string_view name = env::name_of(*entry);
    if (is_outer(*entry)) continue;
    if (everything || listed(name, wish.inherit_only) || listed(name, wish.inherit_extra)) {
      common_.emplace_back(*entry);
    }
  }
  for (const std::string& pattern : wish.inherit_extra) {
    const bool found = std::ranges::any_of(
        common_, [&pattern](const auto& entry) { return matches(env::name_of(entry), pattern); });
    if (!found && std::ranges::find(missing, pattern) == missing.end()) missing.push_back(pattern);
  }
  for (const auto& [name, value] : wish.set) set(name, value);
  for (const char* name : kSizeVariables) set(name, tern::format("{}", facts.size));
  set("OMPI_UNIVERSE_SIZE", tern::format("{}", facts.universe_size));
  set(env::kUniverse, tern::format("{}", facts.universe_size));
  if (::isatty(STDERR_FILENO) == 1) set(env::kTerminal, "1");
  set(env::kCores, tern::format("{}", usable_cores()));
  set(env::kAppnum, tern::format("{}", appnum));
  set(env::kJobId, tern::format("{:016x}", facts.job_id));
  set(env::kKvsName, facts.kvs_name);
  if (!facts.initial_errhandler.empty()) set(env::kErrhandler, facts.initial_errhandler);
}

void RankEnvironment::set(const std::string& name, const std::string& value) {
  const auto same = [&name](const std::string& entry) { return env::name_of(entry) == name; };
  const auto found = std::ranges::find_if(common_, same);
  if (found != common_.end())
    *found = name + "=" + value;
  else
    common_.push_back(name + "=" + value);
}

const char* RankEnvironment::get(const std::string& name) const {
  const auto same = [&name](const std::string& entry) { return env::name_of(entry) == name; };
  const auto found = std::ranges::find_if(common_, same);
  return found == common_.end() ? nullptr : found->c_str() + name.size() + 1;
}

char* const* RankEnvironment::for_rank(int rank, int pmi_fd, std::uint64_t channel) {
  own_.clear();
  for (const char* name : kRankVariables) own_.push_back(tern::format("{}={}", name, rank));
  own_.push_back(tern::format("{}={}", env::kPmiFd, pmi_fd));
  own_.push_back(tern::format("{}={}", env::kChannel, channel));
  pointers_.clear();
  for (std::string& entry : common_) pointers_.push_back(entry.data());
  for (std::string& entry : own_) pointers_.push_back(entry.data());
  pointers_.push_back(nullptr);
  return pointers_.data();
}

}  // namespace tern::spawn
