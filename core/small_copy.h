// core/small_copy.h - copies of a few bytes without a call.
//
// Small messages are copied twice on their way, and the size is not known to the compiler. For up
// to 128 bytes overlapping moves of fixed size beat the call and the dispatch of memcpy; beyond
// that memcpy is better. Ranges must not overlap.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tern {

namespace detail {

template <std::size_t kBytes>
inline void move_ends(std::byte* to, const std::byte* from, std::size_t size) {
  // The first and the last kBytes; they meet or overlap when kBytes <= size <= 2 * kBytes.
  struct Piece {
    std::byte bytes[kBytes];
  };
  Piece first;
  Piece last;
  std::memcpy(&first, from, kBytes);
  std::memcpy(&last, from + size - kBytes, kBytes);
  std::memcpy(to, &first, kBytes);
  std::memcpy(to + size - kBytes, &last, kBytes);
}

}  // namespace detail

inline void small_copy(std::byte* to, const std::byte* from, std::size_t size) {
  if (size > 128) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    std::size_t at = 0;
    for (; at + 32 < size; at += 16) std::memcpy(to + at, from + at, 16);
    detail::move_ends<16>(to + at, from + at, size - at);
  } else if (size >= 8) {
    detail::move_ends<8>(to, from, size);
  } else if (size >= 4) {
    detail::move_ends<4>(to, from, size);
  } else if (size >= 2) {
    detail::move_ends<2>(to, from, size);
  } else if (size == 1) {
    *to = *from;
  }
}

}  // namespace tern
