// shm/ring.cc - the less frequent half of the ring; see ring.h.
#include "shm/ring.h"

#include <immintrin.h>

#include <algorithm>

#include "core/clock.h"

namespace tern::shm {

// Not inlined: what it needs registers and a frame for shall not burden the common case.
[[gnu::noinline]] bool Producer::push_rare(std::uint64_t context, std::uint64_t source_and_tag,
                                           const std::byte* body, std::size_t size) {
  const wire::EagerWords head = wire::eager_words(context, source_and_tag);
  return push(CellKind::kMessage, std::as_bytes(std::span(head)), {body, size});
}

std::uint64_t Producer::room_in_other() const {
  const std::uint32_t other = at_.zone ^ 1U;
  const std::uint64_t consumed = ring_->consumed.cells[other].load(std::memory_order_acquire);
  return consumed + kZoneCells[other] - at_.next_of_other;
}

// Whether there is a free cell. Sets `turn` when the next message shall be the last in this zone:
// in the first because it would be full, in the second because there is room in the first again.
bool Producer::find_cell(std::uint8_t& turn) {
  set_limit();
  const std::uint64_t full = consumed_ + kZoneCells[at_.zone];
  if (at_.next == full) return false;
  const std::uint64_t room = at_.zone != 0 ? kZoneCells[0] / 2 : 1;
  if ((at_.zone != 0 || full - at_.next == 1) && room_in_other() >= room) turn = kTurn;
  return true;
}

void Producer::turn_zone() {
  at_.turn();
  set_limit();
}

void Producer::set_limit() {
  consumed_ = ring_->consumed.cells[at_.zone].load(std::memory_order_acquire);
  limit_ = consumed_ + kZoneCells[at_.zone];
  if (at_.zone != 0) limit_ = std::min(limit_, at_.next + kLookEvery);
}

// Where a body of this size is to lie: in the first zone that has room. Bodies do not wrap, and
// begin on a cache line.
bool Producer::find_place(std::size_t size, BodyPlace& place) {
  for (std::size_t zone = 0; zone < kZones; ++zone) {
    place = {(bodies_[zone] + 63) & ~std::uint64_t{63}, zone};
    const std::size_t left = kZoneBytes[zone] - place.in_zone();
    if (size > left) place.position += left;
    const std::uint64_t end = place.position + size;
    if (end - consumed_bodies_[zone] <= kZoneBytes[zone]) return true;
    consumed_bodies_[zone] = ring_->consumed.bodies[zone].load(std::memory_order_acquire);
    if (end - consumed_bodies_[zone] <= kZoneBytes[zone]) return true;
  }
  return false;
}

bool Producer::push_data(std::span<const std::byte> body, std::byte* said_where) {
  BodyPlace where;
  if (!find_place(body.size(), where)) return false;
  std::memcpy(said_where, &where, sizeof where);
  std::byte* const place = ring_->data + where.offset();
  if (nearness_.wants(body.size())) [[unlikely]] {
    const std::uint64_t began = fine_ns();
    std::memcpy(place, body.data(), body.size());
    _mm_mfence();
    nearness_.add(body.size(), fine_ns() - began);
  } else {
    std::memcpy(place, body.data(), body.size());
  }
  bodies_[where.zone] = where.position + body.size();
  return true;
}

// The lines of the next body are still in the consumer's cache, and getting each of them for
// writing takes as long as a message. A body of the same size is likely next: ask for its lines
// now, while there is time. Not when the consumer lags behind: it may be reading just there. And
// not when the cache is shared: that would only take the other core's time.
void Producer::prefetch_next(std::size_t size) {
  if (at_.next - consumed_ > kZoneCells[0] / 2 || nearness_.near()) return;
  BodyPlace where;
  if (!find_place(size, where)) return;
  std::byte* const body = ring_->data + where.offset();
  for (std::size_t line = 0; line < size; line += 64) {
    asm volatile("prefetchw %0" : : "m"(body[line]));
  }
}

bool Consumer::find_data(const Cell& cell, std::size_t head_bytes, std::size_t size,
                         std::span<const std::byte>& body) {
  BodyPlace where{};
  std::memcpy(&where, cell.bytes + head_bytes, sizeof where);
  if (where.zone >= kZones || where.in_zone() + size > kZoneBytes[where.zone]) return false;
  bodies_[where.zone] = where.position + size;
  unreported_bytes_ += size;
  // The body's lines are in the producer's cache: have them on their way while the message is
  // matched.
  const std::byte* const place = ring_->data + where.offset();
  for (std::size_t line = 0; line < size && line < 512; line += 64) {
    __builtin_prefetch(place + line);
  }
  body = {place, size};
  return true;
}

void Consumer::report() {
  // Release: what was read is read before the producer may overwrite it.
  for (std::size_t zone = 0; zone < kZones; ++zone) {
    ring_->consumed.bodies[zone].store(bodies_[zone], std::memory_order_release);
  }
  ring_->consumed.cells[at_.zone].store(at_.next, std::memory_order_release);
  ring_->consumed.cells[at_.zone ^ 1U].store(at_.next_of_other, std::memory_order_release);
  unreported_cells_ = 0;
  unreported_bytes_ = 0;
}

}  // namespace tern::shm
