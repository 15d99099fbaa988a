// spawn/stdin_relay.h - carries mpiexec's standard input to ranks where it cannot simply be
// inherited.
//
// A file or pipe for one rank is inherited: byte-exact, and what the rank does not read stays for
// whoever comes next. This relay serves the two other cases: a terminal (ranks are not in its
// foreground process group, so they may not read it) and --stdin all. Reads the next piece only
// when every rank has taken the last one, so memory is bounded and the slowest rank sets the pace.
// Threading: one thread. Failure: a rank that closes its input is left out; nothing else happens.
#pragma once
#include <string>
#include <vector>

#include "spawn/event_loop.h"

namespace tern::spawn {

class StdinRelay {
 public:
  explicit StdinRelay(EventLoop& loop) : loop_(loop) {}
  ~StdinRelay();
  StdinRelay(const StdinRelay&) = delete;
  StdinRelay& operator=(const StdinRelay&) = delete;

  // Makes a pipe to one more rank. Returns the rank's end, which the caller closes; -1 with errno.
  int add_rank();
  // Begins to read; also after mpiexec was put into the foreground again (SIGCONT).
  void start();

 private:
  struct Target {
    int pipe = -1;
    std::size_t written = 0;  // Of piece_.
    bool watched = false;
  };

  void read_piece();
  void push(Target& target);
  void close(Target& target);
  void next_if_all_done();

  EventLoop& loop_;
  std::vector<Target> targets_;
  std::string piece_;
  bool reading_ = false;  // Waiting for input.
  bool ended_ = false;
};

}  // namespace tern::spawn
