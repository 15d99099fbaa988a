// core/wait.cc - the waiting policy; see wait.h.
#include "core/wait.h"

#include <sched.h>

#include <algorithm>
#include <cstdint>

#include "core/clock.h"

namespace tern {

WaitPolicy wait_policy_for(int ranks, int cores) {
  WaitPolicy policy;
  if (ranks > cores) {
    policy.spin_us = 0;
    policy.yield_us = 1000;
    constexpr int kRanksPerMs = 8;  // Looks of that many ranks in a millisecond a core bears well.
    constexpr int kLookMsMax = 20;
    const int ranks_per_core = ranks / std::max(cores, 1);
    policy.look_ms =
        static_cast<std::uint32_t>(std::clamp(ranks_per_core / kRanksPerMs, 1, kLookMsMax));
  }
  return policy;
}

void WaitPolicy::share_with_kernel() {
  if (spin_us == 0) return;  // With more ranks than cores all are to sleep soon.
  // Each yield delays the look at what comes by a system call. Measured between two processes on
  // two cores: seldom enough for the median, often enough for the mean.
  constexpr std::uint32_t kPollsPerYield = 512;
  polls_per_yield = kPollsPerYield;
  if (is_chosen) return;
  constexpr std::uint32_t kSpinUs = 500;      // What most round trips of small messages take.
  constexpr std::uint32_t kYieldUs = 20'000;  // Longer than a large message takes.
  spin_us = std::max(spin_us, kSpinUs);
  yield_us = std::max(yield_us, kYieldUs);
}

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

Waiter::Step Waiter::next() {
  const Step step = by_time();
  const bool is_turn = policy_.polls_per_yield != 0 && idle_polls_ % policy_.polls_per_yield == 0;
  return step == Step::kSpin && is_turn ? Step::kYield : step;
}

Waiter::Step Waiter::by_time() {
  // The clock is looked at rarely while spinning and always otherwise, where a system call comes
  // next anyway.
  if (idle_polls_++ == 0) {
    idle_since_ns_ = 0;
    step_ = policy_.spin_us == 0 ? Step::kYield : Step::kSpin;
    return step_;
  }
  if (step_ == Step::kSpin && idle_polls_ % kPollsPerClock != 0) return step_;
  const std::uint64_t now = fine_ns();
  if (idle_since_ns_ == 0) idle_since_ns_ = now;
  const std::uint64_t idle_us = (now - idle_since_ns_) / 1000;
  if (idle_us < policy_.spin_us) {
    step_ = Step::kSpin;
  } else {
    step_ =
        idle_us < std::uint64_t{policy_.spin_us} + policy_.yield_us ? Step::kYield : Step::kSleep;
  }
  return step_;
}

}  // namespace tern
