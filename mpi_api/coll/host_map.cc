// mpi_api/coll/host_map.cc - see host_map.h.
#include "mpi_api/coll/host_map.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

namespace tern::mpi::coll {

std::unique_ptr<HostMap> HostMap::make(std::span<const int> names, int rank) {
  std::unique_ptr<HostMap> map(new HostMap);
  std::unordered_map<int, int> numbers;
  std::vector<int> hosts_of;
  hosts_of.reserve(names.size());
  for (const int name : names) {
    const auto [known, added] = numbers.try_emplace(name, static_cast<int>(numbers.size()));
    if (added) map->leaders_.push_back(static_cast<int>(hosts_of.size()));
    hosts_of.push_back(known->second);
  }
  const std::size_t hosts = map->leaders_.size();
  if (hosts <= 1) return nullptr;

  map->starts_.assign(hosts + 1, 0);
  for (const int host : hosts_of) ++map->starts_[static_cast<std::size_t>(host) + 1];
  std::partial_sum(map->starts_.begin(), map->starts_.end(), map->starts_.begin());
  map->host_ = hosts_of[static_cast<std::size_t>(rank)];
  for (int other = 0; other < static_cast<int>(names.size()); ++other) {
    if (hosts_of[static_cast<std::size_t>(other)] != map->host_) continue;
    if (other < rank) ++map->place_;
    map->members_.push_back(other);
  }
  if (!std::ranges::is_sorted(hosts_of)) {
    map->order_.resize(names.size());
    std::iota(map->order_.begin(), map->order_.end(), 0);
    std::ranges::stable_sort(
        map->order_, {}, [&](int member) { return hosts_of[static_cast<std::size_t>(member)]; });
    map->hosts_of_ = std::move(hosts_of);
  }
  return map;
}

int HostMap::host_of(int rank) const {
  if (!in_order()) return hosts_of_[static_cast<std::size_t>(rank)];
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), rank);
  return static_cast<int>(after - starts_.begin()) - 1;
}

}  // namespace tern::mpi::coll
