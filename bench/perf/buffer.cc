// bench/perf/buffer.cc - implementation of buffer.h.
#include "buffer.h"

#include <algorithm>

namespace tern::perf {
namespace {

// The finaliser of a multiplicative hash: neighbouring inputs give unrelated outputs.
constexpr std::uint32_t mix(std::uint32_t value) {
  value = (value ^ (value >> 16)) * 0x7feb352dU;
  value = (value ^ (value >> 15)) * 0x846ca68bU;
  return value ^ (value >> 16);
}

// Depends on the position as a whole, so that a shifted or swapped piece of data shows.
constexpr std::byte expected(std::uint32_t stream, std::size_t index) {
  return static_cast<std::byte>(mix(stream + static_cast<std::uint32_t>(index)) >> 24);
}

}  // namespace

Buffer::Buffer(std::size_t bytes)
    : bytes_(std::max<std::size_t>(bytes, 1)),
      memory_(static_cast<std::byte*>(::operator new[](bytes_, std::align_val_t{kPage}))) {
  std::fill_n(memory_.get(), bytes_, std::byte{1});
}

std::uint32_t stream_of(std::uint32_t seed, int source, int destination) {
  return mix(mix(mix(seed) + static_cast<std::uint32_t>(source)) +
             static_cast<std::uint32_t>(destination));
}

void fill(std::span<std::byte> bytes, std::uint32_t stream) {
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = expected(stream, i);
}

void spoil(std::span<std::byte> bytes, std::uint32_t stream) {
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = ~expected(stream, i);
}

std::int64_t count_wrong(std::span<const std::byte> bytes, std::uint32_t stream) {
  std::int64_t wrong = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) wrong += bytes[i] != expected(stream, i);
  return wrong;
}

}  // namespace tern::perf
