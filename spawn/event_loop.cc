// spawn/event_loop.cc - see event_loop.h.
#include "spawn/event_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace tern::spawn {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

EventLoop::~EventLoop() {
  if (epoll_ >= 0) ::close(epoll_);
}

bool EventLoop::add(int fd, std::uint32_t events, Handler handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  const auto index = static_cast<std::size_t>(fd);
  if (handlers_.size() <= index) handlers_.resize(index + 1);
  handlers_[index] = std::move(handler);
  return true;
}

void EventLoop::change(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void EventLoop::remove(int fd) {
  (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  const auto index = static_cast<std::size_t>(fd);
  if (index < handlers_.size()) handlers_[index] = nullptr;
}

EventLoop::Timer EventLoop::after(std::chrono::milliseconds delay, std::function<void()> what) {
  timers_.push_back({++last_timer_, Clock::now() + delay, std::move(what)});
  return last_timer_;
}

void EventLoop::cancel(Timer timer) {
  std::erase_if(timers_, [timer](const Due& due) { return due.id == timer; });
}

int EventLoop::wait_ms() const {
  if (timers_.empty()) return -1;
  const auto next = std::ranges::min_element(timers_, {}, &Due::when)->when;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
  // A long wait is cut short; the loop only comes round once more.
  return static_cast<int>(std::clamp<long long>(left, 0, 3'600'000));
}

void EventLoop::run_timers() {
  while (true) {
    const auto now = Clock::now();
    const auto due = std::ranges::find_if(timers_, [now](const Due& d) { return d.when <= now; });
    if (due == timers_.end()) return;
    const auto what = std::move(due->what);
    timers_.erase(due);
    what();
  }
}

void EventLoop::run_once() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms());
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const auto index = static_cast<std::size_t>(event.data.fd);
    // An earlier handler of this round may have removed it.
    if (index >= handlers_.size() || !handlers_[index]) continue;
    const Handler handler = handlers_[index];  // A copy: the handler may remove itself.
    handler(event.events);
  }
  if (!timers_.empty()) run_timers();
}

}  // namespace tern::spawn
