// spawn/signals.cc - see signals.h.
#include "spawn/signals.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace tern::spawn {

Signals::Signals() {
  ::sigemptyset(&watched_);
  for (const int number :
       {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGUSR1, SIGUSR2, SIGCHLD}) {
    struct sigaction current;
    const bool ignored =
        ::sigaction(number, nullptr, &current) == 0 && current.sa_handler == SIG_IGN;
    if (!ignored) ::sigaddset(&watched_, number);
  }
  // If whoever started mpiexec ignores SIGCHLD, exit codes would be lost.
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  plain.sa_flags = SA_NOCLDSTOP;
  ::sigaction(SIGCHLD, &plain, nullptr);
  ::sigaddset(&watched_, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &watched_, &original_mask_);
  // A reader of mpiexec's output that goes away is an error code here, not the end of mpiexec.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &original_pipe_);
}

Signals::~Signals() {
  if (fd_ < 0) return;
  loop_->remove(fd_);
  ::close(fd_);
}

bool Signals::watch(EventLoop& loop, std::function<void(const Arrived&)> on_signal) {
  fd_ = ::signalfd(-1, &watched_, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) return false;
  loop_ = &loop;
  return loop.add(fd_, EPOLLIN, [this, on_signal = std::move(on_signal)](std::uint32_t) {
    signalfd_siginfo info;
    while (::read(fd_, &info, sizeof info) == sizeof info) {
      const int number = static_cast<int>(info.ssi_signo);
      on_signal({.number = number,
                 .from_terminal = info.ssi_code == SI_KERNEL,
                 .child = number == SIGCHLD ? static_cast<int>(info.ssi_pid) : 0});
    }
  });
}

void Signals::restore_in_child() const {
  ::sigaction(SIGPIPE, &original_pipe_, nullptr);
  // Ranks are in process groups of their own, which the terminal takes for background jobs: without
  // this, a rank that writes to a terminal set to `tostop`, or reads it, would be stopped for ever.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGTTOU, &ignore, nullptr);
  ::sigaction(SIGTTIN, &ignore, nullptr);
  ::sigprocmask(SIG_SETMASK, &original_mask_, nullptr);
}

}  // namespace tern::spawn
