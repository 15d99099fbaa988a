// ucx/sockets.h - makes the kernel give up TCP connections of UCX on which nothing is acknowledged.
//
// UCX's sockets have no such limit: what a host that is cut off does not acknowledge is sent again
// for a quarter of an hour, and who only waits for it never asks. UCX does not show its sockets
// either, so they are looked for among this process's descriptors: accepted ones have the port of a
// socket that listens since UCX was opened, and those that connect have the interval between
// questions for a sign of life that worker.cc chose.
// Threading: one thread at a time. Failure: a socket that is not found has no limit.
#pragma once
#include <cstdint>
#include <vector>

namespace tern::ucx {

// How long the kernel's TCP goes on without an answer, from the time that Tern waits for a peer.
struct Patience {
  explicit Patience(double peer_timeout_s);
  unsigned timeout_ms;
  unsigned idle_s;      // Then a connection on which nothing happens is asked for a sign of life,
  unsigned interval_s;  // and again after this long.
  unsigned connects;    // How often the request for a connection is repeated.
};

class Sockets {
 public:
  // Made before UCX is opened.
  explicit Sockets(const Patience& patience);
  // Learns which sockets listen that did not before.
  void learn_listeners();
  // Limits those that have come since the last time; returns how many of UCX's connections there
  // are.
  int limit();

 private:
  bool is_of_ucx(int fd) const;

  Patience patience_;
  std::vector<int> known_;  // Listening sockets, then ports.
};

}  // namespace tern::ucx
