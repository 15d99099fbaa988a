// core/ids.h - how processes are named across jobs.
//
// A process id is 128 bits: a random job id and the rank inside that job's world. World ranks,
// spawned children and connected clients are all named the same way, so the peer table needs no
// special case for any of them.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace tern {

struct ProcessId {
  std::uint64_t job = 0;
  std::uint64_t rank = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): takes the defaulted comparison's own 0 for a pointer.
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

struct ProcessIdHash {
  std::size_t operator()(const ProcessId& id) const noexcept {
    // Job ids are random already; the multiplier spreads consecutive ranks over the buckets.
    return static_cast<std::size_t>(id.job ^ (id.rank * 0x9E3779B97F4A7C15ULL));
  }
};

}  // namespace tern
