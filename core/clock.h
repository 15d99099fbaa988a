// core/clock.h - a clock that costs a few nanoseconds to read, for what is looked after now and
// then.
//
// Threading: any. Failure: none.
#pragma once
#include <time.h>

#include <cstdint>

namespace tern {

// Milliseconds since some moment in the past; never goes back, and is good to some milliseconds.
inline std::uint64_t coarse_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace tern
