// spawn/event_loop.h - mpiexec's one event loop: descriptors and timers.
//
// A thin layer over epoll. Handlers run inside run_once() and may add and remove anything.
// Threading: one thread. Failure: the only calls that can fail are those at start-up, reported by
// ok(); a descriptor that cannot be watched (a regular file) is said to be always ready.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace tern::spawn {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(std::uint32_t events)>;
  using Timer = std::uint64_t;

  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  bool ok() const { return epoll_ >= 0; }

  // Calls handler whenever one of `events` (EPOLLIN, EPOLLOUT) or a hang-up is there. False when
  // the descriptor cannot be watched. The descriptor stays the caller's; remove() before closing
  // it.
  bool add(int fd, std::uint32_t events, Handler handler);
  void change(int fd, std::uint32_t events);
  void remove(int fd);

  // Calls `what` once, after `delay`.
  Timer after(std::chrono::milliseconds delay, std::function<void()> what);
  void cancel(Timer timer);

  // Waits for at least one event or timer and runs what is due.
  void run_once();

 private:
  struct Due {
    Timer id;
    Clock::time_point when;
    std::function<void()> what;
  };
  int wait_ms() const;
  void run_timers();

  int epoll_;
  std::vector<Handler> handlers_;  // By descriptor; empty: not watched.
  std::vector<Due> timers_;        // A handful at most.
  Timer last_timer_ = 0;
};

}  // namespace tern::spawn
