// mpi_api/owned_lock.h - a recursive lock that knows its owner and is fair enough.
//
// Recursive, because user callbacks that MPI calls may call MPI. A thread that polls takes and
// drops the lock in a tight loop, and a plain mutex would let it win every time: whoever polls asks
// wanted() and stands back once.
//
// A futex of its own rather than a std::mutex: half the price where nobody else wants it, and a
// thread with the entry lock may hold two lanes in either order, which looks like a deadlock to
// ThreadSanitizer, as it does not see that the entry lock keeps others from doing the same.
// Threading: any thread. Failure: none.
#pragma once
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>

#include "core/check.h"

namespace tern::mpi {

class alignas(64) OwnedLock {
 public:
  void lock() {
    if (mine()) {
      ++levels_;
    } else {
      acquire(1);
    }
  }
  bool try_lock() {
    if (mine()) {
      ++levels_;
      return true;
    }
    if (!take()) return false;
    own(1);
    return true;
  }
  void unlock() {
    if (--levels_ > 0) return;
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    // Pairs with the acquires of those who take it next.
    if (state_.exchange(kFree, std::memory_order_release) == kContended) state_.notify_one();
  }

  // Whether this thread holds it.
  bool mine() const { return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
  // Whether others wait for it.
  bool wanted() const { return waiting_.load(std::memory_order_relaxed) > 0; }

  // Drops all levels that this thread holds, and takes them again: around yields and sleeps.
  int release_fully() {
    CHECK(mine());
    const int levels = std::exchange(levels_, 1);
    unlock();
    return levels;
  }
  void reacquire(int levels) {
    if (wanted()) sched_yield();
    acquire(levels);
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kTaken = 1;
  static constexpr std::uint32_t kContended = 2;  // Taken, and somebody may sleep.

  bool take() {
    std::uint32_t free = kFree;
    return state_.compare_exchange_strong(free, kTaken, std::memory_order_acquire,
                                          std::memory_order_relaxed);
  }
  void acquire(int levels) {
    if (!take()) {
      waiting_.fetch_add(1, std::memory_order_relaxed);
      // Whoever has waited does not know whether others do, and leaves it marked for them.
      while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
        state_.wait(kContended, std::memory_order_relaxed);
      }
      waiting_.fetch_sub(1, std::memory_order_relaxed);
    }
    own(levels);
  }
  void own(int levels) {
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    levels_ = levels;
  }

  std::atomic<std::uint32_t> state_{kFree};
  std::atomic<std::thread::id> owner_{};
  int levels_ = 0;  // Touched by the owner only.
  std::atomic<int> waiting_{0};
};

}  // namespace tern::mpi
