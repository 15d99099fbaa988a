// shm/nearness.h - whether the two ends of a ring are near each other, as the producer measures it.
//
// Between cores that share a cache a body goes through the ring several times faster than between
// cores that do not, so the size up to which that beats one copy by the kernel differs. The
// topology does not tell: virtual machines hide it, and processes migrate. So the producer times
// some of the bodies that it writes, until the last store has reached the cache, which is where the
// time goes when the other core holds the lines. Each is a vote; the counter saturates, as a branch
// predictor's does, so that an interruption now and then changes nothing.
// Threading: the producer's. Failure: none; a wrong answer costs time only.
#pragma once
#include <cstddef>
#include <cstdint>

namespace tern::shm {

class Nearness {
 public:
  // Bodies shorter than this fit into the store buffer, and say nothing.
  static constexpr std::size_t kMinBytes = 1024;

  // Whether the next body of this size shall be timed: few, because waiting for the stores takes
  // the overlap with what comes next.
  bool wants(std::size_t body_bytes) {
    return body_bytes >= kMinBytes && ++bodies_ % kTimedOneIn == 0;
  }
  // Writing a body took so long.
  void add(std::size_t body_bytes, std::uint64_t took_ns) {
    const bool slow = took_ns * 1024 > kFarNsPerKib * body_bytes;
    if (slow && votes_ > 0) --votes_;
    if (!slow && votes_ < kMaxVotes) ++votes_;
    if (votes_ == 0) near_ = false;
    if (votes_ == kMaxVotes) near_ = true;
  }
  bool near() const { return near_; }

 private:
  static constexpr std::uint32_t kTimedOneIn = 8;
  static constexpr int kMaxVotes = 4;
  // Measured: 80 to 190 where a cache is shared, 350 to 500 where none is. In between copying
  // through the ring and by the kernel take the same time at about 12 KiB.
  static constexpr std::uint64_t kFarNsPerKib = 250;

  std::uint32_t bodies_ = 0;
  int votes_ = kMaxVotes;
  bool near_ = true;  // Until it is known better, so that there is something to time.
};

}  // namespace tern::shm
