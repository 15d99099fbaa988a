// mpi_api/reorder.cc - see reorder.h. The best of a few orders that are known to do well is taken
// and improved by swaps: finding the very best one is too expensive (graph embedding).
#include "mpi_api/reorder.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <queue>
#include <tuple>

namespace tern::mpi {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Cost of a unit of traffic between processes that share everything up to the resource before.
// Rough ratios of latencies, host first; sharing a core or not makes no difference worth a move.
constexpr std::array<int, kResources> kDistance = {64, 8, 8, 3, 1, 1, 1, 0};

int distance(const Place& a, const Place& b) {
  if (a.host != b.host) return kDistance[0];
  for (std::size_t i = 1; i < kResources; ++i) {
    // -1: not bound to one instance.
    if (a.instance[i] >= 0 && b.instance[i] >= 0 && a.instance[i] != b.instance[i]) {
      return kDistance[i];
    }
  }
  return 0;
}

// The processes in the order of the machine: host by host (in the order of their first ranks),
// inside that package by package, and so on.
struct Machine {
  explicit Machine(std::span<const Place> places) : slots(places.size()) {
    std::map<std::array<std::uint64_t, 2>, int> first_rank;
    for (std::size_t i = 0; i < places.size(); ++i) {
      first_rank.try_emplace(places[i].host, static_cast<int>(i));
    }
    std::iota(slots.begin(), slots.end(), 0);
    const auto key = [&](int process) {
      const Place& place = places[at(process)];
      return std::tuple(first_rank[place.host], place.instance, process);
    };
    std::ranges::sort(slots, [&](int a, int b) { return key(a) < key(b); });
    // A part shares all down to the level-3 cache.
    constexpr int kPartLevels = static_cast<int>(Resource::kL3Cache) + 1;
    const auto same_part = [&](const Place& a, const Place& b) {
      return a.host == b.host &&
             std::equal(a.instance.begin(), a.instance.begin() + kPartLevels, b.instance.begin());
    };
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const Place& here = places[at(slots[i])];
      const bool begin = i == 0;
      if (begin || here.host != places[at(slots[i - 1])].host) hosts.push_back(0);
      if (begin || !same_part(here, places[at(slots[i - 1])])) parts.push_back(0);
      ++hosts.back();
      ++parts.back();
      part_of.push_back(static_cast<int>(parts.size()) - 1);
      host_of.push_back(static_cast<int>(hosts.size()) - 1);
    }
  }

  std::vector<int> slots;             // Processes.
  std::vector<int> host_of, part_of;  // By slot.
  std::vector<int> hosts, parts;      // How many slots each has.
};

// --- grids: every host gets a block of the grid ---

// The shape of `cells` cells that divides the grid evenly and has the smallest surface; empty when
// there is none.
class BlockShape {
 public:
  BlockShape(std::span<const int> grid, int cells) : grid_(grid) {
    std::vector<int> shape;
    search(shape, cells);
  }
  const std::vector<int>& best() const { return best_; }

 private:
  void search(std::vector<int>& shape, int cells) {
    if (shape.size() == grid_.size()) {
      if (cells == 1) consider(shape);
      return;
    }
    const int extent = grid_[shape.size()];
    for (int side = 1; side <= std::min(extent, cells); ++side) {
      if (extent % side != 0 || cells % side != 0) continue;
      shape.push_back(side);
      search(shape, cells / side);
      shape.pop_back();
    }
  }
  void consider(const std::vector<int>& shape) {
    double surface = 0;  // Relative to the volume: a side is 1 / length of the volume.
    for (const int side : shape) surface += 1.0 / side;
    if (!best_.empty() && surface >= best_surface_) return;
    best_ = shape;
    best_surface_ = surface;
  }

  std::span<const int> grid_;
  std::vector<int> best_;
  double best_surface_ = 0;
};

int cells_of_each(const std::vector<int>& sizes) {
  const bool equal = std::ranges::all_of(sizes, [&](int size) { return size == sizes[0]; });
  return equal ? sizes[0] : 0;
}

// Positions such that consecutive ones fill block after block; empty when blocks do not fit.
std::vector<int> block_positions(std::span<const int> grid, const Machine& machine) {
  const int per_host = cells_of_each(machine.hosts);
  if (per_host == 0) return {};
  const std::vector<int> outer = BlockShape(grid, per_host).best();
  if (outer.empty()) return {};
  const int per_part = cells_of_each(machine.parts);
  std::vector<int> inner = per_part == 0 ? std::vector<int>() : BlockShape(outer, per_part).best();
  if (inner.empty()) inner.assign(grid.size(), 1);

  // Block, part of the block, cell of the part: each a coordinate vector, compared in row-major
  // order.
  std::vector<std::pair<std::vector<int>, int>> keyed(machine.slots.size());
  for (std::size_t p = 0; p < keyed.size(); ++p) {
    std::vector<int> key(3 * grid.size());
    int rest = static_cast<int>(p);
    for (std::size_t i = grid.size(); i-- > 0;) {
      const int coordinate = rest % grid[i];
      rest /= grid[i];
      key[i] = coordinate / outer[i];
      key[grid.size() + i] = coordinate % outer[i] / inner[i];
      key[2 * grid.size() + i] = coordinate % inner[i];
    }
    keyed[p] = {std::move(key), static_cast<int>(p)};
  }
  std::ranges::sort(keyed);
  std::vector<int> positions;
  positions.reserve(keyed.size());
  for (const auto& [key, position] : keyed) positions.push_back(position);
  return positions;
}

