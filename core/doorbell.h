// core/doorbell.h - how a sleeping process is woken by a message.
//
// A process that has waited long enough arms its doorbell, polls once more and sleeps on a futex;
// whoever sends to it looks at the bell after publishing and rings if it is armed. The order
// "publish, then look" against "arm, then poll" needs a store-load barrier on both sides. A barrier
// in every send would cost as much as the message itself, so the sleeper pays for both:
// membarrier(2) in its system-wide form makes every running sender execute one. Where the kernel
// refuses that, the bell says so and senders use a fence of their own.
// Threading: arm/sleep by the owner, by several of its threads at once, too; ring by anybody, from
// any process. A ring wakes all that sleep.
#pragma once
#include <atomic>
#include <cstdint>

namespace tern {

// Lives in shared memory (or in the process, when no fabric shares it). 64 bytes: one line.
struct alignas(64) DoorbellWord {
  std::atomic<std::uint32_t> armed{0};        // 1: the owner is about to sleep or sleeps.
  std::atomic<std::uint32_t> needs_fence{1};  // 1: senders must fence before looking at armed.
};
static_assert(sizeof(DoorbellWord) == 64);

class Doorbell {
 public:
  // Borrows the word, which outlives this object.
  explicit Doorbell(DoorbellWord& word) : word_(word) {}

  // Allows this process to take part without fences; called once before anything is sent. Sets
  // needs_fence of the own bell to what the kernel offers.
  void enable();

  // After this, any message published earlier is visible to a poll and any later one rings.
  void arm();
  // Once per arm().
  void disarm();
  // Sleeps until rung or for timeout_us at most. Precondition: armed, polled, nothing found.
  void sleep(std::uint32_t timeout_us);
  DoorbellWord& word() { return word_; }

  // The sender's side, right after publishing with a release store.
  static void ring_if_armed(DoorbellWord& word) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (word.needs_fence.load(std::memory_order_relaxed) != 0) [[unlikely]] {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    if (word.armed.load(std::memory_order_relaxed) != 0) [[unlikely]]
      ring(word);
  }
  static void ring(DoorbellWord& word);

 private:
  DoorbellWord& word_;
  std::atomic<int> sleepers_{0};  // Threads between arm() and disarm().
};

}  // namespace tern
