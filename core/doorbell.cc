// core/doorbell.cc - futex and membarrier; see doorbell.h.
#include "core/doorbell.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace tern {
namespace {

long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* timeout) {
  // Shared futex operations: the word may lie in memory that several processes map.
  return syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), operation, value, timeout,
                 nullptr, 0);
}

}  // namespace

void Doorbell::enable() {
  // Registration makes this process's running threads targets of others' barriers; it is needed on
  // the senders' side. Every process is both, so one answer serves.
  const bool registered =
      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
  word_.needs_fence.store(registered ? 0 : 1, std::memory_order_release);
}

void Doorbell::arm() {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);  // Pairs with the load in disarm().
  word_.armed.store(1, std::memory_order_seq_cst);
  if (word_.needs_fence.load(std::memory_order_relaxed) == 0) {
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Doorbell::sleep(std::uint32_t timeout_us) {
  const timespec timeout{static_cast<time_t>(timeout_us / 1000000),
                         static_cast<long>(timeout_us % 1000000) * 1000};
  futex(word_.armed, FUTEX_WAIT, 1, &timeout);  // Returns at once when the bell was rung already.
}

void Doorbell::disarm() {
  if (sleepers_.fetch_sub(1, std::memory_order_seq_cst) > 1) return;  // Others still sleep.
  word_.armed.store(0, std::memory_order_seq_cst);
  // Who armed it meanwhile, and would now sleep beside an unarmed bell, looks again.
  if (sleepers_.load(std::memory_order_seq_cst) != 0) {
    futex(word_.armed, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

void Doorbell::ring(DoorbellWord& word) {
  if (word.armed.exchange(0, std::memory_order_relaxed) != 0) {
    futex(word.armed, FUTEX_WAKE, INT_MAX, nullptr);
  }
}

}  // namespace tern
