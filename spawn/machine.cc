// spawn/machine.cc - see machine.h.
#include "spawn/machine.h"

#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

namespace tern::spawn {
namespace {

// Enough for every kernel so far; larger ones make sched_getaffinity say EINVAL.
constexpr std::size_t kCpusMax = 16384;

constexpr std::array<std::pair<Level, hwloc_obj_type_t>, 7> kTypes = {{
    {Level::kHwThread, HWLOC_OBJ_PU},
    {Level::kCore, HWLOC_OBJ_CORE},
    {Level::kL1, HWLOC_OBJ_L1CACHE},
    {Level::kL2, HWLOC_OBJ_L2CACHE},
    {Level::kL3, HWLOC_OBJ_L3CACHE},
    {Level::kNuma, HWLOC_OBJ_NUMANODE},
    {Level::kSocket, HWLOC_OBJ_PACKAGE},
}};

// hwloc opens all its plugins (graphics, OpenCL, PCI) when the first topology is made, which takes
// longer than reading the CPUs. None of them says anything about CPUs.
class WithoutPlugins {
 public:
  WithoutPlugins() : had_(std::getenv(kName) != nullptr) {
    if (!had_) ::setenv(kName, "/nonexistent", 1);
  }
  ~WithoutPlugins() {
    if (!had_) ::unsetenv(kName);
  }

 private:
  static constexpr const char* kName = "HWLOC_PLUGINS_PATH";
  bool had_;
};

struct TopologyDeleter {
  void operator()(hwloc_topology* topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, TopologyDeleter>;

Topology load() {
  const WithoutPlugins without_plugins;
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  for (const auto& [level, type] : kTypes) {
    hwloc_topology_set_type_filter(raw, type, HWLOC_TYPE_FILTER_KEEP_ALL);
  }
  // Its x86 part moves this process to every CPU in turn, which waits wherever a CPU is busy; the
  // kernel's files say the same.
  hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  // Distances, memory attributes and kinds of CPU cost most of the time on large machines.
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                    HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS);
  return hwloc_topology_load(raw) == 0 ? std::move(topology) : nullptr;
}

// The number of the object of `type` that holds this CPU; -1 where the machine has none (no L3,
// say).
int unit_of(hwloc_topology* topology, hwloc_obj_t pu, hwloc_obj_type_t type) {
  if (type == HWLOC_OBJ_PU) return static_cast<int>(pu->logical_index);
  if (type == HWLOC_OBJ_NUMANODE) {  // Memory hangs beside the tree, not in it.
    for (hwloc_obj_t node = nullptr;
         (node = hwloc_get_next_obj_by_type(topology, type, node)) != nullptr;) {
      if (hwloc_bitmap_isset(node->cpuset, pu->os_index))
        return static_cast<int>(node->logical_index);
    }
    return 0;
  }
  hwloc_obj* const object = hwloc_get_ancestor_obj_by_type(topology, type, pu);
  if (object != nullptr) return static_cast<int>(object->logical_index);
  return type == HWLOC_OBJ_PACKAGE ? 0 : -1;
}

}  // namespace

CpuSet allowed_cpus() {
  CpuSet cpus;
  std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> mask(CPU_ALLOC(kCpusMax),
                                                        [](cpu_set_t* m) { CPU_FREE(m); });
  const std::size_t bytes = CPU_ALLOC_SIZE(kCpusMax);
  if (mask == nullptr || ::sched_getaffinity(0, bytes, mask.get()) != 0) return cpus;
  for (std::size_t cpu = 0; cpu < kCpusMax; ++cpu) {
    if (CPU_ISSET_S(cpu, bytes, mask.get())) cpus.push_back(static_cast<int>(cpu));
  }
  return cpus;
}

Problem read_machine(const CpuSet& allowed, Machine& machine) {
  const Topology topology = load();
  if (topology == nullptr)
    return {"hwloc cannot read the CPUs of this machine", ExitCode::kFailure};
  machine.cpus.clear();
  hwloc_obj_t pu = nullptr;
  while ((pu = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, pu)) != nullptr) {
    const int os_index = static_cast<int>(pu->os_index);
    if (!std::ranges::binary_search(allowed, os_index)) continue;
    Cpu& cpu = machine.cpus.emplace_back();
    cpu.os_index = os_index;
    for (const auto& [level, type] : kTypes) {
      cpu.unit[static_cast<std::size_t>(level)] = unit_of(topology.get(), pu, type);
    }
    const auto fall_back = [&cpu](Level level, Level to) {
      auto& unit = cpu.unit[static_cast<std::size_t>(level)];
      if (unit < 0) unit = cpu.unit[static_cast<std::size_t>(to)];
    };
    fall_back(Level::kL3, Level::kNuma);
    fall_back(Level::kL2, Level::kL3);
    fall_back(Level::kL1, Level::kL2);
    fall_back(Level::kCore, Level::kHwThread);
  }
  if (machine.cpus.empty()) {
    return {"hwloc finds none of the CPUs that this job may use", ExitCode::kFailure};
  }
  return {};
}

}  // namespace tern::spawn
