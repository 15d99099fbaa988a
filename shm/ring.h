// shm/ring.h - the two ends of a ring: one producer, one consumer, one cache line per small
// message.
//
// The consumer polls the line in which the next message will appear, so a small message costs one
// transfer of one line between two cores, the least the hardware can do. Bodies that do not fit the
// cell go through the data area. Positions count up for ever; a cell's or byte's place is its
// position modulo its zone's size (layout.h).
// Threading: one thread per end. Failure: the consumer reports impossible contents, never trusts
// them.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "core/small_copy.h"
#include "core/wire.h"
#include "shm/layout.h"
#include "shm/nearness.h"

namespace tern::shm {

// Where one end of a ring is in the cells.
struct Cursor {
  explicit Cursor(Ring& ring) : cells(ring.cells), ring_cells(ring.cells) {}

  Cell& cell() const { return cells[next & mask]; }
  void turn() {
    next_of_other = std::exchange(next, next_of_other);
    zone ^= 1U;
    cells = zone == 0 ? ring_cells : ring_cells + kZoneCells[0];
    mask = kZoneCells[zone] - 1;
  }

  Cell* cells;             // Of the zone that the next cell is in.
  std::uint64_t next = 0;  // Its position there.
  std::uint64_t mask = kZoneCells[0] - 1;
  std::uint64_t next_of_other = 0;
  std::uint32_t zone = 0;
  Cell* ring_cells;
};

class Producer {
 public:
  explicit Producer(Ring& ring) : ring_(&ring), at_(ring) {}

  // Publishes one message; false when the ring is full (nothing happened).
  // Preconditions: head <= kMaxHeadBytes, body <= kMaxBodyBytes.
  bool push(CellKind kind, std::span<const std::byte> head, std::span<const std::byte> body) {
    std::uint8_t turn = 0;
    if (limit_ - at_.next <= 1 && !find_cell(turn)) return false;
    Cell& cell = at_.cell();
    const bool small = body.size() <= kInlineBytes - head.size();
    if (small) [[likely]] {
      small_copy(cell.bytes + head.size(), body.data(), body.size());
    } else if (!push_data(body, cell.bytes + head.size())) {
      return false;
    }
    if (head.size() == sizeof(std::uint64_t[3])) [[likely]] {
      std::uint64_t words[3];
      std::memcpy(words, head.data(), sizeof words);
      std::memcpy(cell.bytes, words, sizeof words);
    } else {
      small_copy(cell.bytes, head.data(), head.size());
    }
    publish(cell, static_cast<std::uint8_t>(kind) | turn, head.size(), body.size());
    if (turn != 0) [[unlikely]]
      turn_zone();
    if (!small) prefetch_next(body.size());
    return true;
  }
  // The same for an eager message (wire::eager_words), in few stores: see mpi_api/at_once.h.
  bool push_eager(std::uint64_t context, std::uint64_t source_and_tag, const std::byte* body,
                  std::size_t size) {
    constexpr std::size_t kHeadBytes = sizeof(wire::EagerWords);
    if (size > kInlineBytes - kHeadBytes || limit_ - at_.next <= 1) [[unlikely]] {
      return push_rare(context, source_and_tag, body, size);
    }
    Cell& cell = at_.cell();
    // Word by word: the compiler would build an array of them on the stack first.
    const wire::EagerWords head = wire::eager_words(context, source_and_tag);
    std::memcpy(cell.bytes, &head[0], sizeof head[0]);
    std::memcpy(cell.bytes + 8, &head[1], sizeof head[1]);
    std::memcpy(cell.bytes + 16, &head[2], sizeof head[2]);
    if (size == sizeof(std::uint64_t)) {
      std::memcpy(cell.bytes + kHeadBytes, body, sizeof(std::uint64_t));
    } else {
      small_copy(cell.bytes + kHeadBytes, body, size);
    }
    publish(cell, static_cast<std::uint8_t>(CellKind::kMessage), kHeadBytes, size);
    return true;
  }
  // Whether bodies go fast; see nearness.h.
  bool near() const { return nearness_.near(); }
  Ring& ring() const { return *ring_; }

