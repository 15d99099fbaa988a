// tests/mpi/buffer.h - message buffers that notice what a library does to memory around a message.
//
// Contents are a pure function of (key, position), so that the receiver can check a message without
// a copy of what was sent. Not thread-safe; a buffer belongs to one test.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"

namespace check {

// Message sizes in bytes around which a library may change its protocol (inline, one or several
// cache lines, page, ring slot, eager limit, single copy, pipeline), each with its neighbours.
inline const std::vector<int>& small_sizes() {
  static const std::vector<int> sizes = {
      0,   1,   2,    3,    7,    8,    15,   16,   17,   31,   32,   33,   47,
      48,  49,  63,   64,   65,   95,   96,   97,   98,   99,   100,  101,  102,
      103, 104, 105,  127,  128,  129,  191,  192,  255,  256,  257,  511,  512,
      513, 777, 1023, 1024, 1025, 2000, 2047, 2048, 2049, 4000, 4095, 4096, 4097};
  return sizes;
}
inline const std::vector<int>& medium_sizes() {
  static const std::vector<int> sizes = {8000,  8191,  8192,   8193,   12288,  16383,
                                         16384, 16385, 32767,  32768,  32769,  65535,
                                         65536, 65537, 100000, 131071, 131072, 131073};
  return sizes;
}
inline const std::vector<int>& large_sizes() {
  static const std::vector<int> sizes = {262143,  262144,  262145,  1048575, 1048576,
                                         1048577, 3000001, 4194305, 8388608};
  return sizes;
}

// Mostly small sizes, some medium, now and then (percent) large ones; half of them off the list.
inline int random_size(Random& random, int large_percent = 0) {
  int kind = random.below(100);
  const auto& list = kind < large_percent        ? large_sizes()
                     : kind < large_percent + 20 ? medium_sizes()
                                                 : small_sizes();
  int size = random.pick(list);
  return random.chance(50) ? size : random.below(size + 1);
}

inline void fill(void* data, std::size_t size, std::uint64_t key) {
  auto* bytes = static_cast<unsigned char*>(data);
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    std::uint64_t word = mix(key + i);
    std::memcpy(bytes + i, &word, 8);
  }
  std::uint64_t word = mix(key + i);
  std::memcpy(bytes + i, &word, size - i);
}

// Position of the first byte that is not what fill() wrote, or -1.
inline long first_difference(const void* data, std::size_t size, std::uint64_t key) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (std::size_t i = 0; i < size; i += 8) {
    std::uint64_t word = mix(key + i);
    std::size_t length = size - i < 8 ? size - i : 8;
    if (std::memcmp(bytes + i, &word, length) == 0) continue;
    for (std::size_t k = 0; k < length; ++k) {
      if (bytes[i + k] != reinterpret_cast<unsigned char*>(&word)[k])
        return static_cast<long>(i + k);
    }
  }
  return -1;
}

// Bytes between two guard zones, at a chosen misalignment.
class Buffer {
 public:
  explicit Buffer(std::size_t size, int misalignment = 0)
      : size_(size), start_(kGuard + misalignment), bytes_(size + 2 * kGuard + 64, kGuardByte) {}

  unsigned char* data() { return bytes_.data() + start_; }
  std::size_t size() const { return size_; }
  void fill(std::uint64_t key) { check::fill(data(), size_, key); }

  // The first `length` bytes hold the pattern and nothing outside them was touched.
  bool holds(std::uint64_t key, std::size_t length, const char* what) {
    long bad = first_difference(data(), length, key);
    bool good = EXPECT_MSG(bad < 0, "%s: byte %ld of %zu is wrong", what, bad, length);
    return untouched_outside(length, what) && good;
  }
  bool untouched_outside(std::size_t length, const char* what) {
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      if (i == start_) i += length;
      if (i >= start_ && i < start_ + size_) continue;  // The unused rest of the user's own buffer.
      if (i < bytes_.size() && bytes_[i] != kGuardByte) {
        return EXPECT_MSG(false, "%s: byte at offset %ld of a %zu-byte buffer was overwritten",
                          what, static_cast<long>(i) - static_cast<long>(start_), size_);
      }
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kGuardByte = 0xA5;
  std::size_t size_;
  std::size_t start_;
  std::vector<unsigned char> bytes_;
};

}  // namespace check
