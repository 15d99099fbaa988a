// bench/perf/buffer.h - page-aligned message memory and the pattern that proves its contents.
//
// Threading: none needed. Failure: running out of memory ends the program with std::bad_alloc; the
// limit of options.h keeps sizes below that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace tern::perf {

// Page-aligned and touched, so that neither alignment nor page faults enter the figures.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);

  std::byte* data() { return memory_.get(); }
  std::span<std::byte> slice(std::size_t offset, std::size_t bytes) {
    return {memory_.get() + offset, bytes};
  }

 private:
  static constexpr std::size_t kPage = 4096;
  struct Free {
    void operator()(std::byte* memory) const {
      ::operator delete[](memory, std::align_val_t{kPage});
    }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte[], Free> memory_;
};

// Names one message's contents; different seeds and routes give different bytes.
std::uint32_t stream_of(std::uint32_t seed, int source, int destination);

void fill(std::span<std::byte> bytes, std::uint32_t stream);

// Makes every byte differ from what fill() would store, so that a byte that never arrives is seen.
void spoil(std::span<std::byte> bytes, std::uint32_t stream);

std::int64_t count_wrong(std::span<const std::byte> bytes, std::uint32_t stream);

}  // namespace tern::perf
