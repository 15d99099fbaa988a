// bench/perf/environment.cc - implementation of environment.h, from Linux's affinity masks and
// sysfs.
#include "environment.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <fstream>
#include <map>

namespace tern::perf {
namespace {

constexpr int kHostBytes = 256;
constexpr int kRanksListed = 16;

// One rank's place; plain bytes, because it travels as such between like machines.
struct Place {
  char host[kHostBytes];
  cpu_set_t allowed;
  int core;        // Only meaningful while `allowed` has one member.
  int core_group;  // Smallest hyper-thread of that core, or -1 if unknown.
  double quota;    // Cores' worth of time that the container may use, or 0 for no limit.
};

// Smallest member of the CPU's hyper-thread list ("0-1" or "0,4").
int sibling_group(int cpu) {
  std::ifstream file(
      fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
  int first = -1;
  return file >> first ? first : -1;
}

// cgroup v2's "QUOTA PERIOD", "max" for none.
double cpu_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  return file >> quota >> period && period > 0 ? quota / period : 0;
}

Place here() {
  Place place{};
  gethostname(place.host, sizeof place.host - 1);
  CPU_ZERO(&place.allowed);
  sched_getaffinity(0, sizeof place.allowed, &place.allowed);
  place.core = sched_getcpu();
  place.core_group = sibling_group(place.core);
  place.quota = cpu_quota();
  return place;
}

bool is_bound(const Place& place) { return CPU_COUNT(&place.allowed) == 1; }

// "0-3,8" for a mask.
std::string describe(const cpu_set_t& mask) {
  std::string text;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    int last = cpu;
    while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &mask)) ++last;
    text += text.empty() ? "" : ",";
    text += last == cpu ? fmt::format("{}", cpu) : fmt::format("{}-{}", cpu, last);
    cpu = last;
  }
  return text;
}

using RankList = std::vector<int>;

std::string describe_ranks(const RankList& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  return text;
}

std::string describe_placement(const std::vector<Place>& places, const RankList& ranks) {
  const cpu_set_t& first = places[static_cast<std::size_t>(ranks[0])].allowed;
  const bool alike = std::all_of(ranks.begin(), ranks.end(), [&](int rank) {
    return CPU_EQUAL(&places[static_cast<std::size_t>(rank)].allowed, &first);
  });
  if (alike && CPU_COUNT(&first) > 1) {
    return fmt::format("ranks not bound, all may use cores {}", describe(first));
  }
  std::string text;
  int listed = 0;
  for (const int rank : ranks) {
    const cpu_set_t& mask = places[static_cast<std::size_t>(rank)].allowed;
    if (++listed > kRanksListed) return text + ", ...";
    text += text.empty() ? "" : ", ";
    text +=
        fmt::format("rank {} on core{} {}", rank, CPU_COUNT(&mask) == 1 ? "" : "s", describe(mask));
  }
  return text;
}

HostPlacement summarize(const std::vector<Place>& places, const RankList& ranks) {
  HostPlacement host;
  cpu_set_t all;
  CPU_ZERO(&all);
  double quota = 0;
  for (const int rank : ranks) {
    const Place& place = places[static_cast<std::size_t>(rank)];
    CPU_OR(&all, &all, &place.allowed);
    quota = std::max(quota, place.quota);
  }
  host.host = places[static_cast<std::size_t>(ranks[0])].host;
  host.ranks = static_cast<int>(ranks.size());
  host.cores = CPU_COUNT(&all);
  if (quota > 0) host.cores = std::min(host.cores, std::max(1, static_cast<int>(quota)));
  host.oversubscribed = host.ranks > host.cores;
  host.placement = describe_placement(places, ranks);
  return host;
}

// Ranks bound to one core, or to hyper-threads of one core, take turns or share its pipelines.
void warn_of_shared_cores(const std::vector<Place>& places, const RankList& ranks,
                          std::vector<std::string>& warnings) {
  std::map<int, RankList> by_core;
  for (const int rank : ranks) {
    const Place& place = places[static_cast<std::size_t>(rank)];
    if (is_bound(place)) by_core[place.core_group].push_back(rank);
  }
  for (const auto& [group, sharing] : by_core) {
    if (sharing.size() < 2 || group < 0) continue;
    const int core = places[static_cast<std::size_t>(sharing[0])].core;
    const bool same = std::all_of(sharing.begin(), sharing.end(), [&](int rank) {
      return places[static_cast<std::size_t>(rank)].core == core;
    });
    warnings.push_back(
        fmt::format("{} are bound to {} on {}", describe_ranks(sharing),
                    same ? fmt::format("the same core {}", core) : "hyper-threads of one core",
                    places[static_cast<std::size_t>(sharing[0])].host));
  }
}

// Name and number; what follows the first comma or line is about how it was built.
std::string library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string line(text, static_cast<std::size_t>(length));
  line.resize(std::min(line.find_first_of(std::string_view("\n,\0", 3)), line.size()));
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace

Environment survey(MPI_Comm comm) {
  Environment environment;
  int rank;
  int version;
  int subversion;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_size(comm, &environment.ranks);
  MPI_Get_version(&version, &subversion);
  environment.standard = fmt::format("{}.{}", version, subversion);
  environment.library = library_version();
  environment.time = utc_now();

  const Place mine = here();
  std::vector<Place> places(rank == 0 ? static_cast<std::size_t>(environment.ranks) : 0);
  MPI_Gather(&mine, sizeof mine, MPI_BYTE, places.data(), sizeof mine, MPI_BYTE, 0, comm);
  if (rank != 0) return environment;

  std::map<std::string, RankList> by_host;
  for (int other = 0; other < environment.ranks; ++other) {
    by_host[places[static_cast<std::size_t>(other)].host].push_back(other);
  }
  for (const auto& [name, ranks] : by_host) {
    const HostPlacement host = summarize(places, ranks);
    if (host.oversubscribed) {
      environment.warnings.push_back(
          fmt::format("oversubscribed: {} ranks take turns on {} core{} of {}", host.ranks,
                      host.cores, host.cores == 1 ? "" : "s", name));
    } else {
      warn_of_shared_cores(places, ranks, environment.warnings);
    }
    environment.hosts.push_back(host);
  }
  return environment;
}

}  // namespace tern::perf
