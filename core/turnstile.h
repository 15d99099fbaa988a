// core/turnstile.h - mutual exclusion between one busy party and one that comes rarely.
//
// The owner (the thread that is inside the engine) passes with a store and a load; no barrier, no
// atomic read-modify-write. The guest (a service thread) pays for both: it announces itself, makes
// the kernel execute a barrier in the running owner (membarrier), and enters when the owner is out.
// Where the kernel offers no membarrier the owner uses a fence of its own.
// Threading: one owner at a time (whatever orders owners among themselves), one guest thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>

namespace tern {

class Turnstile {
 public:
  Turnstile();
  Turnstile(const Turnstile&) = delete;
  Turnstile& operator=(const Turnstile&) = delete;

  // The owner's passage; may be nested.
  class Owner {
   public:
    explicit Owner(Turnstile& turnstile) : turnstile_(turnstile) {
      if (turnstile_.owner_depth_++ == 0) turnstile_.enter();
    }
    ~Owner() {
      if (--turnstile_.owner_depth_ == 0) {
        // Pairs with the acquire in Guest(): what the owner did is done.
        turnstile_.owner_inside_.store(0, std::memory_order_release);
      }
    }
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

   private:
    Turnstile& turnstile_;
  };

  // The guest's passage; waits until the owner is out.
  class Guest {
   public:
    explicit Guest(Turnstile& turnstile);
    ~Guest();
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

   private:
    Turnstile& turnstile_;
    std::lock_guard<std::mutex> lock_;
  };

 private:
  void enter() {
    while (true) {
      owner_inside_.store(1, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (needs_fence_) [[unlikely]]
        std::atomic_thread_fence(std::memory_order_seq_cst);
      // Pairs with the release in ~Guest().
      if (guest_.load(std::memory_order_acquire) == 0) [[likely]]
        return;
      wait_for_guest();
    }
  }
  void wait_for_guest();

  std::atomic<std::uint32_t> owner_inside_{0};
  std::atomic<std::uint32_t> guest_{0};  // 1: a guest is inside or about to be.
  std::uint32_t owner_depth_ = 0;        // The owner's alone.
  bool needs_fence_;
  std::mutex guest_mutex_;  // Held by the guest: what a waiting owner sleeps on.
};

}  // namespace tern
