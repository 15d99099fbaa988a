// core/wait.h - what a process does while nothing arrives: poll, then yield, then sleep.
//
// With a core for every rank, polling for a while gives the best latency and a sleeping rank costs
// nothing. When more ranks than cores share a cpuset, polling only keeps the peer that is waited
// for off the core: the first empty poll yields already. Where threads of the kernel move the
// messages (soft-RoCE), polling is interrupted by a yield now and then.
// Threading: one Waiter per wait, on its thread's stack.
#pragma once
#include <cstdint>

namespace tern {

struct WaitPolicy {
  std::uint32_t spin_us = 200;    // Polling without giving the core away.
  std::uint32_t yield_us = 2000;  // Then polling with sched_yield between the polls.
  // Then sleeping. A sleep ends by itself after this long, so that even a lost wake-up (a sender
  // killed between publishing and ringing) only costs time.
  std::uint32_t sleep_us = 100000;
  // The same while something is awaited from the launcher, whose descriptor the doorbell cannot
  // watch. Longer where many ranks share a core, which their looking would fill otherwise.
  std::uint32_t look_ms = 1;
  std::uint32_t polls_per_yield = 0;  // While it does not give the core away otherwise; 0: never.
  bool is_chosen = false;             // By the user: the times stay as they are.

  // Threads of the kernel move the messages (soft-RoCE). They take longer than a device would, and
  // what a sleep needs, acknowledgements and events, is more work for them: it comes later. And
  // they have to get a core: the scheduler can let one that was woken wait for milliseconds while
  // a process polls.
  void share_with_kernel();
};

// The policy for `ranks` processes on this host that share `cores` cores.
WaitPolicy wait_policy_for(int ranks, int cores);

// Cores that this process may run on.
int usable_cores();

struct WaitState {
  WaitPolicy policy;
  // Told around yields and sleeps, so that the MPI layer can drop its lock; may be nullptr.
  void (*before_idle)() = nullptr;
  void (*after_idle)() = nullptr;
};

class Waiter {
 public:
  enum class Step { kSpin, kYield, kSleep };
  explicit Waiter(const WaitState& state) : policy_(state.policy) {}

  // Something arrived: start over.
  void reset() { idle_polls_ = 0; }
  // What to do after one more poll that found nothing.
  Step next();

 private:
  Step by_time();

  static constexpr std::uint32_t kPollsPerClock = 32;
  const WaitPolicy& policy_;
  std::uint32_t idle_polls_ = 0;
  std::uint64_t idle_since_ns_ = 0;
  Step step_ = Step::kSpin;
};

}  // namespace tern
