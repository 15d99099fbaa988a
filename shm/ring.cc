// shm/ring.cc - the less frequent half of the ring; see ring.h.
#include "shm/ring.h"

#include <immintrin.h>

#include "core/clock.h"

namespace tern::shm {

// Not inlined: what it needs registers and a frame for shall not burden the common case.
[[gnu::noinline]] bool Producer::push_rare(std::uint64_t context, std::uint64_t source_and_tag,
                                           const std::byte* body, std::size_t size) {
  const wire::EagerWords head = wire::eager_words(context, source_and_tag);
  return push(CellKind::kMessage, std::as_bytes(std::span(head)), {body, size});
}

bool Producer::refresh_cells() {
  consumed_cells_ = ring_->consumed.cells.load(std::memory_order_acquire);
  return cells_ - consumed_cells_ < kCells;
}

bool Producer::push_data(std::span<const std::byte> body) {
  const std::uint64_t start = place_body(data_, body.size());
  const std::uint64_t end = start + body.size();
  if (end - consumed_data_ > kDataBytes) {
    consumed_data_ = ring_->consumed.data_bytes.load(std::memory_order_acquire);
    if (end - consumed_data_ > kDataBytes) return false;
  }
  std::byte* const place = ring_->data + start % kDataBytes;
  if (nearness_.wants(body.size())) [[unlikely]] {
    const std::uint64_t began = fine_ns();
    std::memcpy(place, body.data(), body.size());
    _mm_mfence();
    nearness_.add(body.size(), fine_ns() - began);
  } else {
    std::memcpy(place, body.data(), body.size());
  }
  data_ = end;
  return true;
}

// The lines of the next body are still in the consumer's cache, and getting each of them for
// writing takes as long as a message. A body of the same size is likely next: ask for its lines
// now, while there is time. Not when the consumer lags behind: it may be reading just there. And
// not when the cache is shared: that would only take the other core's time.
void Producer::prefetch_next(std::size_t size) {
  if (cells_ - consumed_cells_ > kCells / 2 || nearness_.near()) return;
  const std::uint64_t start = place_body(data_, size);
  std::byte* const body = ring_->data + start % kDataBytes;
  for (std::size_t line = 0; line < size; line += 64) {
    asm volatile("prefetchw %0" : : "m"(body[line]));
  }
}

std::span<const std::byte> Consumer::next_data(std::size_t size) {
  const std::uint64_t start = place_body(data_, size);
  data_ = start + size;
  // The body's lines are in the producer's cache: have them on their way while the message is
  // matched.
  const std::byte* const body = ring_->data + start % kDataBytes;
  for (std::size_t line = 0; line < size && line < 512; line += 64) __builtin_prefetch(body + line);
  return {ring_->data + start % kDataBytes, size};
}

void Consumer::report() {
  // Release: what was read is read before the producer may overwrite it.
  ring_->consumed.data_bytes.store(data_, std::memory_order_release);
  ring_->consumed.cells.store(cells_, std::memory_order_release);
  reported_cells_ = cells_;
  reported_data_ = data_;
}

}  // namespace tern::shm
