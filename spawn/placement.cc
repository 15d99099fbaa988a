// spawn/placement.cc - see placement.h.
#include "spawn/placement.h"

#include "core/format.h"

#include <algorithm>
#include <cctype>
#include <numeric>

#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

constexpr int kCpuNumberMax = 1 << 16;

using Unit = std::vector<int>;  // Positions in Machine::cpus.

// The CPUs in `among`, grouped by the unit of `level` they belong to, in machine order.
std::vector<Unit> units(const Machine& machine, const Unit& among, Level level) {
  std::vector<Unit> groups;
  std::vector<int> names;
  for (const int position : among) {
    const int name =
        machine.cpus[static_cast<std::size_t>(position)].unit[static_cast<std::size_t>(level)];
    const auto found = std::ranges::find(names, name);
    const auto index = static_cast<std::size_t>(found - names.begin());
    if (found == names.end()) {
      names.push_back(name);
      groups.emplace_back();
    }
    groups[index].push_back(position);
  }
  return groups;
}

Unit all_positions(const Machine& machine) {
  Unit positions(machine.cpus.size());
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

// `count` neighbouring units become one.
std::vector<Unit> in_groups_of(const std::vector<Unit>& parts, int count) {
  std::vector<Unit> groups;
  const auto size = static_cast<std::size_t>(std::max(1, count));
  for (std::size_t first = 0; first + size <= parts.size(); first += size) {
    Unit& group = groups.emplace_back();
    for (std::size_t i = first; i < first + size; ++i) {
      group.insert(group.end(), parts[i].begin(), parts[i].end());
    }
  }
  return groups;
}

// Those that fewest ranks of other jobs are bound to come first, else they stay as they are.
void free_ones_first(const Machine& machine, std::vector<Unit>& parts) {
  const auto load = [&machine](const Unit& unit) {
    double ranks = 0;
    for (const int position : unit) ranks += machine.cpus[static_cast<std::size_t>(position)].ranks;
    return ranks / static_cast<double>(unit.size());
  };
  std::ranges::stable_sort(parts, {}, load);
}

CpuSet cpus_of(const Machine& machine, const Unit& unit) {
  CpuSet set;
  for (const int position : unit) {
    set.push_back(machine.cpus[static_cast<std::size_t>(position)].os_index);
  }
  std::ranges::sort(set);
  return set;
}

struct Placed {
  Unit cpus;
  int order;  // In which it was mapped.
};

// The default policy; see the top of placement.h.
void share_cores(const Machine& machine, int rank_count, Level core, std::vector<CpuSet>& sets) {
  const std::vector<Unit> cores = units(machine, all_positions(machine), core);
  const std::size_t count = cores.size();
  const auto ranks = static_cast<std::size_t>(rank_count);
  if (ranks < 2 || ranks > count) return;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    Unit share;
    for (std::size_t i = rank * count / ranks; i < (rank + 1) * count / ranks; ++i) {
      share.insert(share.end(), cores[i].begin(), cores[i].end());
    }
    sets[rank] = cpus_of(machine, share);
  }
}

// The unit of `level` that holds this position.
Unit unit_around(const Machine& machine, int position, Level level) {
  for (Unit& unit : units(machine, all_positions(machine), level)) {
    if (std::ranges::find(unit, position) != unit.end()) return std::move(unit);
  }
  return {};
}

// Goes round the objects that --map-by names and gives each rank its part of the object.
Problem map_ranks(const Machine& machine, int rank_count, const PlacementWish& wish, Level core,
                  std::vector<Placed>& placed) {
  const int pe = std::max(1, wish.cores_per_rank);
  const Level bind = wish.cores_per_rank > 0 ? core : wish.bind.value_or(wish.map.value_or(core));
  const Level map = wish.map.value_or(wish.map_by_slot ? std::min(core, bind) : bind);

  std::vector<Unit> objects = units(machine, all_positions(machine), map);
  if (map <= bind && wish.per_object == 0) {
    // One unit after the other, over the whole machine.
    objects = in_groups_of(units(machine, all_positions(machine), pe > 1 ? bind : map), pe);
  }
  free_ones_first(machine, objects);
  if (objects.empty()) {
    return Problem::usage(tern::format("PE={} needs {} cores per rank, and {} are available here",
                                       pe, pe, count_units(machine, core)));
  }
  const auto object_count = static_cast<int>(objects.size());
  if (wish.per_object > 0 && rank_count > wish.per_object * object_count) {
    return Problem::usage(
        tern::format("--map-by ppr:{}:{} places {} ranks on this machine, and {} were asked for",
                     wish.per_object, level_name(map), wish.per_object * object_count, rank_count));
  }
  for (int i = 0; i < rank_count; ++i) {
    const int object = wish.per_object > 0 ? i / wish.per_object : i % object_count;
    const int turn = wish.per_object > 0 ? i % wish.per_object : i / object_count;
    const Unit& cpus = objects[static_cast<std::size_t>(object)];
    if (map <= bind) {
      placed.push_back({pe > 1 || map == bind ? cpus : unit_around(machine, cpus[0], bind), i});
      continue;
    }
    std::vector<Unit> parts = in_groups_of(units(machine, cpus, bind), pe);
    free_ones_first(machine, parts);
    if (parts.empty()) {
      return Problem::usage(tern::format("PE={} is more cores than a {} of this machine offers", pe,
                                         level_name(map)));
    }
    placed.push_back({parts[static_cast<std::size_t>(turn) % parts.size()], i});
  }
  return {};
}