 private:
  // How often the producer looks whether it can go back to the first zone, in messages.
  static constexpr std::uint64_t kLookEvery = 32;

  void publish(Cell& cell, unsigned kind, std::size_t head_bytes, std::size_t body_bytes) {
    ++at_.next;
    const CellHeader header{static_cast<std::uint32_t>(at_.next), static_cast<std::uint8_t>(kind),
                            static_cast<std::uint8_t>(head_bytes),
                            static_cast<std::uint16_t>(body_bytes)};
    // Pairs with the acquire in Consumer::header().
    cell.header.store(std::bit_cast<std::uint64_t>(header), std::memory_order_release);
  }
  bool push_rare(std::uint64_t context, std::uint64_t source_and_tag, const std::byte* body,
                 std::size_t size);
  std::uint64_t room_in_other() const;
  bool find_cell(std::uint8_t& turn);
  void turn_zone();
  void set_limit();
  bool push_data(std::span<const std::byte> body, std::byte* said_where);
  bool find_place(std::size_t size, BodyPlace& place);
  void prefetch_next(std::size_t size);

  Ring* ring_;
  Cursor at_;
  std::uint64_t consumed_ = 0;           // Of this zone, as last read.
  std::uint64_t limit_ = kZoneCells[0];  // With one cell left before this, find_cell() is asked.
  std::uint64_t bodies_[kZones]{};       // The end of the last body in each zone.
  std::uint64_t consumed_bodies_[kZones]{};
  Nearness nearness_;
};

class Consumer {
 public:
  explicit Consumer(Ring& ring) : ring_(&ring), at_(ring) {}

  struct Message {
    CellKind kind;
    std::span<const std::byte> head;
    std::span<const std::byte> body;
  };

  // Whether there is a next message.
  bool ready() const { return header().sequence == static_cast<std::uint32_t>(at_.next + 1); }
  // Describes the next message, which stays until pop(). Precondition: ready(); called once each.
  // False: what lies there cannot have been written by a sound producer.
  bool read(Message& message) {
    const Cell& cell = at_.cell();
    const CellHeader said = header();  // Read once: the other side could change it under us.
    const std::size_t head = said.head_bytes;
    const std::size_t body = said.body_bytes;
    message.kind = static_cast<CellKind>(said.kind & ~kTurn);
    turns_ = (said.kind & kTurn) != 0;
    if (head > kMaxHeadBytes || body > kMaxBodyBytes) return false;
    message.head = {cell.bytes, head};
    if (head + body <= kInlineBytes) [[likely]] {
      message.body = {cell.bytes + head, body};
      return true;
    }
    return find_data(cell, head, body, message.body);
  }
  // Gives the cell (and its body) back. Reported to the producer in batches: a line that both write
  // for every message would cost as much as the message.
  void pop() {
    ++at_.next;
    if (turns_) [[unlikely]]
      at_.turn();
    if (++unreported_cells_ >= kReportCells || unreported_bytes_ >= kReportBytes) report();
  }
  Ring& ring() const { return *ring_; }

 private:
  static constexpr std::size_t kReportCells = kZoneCells[0] / 4;
  static constexpr std::size_t kReportBytes = kZoneBytes[0] / 4;

  // Tells the producer where the consumer is.
  void report();
  CellHeader header() const {
    return std::bit_cast<CellHeader>(at_.cell().header.load(std::memory_order_acquire));
  }
  bool find_data(const Cell& cell, std::size_t head_bytes, std::size_t size,
                 std::span<const std::byte>& body);

  Ring* ring_;
  Cursor at_;
  bool turns_ = false;  // The message that was read last is followed by one in the other zone.
  std::size_t unreported_cells_ = 0;
  std::uint64_t bodies_[kZones]{};  // The end of the last body read in each zone.
  std::size_t unreported_bytes_ = 0;
};

}  // namespace tern::shm
