// verbs/cm.h - finding the way to another process's signalling queue pair through librdmacm
// (TERN_VERBS_CM=rdmacm).
//
// Networks that choose paths (service levels of InfiniBand, priorities of RoCE) tell them to who
// asks the connection manager for the way to an IP address. Each process listens on a UDP-like port
// of its device's IP address; who wants to signal to it resolves address and route and asks for the
// queue pair there. What is asked and answered is the shortest exchange that librdmacm has (SIDR):
// afterwards datagrams travel between the two UD queue pairs as they do without librdmacm, and
// core/connect remains the one state machine of connections. The datagrams tell the other side the
// path, so that it answers without asking.
//
// Threading: one thread at a time; the channel's descriptor may be watched by another. Failure: a
// search that fails is begun again by the next find(), and leaves its reason in problem().
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "verbs/cm_table.h"
#include "verbs/port.h"

namespace tern::verbs {

// An IP address and port; IPv4 in its IPv6 form. Port 0: none.
struct CmAddress {
  std::array<std::uint8_t, 16> ip = {};
  std::uint16_t port = 0;
  // "00000000000000000000ffffc0a84d01.9c40"
  std::string encode() const;
  static bool decode(std::string_view text, CmAddress& address);
  std::string text() const;  // For people: the IP address.
  bool operator==(const CmAddress& other) const { return ip == other.ip && port == other.port; }
  bool operator<(const CmAddress& other) const {
    return std::tie(ip, port) < std::tie(other.ip, other.port);
  }
};

// The IP address of a port's network interface; port() is 0 in it. False when it has none.
bool find_ip_address(const Port& port, CmAddress& address);

class PathFinder {
 public:
  // Listens for those who look for `qp_number`. nullptr with a sentence in `why`.
  static std::unique_ptr<PathFinder> create(const CmTable& table, const Port& port,
                                            std::uint32_t qp_number, std::string& why);
  ~PathFinder();
  PathFinder(const PathFinder&) = delete;
  PathFinder& operator=(const PathFinder&) = delete;

  const CmAddress& address() const { return address_; }
  int event_fd() const { return channel_->fd; }

  // The path to the queue pair that is looked for at `to`; nullptr while it is not known, which
  // begins the search.
  const Path* find(const CmAddress& to, std::uint32_t qp_number);
  // The same, without beginning one.
  const Path* known(const CmAddress& to) const;
  // Takes events. True when a path has been found.
  bool poll();
  // The network has changed.
  void forget();
  // Why the last search failed; empty when it did not.
  const std::string& problem() const { return problem_; }

 private:
  struct Search {
    rdma_cm_id* id = nullptr;  // nullptr: found.
    std::uint32_t qp_number = 0;
    Path path = {};
  };
  using Searches = std::map<CmAddress, Search>;

  PathFinder(const CmTable& table, std::uint32_t qp_number)
      : table_(table), qp_number_(qp_number) {}
  bool listen(const Port& port, std::string& why);
  bool handle(const rdma_cm_event& event, rdma_cm_id*& over);
  bool advance(Searches::iterator search, const rdma_cm_event& event, rdma_cm_id*& over);
  void answer(rdma_cm_id& id, const rdma_cm_event& event);
  void fail(Searches::iterator search, std::string_view what, int error);

  const CmTable& table_;
  const std::uint32_t qp_number_;
  CmAddress address_;
  rdma_event_channel* channel_ = nullptr;
  rdma_cm_id* listener_ = nullptr;
  Searches searches_;
  std::string problem_;
};

}  // namespace tern::verbs
