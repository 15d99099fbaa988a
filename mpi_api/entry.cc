// mpi_api/entry.cc - the entry lock; see entry.h.
#include "mpi_api/entry.h"

#include <sched.h>

#include <mutex>
#include <thread>

#include "core/check.h"

namespace tern::mpi {
namespace {

// A recursive lock that is fair enough: a thread that polls takes and drops it in a tight loop, and
// a plain mutex would let it win every time. Whoever sees others waiting stands back once.
struct EntryLock {
  std::mutex mutex;
  std::atomic<std::thread::id> owner{};
  int levels = 0;  // Touched by the owner only.
  std::atomic<int> waiting{0};
};

EntryLock& entry_lock() {
  static EntryLock* const lock = new EntryLock;  // Never destroyed: threads may outlive main().
  return *lock;
}

void acquire(EntryLock& lock, int levels) {
  lock.waiting.fetch_add(1, std::memory_order_relaxed);
  lock.mutex.lock();
  lock.waiting.fetch_sub(1, std::memory_order_relaxed);
  lock.owner.store(std::this_thread::get_id(), std::memory_order_relaxed);
  lock.levels = levels;
}

}  // namespace

EntryState entry_state;

void lock_entry() {
  EntryLock& lock = entry_lock();
  if (lock.owner.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    ++lock.levels;
  } else {
    acquire(lock, 1);
  }
}

void unlock_entry() {
  EntryLock& lock = entry_lock();
  if (--lock.levels > 0) return;
  lock.owner.store(std::thread::id(), std::memory_order_relaxed);
  lock.mutex.unlock();
}

int release_entry_fully() {
  EntryLock& lock = entry_lock();
  CHECK(lock.owner.load(std::memory_order_relaxed) == std::this_thread::get_id());
  const int levels = std::exchange(lock.levels, 1);
  unlock_entry();
  return levels;
}

void reacquire_entry(int levels) {
  EntryLock& lock = entry_lock();
  if (lock.waiting.load(std::memory_order_relaxed) > 0) sched_yield();
  acquire(lock, levels);
}

}  // namespace tern::mpi
