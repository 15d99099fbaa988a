// tests/launch/made_up_machine.h - machines for tests of placement, and what ranks get there.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "spawn/placement.h"

namespace tern::spawn {

// Sockets of cores of hardware threads; one NUMA node and L3 per socket. The kernel numbers the
// second threads of all cores after the first ones, as it does on real machines.
inline Machine make_machine(int sockets, int cores_per_socket, int threads_per_core) {
  Machine machine;
  const int cores = sockets * cores_per_socket;
  for (int core = 0; core < cores; ++core) {
    for (int thread = 0; thread < threads_per_core; ++thread) {
      Cpu& cpu = machine.cpus.emplace_back();
      cpu.os_index = core + thread * cores;
      const auto set = [&cpu](Level level, int unit) {
        cpu.unit[static_cast<std::size_t>(level)] = unit;
      };
      set(Level::kHwThread, core * threads_per_core + thread);
      for (const Level level : {Level::kCore, Level::kL1, Level::kL2}) set(level, core);
      for (const Level level : {Level::kL3, Level::kNuma, Level::kSocket}) {
        set(level, core / cores_per_socket);
      }
    }
  }
  return machine;
}

// The CPU lists of all ranks, as text.
inline std::vector<std::string> lists(const Machine& machine, int ranks,
                                      const PlacementWish& wish) {
  std::vector<CpuSet> sets;
  const Problem problem = place(machine, ranks, wish, sets);
  if (problem.has()) return {"problem: " + problem.text};
  EXPECT_EQ(sets.size(), static_cast<std::size_t>(ranks));
  std::vector<std::string> text;
  for (const CpuSet& set : sets) text.push_back(format_cpu_list(set));
  return text;
}

}  // namespace tern::spawn