// --rank-by: deals the rank numbers round the units of `level` instead of in mapping order.
void renumber(const Machine& machine, Level level, std::vector<Placed>& placed) {
  const std::vector<Unit> all = units(machine, all_positions(machine), level);
  std::vector<std::vector<Placed>> by_unit(all.size());
  for (Placed& rank : placed) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (std::ranges::find(all[i], rank.cpus.front()) == all[i].end()) continue;
      by_unit[i].push_back(std::move(rank));
      break;
    }
  }
  std::vector<Placed> renumbered;
  for (std::size_t turn = 0; renumbered.size() < placed.size(); ++turn) {
    for (auto& unit : by_unit) {
      if (turn < unit.size()) renumbered.push_back(std::move(unit[turn]));
    }
  }
  placed = std::move(renumbered);
}

Problem restrict(const std::string& list, Machine& machine) {
  const auto wanted = read_cpu_list(list);
  if (!wanted) {
    return Problem::usage(
        tern::format("--cpu-set needs a list of CPUs such as 0,2-5, not '{}'", list));
  }
  for (const int cpu : *wanted) {
    if (std::ranges::find(machine.cpus, cpu, &Cpu::os_index) == machine.cpus.end()) {
      return Problem::usage(
          tern::format("CPU {} of --cpu-set does not exist or is not allowed to this job", cpu));
    }
  }
  std::erase_if(machine.cpus, [&wanted](const Cpu& cpu) {
    return std::ranges::find(*wanted, cpu.os_index) == wanted->end();
  });
  return {};
}

}  // namespace

Problem place(const Machine& whole, int rank_count, const PlacementWish& wish,
              std::vector<CpuSet>& sets) {
  Machine machine = whole;
  sets.assign(static_cast<std::size_t>(rank_count), {});
  if (!wish.cpu_list.empty()) {
    if (Problem problem = restrict(wish.cpu_list, machine); problem.has()) return problem;
  }
  const Level core = wish.count_hwthreads ? Level::kHwThread : Level::kCore;
  const int cores = count_units(machine, core);
  if (wish.refuse_oversubscription && rank_count > cores - machine.ranks) {
    const std::string others =
        machine.ranks > 0 ? tern::format(", {} of which ranks of other jobs use,", machine.ranks)
                          : "";
    return Problem::usage(tern::format(
        "{} ranks were asked for, but this machine offers {} {}{} and --nooversubscribe forbids "
        "more",
        rank_count, cores, wish.count_hwthreads ? "hardware threads" : "cores", others));
  }
  if (!wish.bind_none && !wish.bind && !wish.map && !wish.map_by_slot && wish.cores_per_rank == 0) {
    share_cores(machine, rank_count, core, sets);
  } else if (!machine.cpus.empty()) {
    std::vector<Placed> placed;
    Problem problem = map_ranks(machine, rank_count, wish, core, placed);
    if (problem.has()) return problem;
    if (wish.rank_by) renumber(machine, *wish.rank_by, placed);
    for (std::size_t rank = 0; !wish.bind_none && rank < placed.size(); ++rank) {
      sets[rank] = cpus_of(machine, placed[rank].cpus);
    }
  }
  if (!wish.cpu_list.empty()) {
    const CpuSet all = cpus_of(machine, all_positions(machine));
    for (CpuSet& set : sets) {
      if (set.empty()) set = all;
    }
  }
  return {};
}

std::optional<CpuSet> read_cpu_list(std::string_view text) {
  CpuSet cpus;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view range = text.substr(0, comma);
    const std::size_t dash = range.find('-');
    const auto first = to_number(range.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : to_number(range.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= kCpuNumberMax) {
      return std::nullopt;
    }
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  std::ranges::sort(cpus);
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus;
}

std::string format_cpu_list(const CpuSet& cpus) {
  std::string text;
  for (std::size_t i = 0; i < cpus.size();) {
    std::size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ',';
    text += last == i ? tern::format("{}", cpus[i]) : tern::format("{}-{}", cpus[i], cpus[last]);
    i = last + 1;
  }
  return text;
}

std::optional<Level> read_level(std::string_view name) {
  std::string lower;
  for (const char c : name) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == "hwthread" || lower == "pu" || lower == "hwt") return Level::kHwThread;
  if (lower == "core") return Level::kCore;
  if (lower == "l1cache" || lower == "l1") return Level::kL1;
  if (lower == "l2cache" || lower == "l2") return Level::kL2;
  if (lower == "l3cache" || lower == "l3") return Level::kL3;
  if (lower == "numa" || lower == "numanode") return Level::kNuma;
  if (lower == "socket" || lower == "package") return Level::kSocket;
  if (lower == "board" || lower == "machine" || lower == "node") return Level::kMachine;
  return std::nullopt;
}

std::string_view level_name(Level level) {
  constexpr std::array<std::string_view, kLevelCount> kNames = {
      "hwthread", "core", "l1cache", "l2cache", "l3cache", "numa", "socket", "node"};
  return kNames[static_cast<std::size_t>(level)];
}

int count_units(const Machine& machine, Level level) {
  return static_cast<int>(units(machine, all_positions(machine), level).size());
}

}  // namespace tern::spawn
