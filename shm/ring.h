// shm/ring.h - the two ends of a ring: one producer, one consumer, one cache line per small
// message.
//
// The consumer polls the line in which the next message will appear, so a small message costs one
// transfer of one line between two cores, the least the hardware can do. Bodies that do not fit the
// cell go through the data area. Positions count up for ever; a cell's or byte's place is its
// position modulo the size.
// Threading: one thread per end. Failure: the consumer reports impossible contents, never trusts
// them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "core/small_copy.h"
#include "shm/layout.h"

namespace tern::shm {

class Producer {
 public:
  explicit Producer(Ring& ring) : ring_(&ring) {}

  // Publishes one message; false when the ring is full (nothing happened).
  // Preconditions: head <= kInlineBytes, body <= kMaxBodyBytes.
  bool push(CellKind kind, std::span<const std::byte> head, std::span<const std::byte> body) {
    if (cells_ - consumed_cells_ == kCells && !refresh_cells()) return false;
    Cell& cell = ring_->cells[cells_ % kCells];
    const bool small = body.size() <= kInlineBytes - head.size();
    if (small) [[likely]] {
      small_copy(cell.bytes + head.size(), body.data(), body.size());
    } else if (!push_data(body)) {
      return false;
    }
    if (head.size() == sizeof(std::uint64_t[3])) [[likely]] {
      std::uint64_t words[3];
      std::memcpy(words, head.data(), sizeof words);
      std::memcpy(cell.bytes, words, sizeof words);
    } else {
      small_copy(cell.bytes, head.data(), head.size());
    }
    cell.kind = static_cast<std::uint8_t>(kind);
    cell.head_bytes = static_cast<std::uint8_t>(head.size());
    cell.body_bytes = static_cast<std::uint16_t>(body.size());
    ++cells_;
    // Pairs with the acquire in Consumer::peek().
    cell.sequence.store(static_cast<std::uint32_t>(cells_), std::memory_order_release);
    if (!small) prefetch_next(body.size());
    return true;
  }

  Ring& ring() const { return *ring_; }
  // True when the consumer has taken everything.
  bool empty() const { return ring_->consumed.cells.load(std::memory_order_acquire) == cells_; }

 private:
  bool refresh_cells();
  bool push_data(std::span<const std::byte> body);
  void prefetch_next(std::size_t size);

  Ring* ring_;
  std::uint64_t cells_ = 0;           // Next position.
  std::uint64_t consumed_cells_ = 0;  // As last read.
  std::uint64_t data_ = 0;            // Next byte position in the data area.
  std::uint64_t consumed_data_ = 0;
};

class Consumer {
 public:
  explicit Consumer(Ring& ring) : ring_(&ring) {}

  struct Message {
    CellKind kind;
    std::span<const std::byte> head;
    std::span<const std::byte> body;
  };

  // Whether there is a next message.
  bool ready() const {
    return ring_->cells[cells_ % kCells].sequence.load(std::memory_order_acquire) ==
           static_cast<std::uint32_t>(cells_ + 1);
  }
  // Describes the next message, which stays until pop(). Precondition: ready(). False: what lies
  // there cannot have been written by a sound producer.
  bool read(Message& message) {
    const Cell& cell = ring_->cells[cells_ % kCells];
    // Read once: the other side could change them under us.
    const std::size_t head = cell.head_bytes;
    const std::size_t body = cell.body_bytes;
    message.kind = static_cast<CellKind>(cell.kind);
    if (head > kInlineBytes || body > kMaxBodyBytes) return false;
    message.head = {cell.bytes, head};
    if (head + body <= kInlineBytes) [[likely]] {
      message.body = {cell.bytes + head, body};
    } else {
      message.body = next_data(body);
    }
    return true;
  }
  // Gives the cell (and its body) back. Reported to the producer in batches: a line that both write
  // for every message would cost as much as the message.
  void pop() {
    ++cells_;
    if (cells_ - reported_cells_ >= kCells / 4 || data_ - reported_data_ >= kDataBytes / 4)
      report();
  }
  // Tells the producer where the consumer is; also called when idle.
  void report();
  bool all_reported() const { return reported_cells_ == cells_; }
  Ring& ring() const { return *ring_; }

 private:
  std::span<const std::byte> next_data(std::size_t size);

  Ring* ring_;
  std::uint64_t cells_ = 0;
  std::uint64_t data_ = 0;
  std::uint64_t reported_cells_ = 0;
  std::uint64_t reported_data_ = 0;
};

// Where a body of `size` bytes begins that is to follow byte position `position`: bodies do not
// wrap, and begin on a cache line. Both ends compute it, so it need not be sent.
inline std::uint64_t place_body(std::uint64_t position, std::size_t size) {
  const std::uint64_t start = (position + 63) & ~std::uint64_t{63};
  const std::size_t left = kDataBytes - start % kDataBytes;
  return size <= left ? start : start + left;
}

}  // namespace tern::shm
