// core/clock.h - the time: by a clock that costs a few nanoseconds to read, for what is looked
// after now and then, and by an exact one.
//
// Threading: any. Failure: none.
#pragma once
#include <time.h>

#include <cstdint>

namespace tern {

namespace detail {

inline std::uint64_t read_ns(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace detail

// Milliseconds since some moment in the past; never goes back, and is good to some milliseconds.
inline std::uint64_t coarse_ms() { return detail::read_ns(CLOCK_MONOTONIC_COARSE) / 1000000; }

// Nanoseconds of the same clock, exact; takes some 25 ns.
inline std::uint64_t fine_ns() { return detail::read_ns(CLOCK_MONOTONIC); }

// Microseconds of the same clock, exact; for what does not happen often.
inline std::uint64_t fine_us() { return fine_ns() / 1000; }

// Nanoseconds since 1970; may be set, so only for what has to differ from run to run.
inline std::uint64_t wall_ns() { return detail::read_ns(CLOCK_REALTIME); }

}  // namespace tern
