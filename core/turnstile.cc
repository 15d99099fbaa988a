// core/turnstile.cc - the slow sides; see turnstile.h.
#include "core/turnstile.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tern {

Turnstile::Turnstile()
    : needs_fence_(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {}

void Turnstile::wait_for_guest() {
  owner_inside_.store(0, std::memory_order_release);
  const std::lock_guard<std::mutex> until_it_is_out(guest_mutex_);
}

Turnstile::Guest::Guest(Turnstile& turnstile)
    : turnstile_(turnstile), lock_(turnstile.guest_mutex_) {
  turnstile_.guest_.store(1, std::memory_order_seq_cst);
  if (turnstile_.needs_fence_) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  } else {
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  }
  // From here on an owner that comes sees guest_; one that came before is seen here.
  while (turnstile_.owner_inside_.load(std::memory_order_acquire) != 0) sched_yield();
}

Turnstile::Guest::~Guest() { turnstile_.guest_.store(0, std::memory_order_release); }

}  // namespace tern
