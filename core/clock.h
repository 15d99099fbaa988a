// core/clock.h - the time: by a clock that costs a few nanoseconds to read, for what is looked
// after now and then, and by an exact one.
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

// Nanoseconds of the same clock, exact; takes some 25 ns.
inline std::uint64_t fine_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// Microseconds of the same clock, exact; for what does not happen often.
inline std::uint64_t fine_us() { return fine_ns() / 1000; }

}  // namespace tern
