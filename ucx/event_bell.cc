// ucx/event_bell.cc - see event_bell.h.
#include "ucx/event_bell.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace tern::ucx {

EventBell::~EventBell() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)!write(stop_fd_, &one, sizeof one);
    thread_.join();
  }
  if (stop_fd_ >= 0) ::close(stop_fd_);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

bool EventBell::start() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  stop_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (epoll_fd_ < 0 || stop_fd_ < 0) return false;
  epoll_event stop{EPOLLIN, {.fd = stop_fd_}};
  epoll_event disabled{EPOLLONESHOT, {.fd = fd_}};
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, stop_fd_, &stop) != 0 ||
      epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd_, &disabled) != 0) {
    return false;
  }
  try {
    thread_ = std::thread([this] { serve(); });
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

void EventBell::watch() {
  epoll_event once{EPOLLIN | EPOLLONESHOT, {.fd = fd_}};
  epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd_, &once);
}

void EventBell::serve() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  epoll_event event{};
  while (true) {
    if (epoll_wait(epoll_fd_, &event, 1, -1) != 1) {
      if (errno == EINTR) continue;
      return;
    }
    if (event.data.fd == stop_fd_) return;
    Doorbell::ring_if_armed(bell_);
  }
}

}  // namespace tern::ucx
