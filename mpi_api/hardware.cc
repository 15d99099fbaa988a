// mpi_api/hardware.cc - see hardware.h.
#include "mpi_api/hardware.h"

#include <sched.h>
#include <strings.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/card.h"
#include "core/format.h"

namespace tern::mpi {
namespace {

constexpr std::array<std::string_view, kResources> kNames = {
    "mpi_shared_memory", "hwloc://Package", "hwloc://NUMANode", "hwloc://L3Cache",
    "hwloc://L2Cache",   "hwloc://L1Cache", "hwloc://Core",     "hwloc://PU"};
constexpr std::string_view kPrefix = "hwloc://";

// More than any kernel is built for.
constexpr int kCpusMax = 8192;

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// CPUs that this process may run on, in order.
std::vector<int> usable_cpus() {
  std::array<cpu_set_t, kCpusMax / CPU_SETSIZE> mask{};
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof mask, mask.data()) != 0) return cpus;
  for (int cpu = 0; cpu < kCpusMax; ++cpu) {
    if (CPU_ISSET_S(static_cast<std::size_t>(cpu), sizeof mask, mask.data())) cpus.push_back(cpu);
  }
  return cpus;
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "0-3,8" -> 0 1 2 3 8; empty when the text is something else.
std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int first = 0;
    const auto [after, error] = std::from_chars(at, end, first);
    if (error != std::errc()) return {};
    int last = first;
    at = after;
    if (at != end && *at == '-') {
      const auto [after_last, last_error] = std::from_chars(at + 1, end, last);
      if (last_error != std::errc()) return {};
      at = after_last;
    }
    if (first < 0 || last >= kCpusMax) return {};
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (at != end && *at++ != ',') return {};
  }
  return cpus;
}

std::string cpu_file(int cpu, std::string_view name) {
  return read_line(tern::format("/sys/devices/system/cpu/cpu{}/{}", cpu, name));
}

std::string numa_node_cpus(int cpu) {
  // Nodes are few, and numbered almost without gaps.
  const std::vector<int> nodes = parse_cpu_list(read_line("/sys/devices/system/node/online"));
  for (const int node : nodes) {
    std::string list = read_line(tern::format("/sys/devices/system/node/node{}/cpulist", node));
    const std::vector<int> cpus = parse_cpu_list(list);
    if (std::ranges::find(cpus, cpu) != cpus.end()) return list;
  }
  return {};
}

// CPUs that share the cache of a level with this one; of level 1, the cache of data.
std::string cache_cpus(int cpu, std::string_view level) {
  for (int index = 0;; ++index) {
    const std::string folder = tern::format("cache/index{}/", index);
    const std::string found = cpu_file(cpu, folder + "level");
    if (found.empty()) return {};
    if (found != level || cpu_file(cpu, folder + "type") == "Instruction") continue;
    return cpu_file(cpu, folder + "shared_cpu_list");
  }
}

// CPUs of the instance of `resource` that `cpu` belongs to, as a list; empty when the kernel does
// not say.
std::string instance_cpus(Resource resource, int cpu) {
  switch (resource) {
    case Resource::kPackage:
      return cpu_file(cpu, "topology/package_cpus_list");
    case Resource::kNumaNode:
      return numa_node_cpus(cpu);
    case Resource::kL3Cache:
      return cache_cpus(cpu, "3");
    case Resource::kL2Cache:
      return cache_cpus(cpu, "2");
    case Resource::kL1Cache:
      return cache_cpus(cpu, "1");
    case Resource::kCore:
      return cpu_file(cpu, "topology/core_cpus_list");
    case Resource::kPu:
      return std::to_string(cpu);
    case Resource::kHost:
      break;
  }
  return {};
}

// An instance is numbered by its first CPU.
std::int32_t find_instance(Resource resource, const std::vector<int>& usable) {
  if (usable.empty()) return -1;
  const std::vector<int> cpus = parse_cpu_list(instance_cpus(resource, usable.front()));
  const bool confined = std::ranges::includes(cpus, usable);
  return confined ? cpus.front() : -1;
}

// FNV-1a with two starting values: together wide enough that two hosts never look the same.
std::uint64_t hash(std::string_view text, std::uint64_t value) {
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return value;
}

}  // namespace

std::string_view resource_name(Resource resource) {
  return kNames[static_cast<std::size_t>(resource)];
}

std::optional<Resource> parse_resource(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const std::string_view known = kNames[i];
    const bool short_form =
        known.starts_with(kPrefix) && same_name(name, known.substr(kPrefix.size()));
    if (short_form || same_name(name, known)) return static_cast<Resource>(i);
  }
  return std::nullopt;
}

Place place_of_this_process() {
  const HostIdentity host = HostIdentity::read();
  const std::string identity =
      tern::format("{} {} {} {}", host.boot_id, host.pid_space, host.ipc_space, host.user_space);
  Place place;
  place.host = {hash(identity, 0xcbf29ce484222325ULL), hash(identity, 0x9e3779b97f4a7c15ULL)};
  const std::vector<int> usable = usable_cpus();
  place.instance[0] = 0;
  for (int i = 1; i < kResources; ++i) {
    place.instance[static_cast<std::size_t>(i)] = find_instance(static_cast<Resource>(i), usable);
  }
  return place;
}

}  // namespace tern::mpi
