// spawn/guard.cc - see guard.h.
#include "spawn/guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace tern::spawn {
namespace {

// The guard must hold no descriptor: an open pipe or socket would keep readers of mpiexec's output
// and the ranks waiting for an end that does not come.
void close_everything() {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, 0U, ~0U, 0U) == 0) return;
#endif
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536;
  const int end = known ? static_cast<int>(limit.rlim_cur) : 65536;
  for (int fd = 0; fd < end; ++fd) ::close(fd);
}

}  // namespace

Guard::Guard(std::size_t group_count) : group_count_(group_count) {
  void* memory = ::mmap(nullptr, group_count * sizeof(pid_t), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) groups_ = static_cast<volatile pid_t*>(memory);
}

Guard::~Guard() {
  if (guard_ > 0) {
    ::kill(guard_, SIGKILL);
    while (::waitpid(guard_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (groups_ != nullptr) {
    ::munmap(const_cast<pid_t*>(groups_), group_count_ * sizeof(pid_t));
  }
}

void Guard::start() {
  if (groups_ == nullptr) return;
  const pid_t parent = ::getpid();
  guard_ = ::fork();
  if (guard_ == 0) watch(parent);
}

void Guard::watch(pid_t parent) const {
  // A group of its own, so that what is sent to mpiexec's group does not end the guard as well, and
  // a name of its own, so that `killall mpiexec` does not.
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "tern-guard");
  close_everything();
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  // Any signal would do; this one reports mpiexec's death and nothing else.
  ::prctl(PR_SET_PDEATHSIG, SIGUSR1);
  while (::getppid() == parent) {
    sigset_t death;
    ::sigemptyset(&death);
    ::sigaddset(&death, SIGUSR1);
    int number = 0;
    ::sigwait(&death, &number);
  }
  for (std::size_t i = 0; i < group_count_; ++i) {
    if (groups_[i] > 1) ::kill(-groups_[i], SIGKILL);
  }
  ::_exit(0);
}

}  // namespace tern::spawn
