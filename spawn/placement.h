// spawn/placement.h - which CPUs each rank may run on.
//
// Pure: from a description of the machine (machine.h reads it through hwloc) and what the user
// asked for to one CPU set per rank. The default, when nothing is asked for, never surprises:
//   - as many ranks as cores or fewer: the cores allowed to mpiexec are dealt out in equal
//     contiguous shares, so that ranks stay apart and the threads of a rank have its share;
//   - one rank: not bound, it has them all;
//   - more ranks than cores: not bound, the kernel spreads them.
// Where ranks are bound and other jobs of this mpiexec are there (spawn/slot_account.h), what these
// use least comes first.
// Threading: none. Failure: a Problem with a sentence.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spawn/problem.h"

namespace tern::spawn {

// From fine to coarse.
enum class Level : int { kHwThread, kCore, kL1, kL2, kL3, kNuma, kSocket, kMachine };
inline constexpr int kLevelCount = 8;

// A hardware thread that ranks may use.
struct Cpu {
  int os_index = 0;
  std::array<int, kLevelCount> unit{};  // Which core, cache, ... it belongs to, numbered by hwloc.
  int ranks = 0;                        // Of other jobs of this mpiexec, bound to it.
};

struct Machine {
  std::vector<Cpu> cpus;  // In hwloc's order: neighbours are near each other.
  int ranks = 0;          // Of other jobs of this mpiexec, bound or not.
};

struct PlacementWish {
  bool bind_none = false;
  std::optional<Level> bind;  // --bind-to
  std::optional<Level> map;   // --map-by; the ranks go round these
  bool map_by_slot = false;   // --map-by slot: one core after the other
  int per_object = 0;         // --map-by ppr:N:object
  int cores_per_rank = 0;     // --map-by ...:PE=N
  std::optional<Level> rank_by;
  bool refuse_oversubscription = false;
  bool count_hwthreads = false;  // --use-hwthread-cpus: a hardware thread counts as a core
  std::string cpu_list;          // --cpu-set "0,2-5"

  // Nothing was asked for: the default policy decides.
  bool is_default() const {
    return !bind_none && !bind && !map && !map_by_slot && per_object == 0 && cores_per_rank == 0 &&
           !rank_by && !refuse_oversubscription && cpu_list.empty();
  }
};

// CPUs by the kernel's numbers; empty: not bound.
using CpuSet = std::vector<int>;

// One CPU set per rank.
Problem place(const Machine& machine, int rank_count, const PlacementWish& wish,
              std::vector<CpuSet>& sets);

// "0,2-5" and back. read is nullopt for anything else.
std::optional<CpuSet> read_cpu_list(std::string_view text);
std::string format_cpu_list(const CpuSet& cpus);

// "core", "socket", ... as --bind-to and --map-by take it, any case; nullopt when unknown.
std::optional<Level> read_level(std::string_view name);

// "core", for messages.
std::string_view level_name(Level level);

// Number of different units of a level among the machine's CPUs.
int count_units(const Machine& machine, Level level);

}  // namespace tern::spawn
