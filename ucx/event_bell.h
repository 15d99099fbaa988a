// ucx/event_bell.h - rings the doorbell of a sleeping process when a descriptor becomes readable.
//
// A thread waits for that, and does nothing else. It is told of each sleep by a system call that
// does not wake it.
// Threading: as core/fabric.h says. Failure: start() is false; then nobody rings.
#pragma once
#include <thread>

#include "core/doorbell.h"

namespace tern::ucx {

class EventBell {
 public:
  // Borrows both until it is destroyed.
  EventBell(int fd, DoorbellWord& bell) : fd_(fd), bell_(bell) {}
  ~EventBell();
  EventBell(const EventBell&) = delete;
  EventBell& operator=(const EventBell&) = delete;

  bool start();
  // From now on, rings once, also when the descriptor is readable already.
  void watch();

 private:
  void serve();

  const int fd_;
  DoorbellWord& bell_;
  int epoll_fd_ = -1;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace tern::ucx
