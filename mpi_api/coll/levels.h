// mpi_api/coll/levels.h - one member's place in a collective in two levels.
//
// Borrows the schedule's host map, and its scratch memory for the list of leaders.
#pragma once
#include <algorithm>
#include <span>

#include "mpi_api/coll/host_map.h"
#include "mpi_api/coll/schedule.h"

namespace tern::mpi::coll::two_level {

class Levels {
 public:
  // Every host is led by its first member.
  explicit Levels(const Schedule& s) : map_(*s.hosts()), leaders_(map_.leaders()) {}
  // The root leads its own host.
  Levels(Schedule& s, int root) : Levels(s) {
    const int host = map_.host_of(root);
    if (leaders_[static_cast<std::size_t>(host)] == root) return;
    const std::span<int> changed = s.scratch_array<int>(leaders_.size());
    if (changed.empty()) return;  // There is no memory, and the schedule will not run.
    std::ranges::copy(leaders_, changed.begin());
    changed[static_cast<std::size_t>(host)] = root;
    leaders_ = changed;
    if (host != map_.host()) return;
    leader_place_ = static_cast<int>(std::ranges::lower_bound(members(), root) - members().begin());
  }

  const HostMap& map() const { return map_; }
  std::span<const int> members() const { return map_.members(); }  // Of this host.
  int place() const { return map_.place(); }                       // Among them.
  int leader_place() const { return leader_place_; }               // Of their leader.
  bool leads() const { return leader_place_ == map_.place(); }
  std::span<const int> leaders() const { return leaders_; }  // By host.
  int host() const { return map_.host(); }
  int leader() const { return leaders_[static_cast<std::size_t>(map_.host())]; }

 private:
  const HostMap& map_;
  std::span<const int> leaders_;
  int leader_place_ = 0;
};

}  // namespace tern::mpi::coll::two_level
