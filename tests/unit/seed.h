// tests/unit/seed.h - random inputs that can be repeated: TERN_TEST_SEED=N runs a test again with
// N.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

namespace tern::test {

inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* const given = std::getenv("TERN_TEST_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "TERN_TEST_SEED=" << chosen << std::endl;
    return chosen;
  }();
  return value;
}

class Random {
 public:
  explicit Random(std::uint64_t stream = 0) : engine_(seed() + stream * 7919) {}
  // 0 .. bound - 1
  std::uint64_t below(std::uint64_t bound) {
    return std::uniform_int_distribution<std::uint64_t>(0, bound - 1)(engine_);
  }
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool one_in(int chances) { return below(static_cast<std::uint64_t>(chances)) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace tern::test
