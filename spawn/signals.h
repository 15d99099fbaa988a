// spawn/signals.h - signals as events, and what ranks inherit of mpiexec's signal settings.
//
// All signals that mpiexec reacts to are blocked and read from a descriptor. A signal that was
// ignored when mpiexec started (nohup, shells' background jobs) stays ignored. Ranks are started
// with the settings that mpiexec itself was started with. Threading: one thread. One object per
// process.
#pragma once
#include <signal.h>

#include <functional>

#include "spawn/event_loop.h"

namespace tern::spawn {

class Signals {
 public:
  struct Arrived {
    int number;
    bool from_terminal;  // Sent by the kernel (Ctrl-C), so the whole foreground group has it.
    int child;           // SIGCHLD: the first child that changed state; else 0.
  };

  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // False when the descriptor cannot be made.
  bool watch(EventLoop& loop, std::function<void(const Arrived&)> on_signal);

  // For the child between fork and exec; async-signal-safe.
  void restore_in_child() const;

 private:
  sigset_t original_mask_;
  struct sigaction original_pipe_;
  sigset_t watched_;
  EventLoop* loop_ = nullptr;
  int fd_ = -1;
};

}  // namespace tern::spawn