// --- any graph: parts grow by what they are connected with most ---

struct Link {
  int other;
  int weight;
};
using Links = std::vector<std::vector<Link>>;  // By position.

Links links_of(std::span<const Edge> edges, std::size_t positions) {
  Links links(positions);
  for (const Edge& edge : edges) {
    if (edge.from == edge.to) continue;
    links[at(edge.from)].push_back({edge.to, edge.weight});
    links[at(edge.to)].push_back({edge.from, edge.weight});
  }
  return links;
}

class Growth {
 public:
  Growth(const Machine& machine, const Links& links)
      : machine_(machine), links_(links), gain_(links.size()) {}

  std::vector<int> positions() {
    std::vector<int> result;
    result.reserve(links_.size());
    std::vector<bool> placed(links_.size());
    for (std::size_t slot = 0; slot < links_.size(); ++slot) {
      const bool new_host = slot == 0 || machine_.host_of[slot] != machine_.host_of[slot - 1];
      const bool new_part = slot == 0 || machine_.part_of[slot] != machine_.part_of[slot - 1];
      if (new_part) restart(placed, new_host);
      while (placed[at(queue_.top().position)] || queue_.top().stale(gain_)) queue_.pop();
      const int position = queue_.top().position;
      placed[at(position)] = true;
      result.push_back(position);
      for (const auto& [other, weight] : links_[at(position)]) {
        if (placed[at(other)]) continue;
        for (long long& gain : gain_[at(other)]) gain += weight;
        queue_.push({gain_[at(other)], other});
      }
    }
    return result;
  }

 private:
  // Traffic with the part that is being filled, with the host, with all that is placed.
  using Gain = std::array<long long, 3>;
  struct Candidate {
    Gain gain;
    int position;
    bool stale(const std::vector<Gain>& now) const { return now[at(position)] != gain; }
    // The first positions come first where the gains are equal.
    bool operator<(const Candidate& other) const {
      return std::tuple(gain, -position) < std::tuple(other.gain, -other.position);
    }
  };

  void restart(const std::vector<bool>& placed, bool new_host) {
    queue_ = {};
    for (std::size_t p = 0; p < gain_.size(); ++p) {
      gain_[p][0] = 0;
      if (new_host) gain_[p][1] = 0;
      if (!placed[p]) queue_.push({gain_[p], static_cast<int>(p)});
    }
  }

  const Machine& machine_;
  const Links& links_;
  std::vector<Gain> gain_;
  std::priority_queue<Candidate> queue_;
};

// --- any order: swap two positions as long as that helps ---

// Looks at all pairs, so it is for so many positions only.
constexpr std::size_t kRefinedMax = 512;
constexpr int kPassesMax = 10;

long long cost_of_moving(std::span<const Place> places, const Links& links,
                         const std::vector<int>& order, int position, int partner) {
  const Place& here = places[at(order[at(position)])];
  const Place& there = places[at(order[at(partner)])];
  long long cost = 0;
  for (const auto& [other, weight] : links[at(position)]) {
    if (other == partner) continue;  // As far apart after the swap as before.
    const Place& end = places[at(order[at(other)])];
    cost += static_cast<long long>(weight) * (distance(there, end) - distance(here, end));
  }
  return cost;
}

void refine(std::span<const Place> places, const Links& links, std::vector<int>& order) {
  const auto size = static_cast<int>(order.size());
  bool better = order.size() <= kRefinedMax;
  for (int pass = 0; better && pass < kPassesMax; ++pass) {
    better = false;
    for (int p = 0; p < size; ++p) {
      for (int q = p + 1; q < size; ++q) {
        if (distance(places[at(order[at(p)])], places[at(order[at(q)])]) == 0) continue;
        const long long change =
            cost_of_moving(places, links, order, p, q) + cost_of_moving(places, links, order, q, p);
        if (change >= 0) continue;
        std::swap(order[at(p)], order[at(q)]);
        better = true;
      }
    }
  }
}

}  // namespace

long long traffic_cost(std::span<const Place> places, std::span<const Edge> edges,
                       std::span<const int> order) {
  long long cost = 0;
  for (const Edge& edge : edges) {
    const Place& from = places[at(order[at(edge.from)])];
    const Place& to = places[at(order[at(edge.to)])];
    cost += static_cast<long long>(distance(from, to)) * edge.weight;
  }
  return cost;
}

std::vector<int> near_order(std::span<const Place> places, std::span<const Edge> edges,
                            std::span<const int> grid) {
  std::vector<int> best(places.size());
  std::iota(best.begin(), best.end(), 0);
  long long best_cost = traffic_cost(places, edges, best);
  if (best_cost == 0) return best;
  const Machine machine(places);
  const auto consider = [&](std::vector<int> order) {
    const long long cost = traffic_cost(places, edges, order);
    if (cost >= best_cost) return;
    best = std::move(order);
    best_cost = cost;
  };
  // positions[s]: which position slot s of the machine takes.
  const auto consider_positions = [&](const std::vector<int>& positions) {
    std::vector<int> order(positions.size());
    for (std::size_t s = 0; s < positions.size(); ++s) {
      order[at(positions[s])] = machine.slots[s];
    }
    if (!order.empty()) consider(std::move(order));
  };
  consider(machine.slots);
  if (!grid.empty()) consider_positions(block_positions(grid, machine));
  const Links links = links_of(edges, places.size());
  consider_positions(Growth(machine, links).positions());
  refine(places, links, best);
  return best;
}

}  // namespace tern::mpi
