// mpi_api/coll/host_map.h - which members of a communicator share a host.
//
// What algorithms in two levels (two_level.h) need: this member's neighbours, one leader per host,
// and the members of any host. Takes memory per host where ranks are placed host by host, and per
// member only where they are not. Knows nothing of launchers: comm_hosts.h asks them.
// Threading: immutable. Failure: none but memory, which throws.
#pragma once
#include <memory>
#include <span>
#include <vector>

namespace tern::mpi::coll {

class HostMap {
 public:
  // names[i]: any number for the host of member i, the same for members that share one; rank: this
  // member. nullptr where all are on one host.
  static std::unique_ptr<HostMap> make(std::span<const int> names, int rank);

  // False: everybody is alone on its host.
  bool shared() const { return hosts() < starts_.back(); }
  // Hosts are numbered in the order of their first members.
  int hosts() const { return static_cast<int>(leaders_.size()); }
  int host() const { return host_; }    // This member's.
  int place() const { return place_; }  // This member's in members().
  // Of this member's host, in the order of ranks.
  std::span<const int> members() const { return members_; }
  // The first member of each host.
  std::span<const int> leaders() const { return leaders_; }

  int host_of(int rank) const;
  int size_of(int host) const { return start(host + 1) - start(host); }
  // Members before those of the host, when they are listed host by host.
  int start(int host) const { return starts_[static_cast<std::size_t>(host)]; }
  // Number i of that list; i itself where in_order().
  int rank_at(int i) const { return in_order() ? i : order_[static_cast<std::size_t>(i)]; }
  // That list is in the order of ranks.
  bool in_order() const { return order_.empty(); }

 private:
  HostMap() = default;

  int host_ = 0;
  int place_ = 0;
  std::vector<int> members_;
  std::vector<int> leaders_;
  std::vector<int> starts_;
  // Only where ranks are not host by host.
  std::vector<int> order_;
  std::vector<int> hosts_of_;
};

}  // namespace tern::mpi::coll
