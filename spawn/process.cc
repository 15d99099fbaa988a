// spawn/process.cc - see process.h.
#include "spawn/process.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <memory>
#include <vector>

namespace tern::spawn {
namespace {

constexpr std::size_t kBitsPerWord = 8 * sizeof(unsigned long);

std::vector<unsigned long> affinity_mask(const CpuSet* cpus) {
  if (cpus == nullptr || cpus->empty()) return {};
  std::vector<unsigned long> mask(static_cast<std::size_t>(cpus->back()) / kBitsPerWord + 1);
  for (const int cpu : *cpus) {
    const auto bit = static_cast<std::size_t>(cpu);
    mask[bit / kBitsPerWord] |= 1UL << (bit % kBitsPerWord);
  }
  return mask;
}

bool put_at(int from, int to) {
  return from < 0 || (from == to ? ::fcntl(from, F_SETFD, 0) : ::dup2(from, to)) >= 0;
}

struct Prepared {
  const ProcessStart& start;
  const std::vector<unsigned long> mask;
  pid_t parent;
};

// Runs in the child, in mpiexec's memory: only calls that touch nothing but the kernel. Returns the
// name of the step that failed, with errno.
const char* become_rank(const Prepared& prepared) {
  const ProcessStart& start = prepared.start;
  if (!start.is_launcher) ::setpgid(0, 0);
  if (start.group != nullptr) *start.group = ::getpid();
  // Ended by the kernel when mpiexec dies, even of SIGKILL; the check closes the gap before this
  // line.
  ::prctl(PR_SET_PDEATHSIG, start.is_launcher ? SIGTERM : SIGKILL);
  if (::getppid() != prepared.parent) return "outlive mpiexec";
  if (!put_at(start.input, 0) || !put_at(start.output, 1) || !put_at(start.error, 2)) {
    return "connect its standard streams";
  }
  if (start.kept >= 0 && ::fcntl(start.kept, F_SETFD, 0) < 0) return "pass on the PMI descriptor";
  if (start.files != nullptr) ::setrlimit(RLIMIT_NOFILE, start.files);
  if (!prepared.mask.empty() &&
      ::sched_setaffinity(0, prepared.mask.size() * sizeof(unsigned long),
                          reinterpret_cast<const cpu_set_t*>(prepared.mask.data())) != 0 &&
      start.must_bind) {
    return "bind it to its CPUs";
  }
  if (start.directory != nullptr && ::chdir(start.directory) != 0) return "enter the directory";
  start.signals->restore_in_child();
  ::execve(start.file, start.arguments, start.environment);
  return kStepExecute;
}

// The child's stack. Its deepest user is the C library's execve; sanitizers make frames larger.
constexpr std::size_t kStackBytes = 64 * 1024;

// What the child works on, and where it writes, in the shared memory, why it became no rank.
struct Attempt {
  const Prepared& prepared;
  const char* volatile failed_step = nullptr;
  volatile int error_number = 0;
};

int run_child(void* argument) {
  auto& attempt = *static_cast<Attempt*>(argument);
  attempt.failed_step = become_rank(attempt.prepared);
  attempt.error_number = errno;
  return 127;  // The C library ends the child with it, and does nothing else.
}

}  // namespace

pid_t start_process(const ProcessStart& start, StartError& error) {
  const Prepared prepared{start, affinity_mask(start.cpus), ::getpid()};
  Attempt attempt{prepared};
  const auto stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  // As vfork: mpiexec waits until the child has executed the program or has ended. With a stack of
  // its own the child cannot disturb mpiexec's.
  const pid_t pid =
      ::clone(run_child, stack.get() + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &attempt);
  if (pid < 0) {
    error = {"create a process", errno};
    return -1;
  }
  if (attempt.failed_step == nullptr) return pid;
  error = {attempt.failed_step, attempt.error_number};
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return -1;
}

}  // namespace tern::spawn
