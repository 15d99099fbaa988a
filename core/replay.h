// core/replay.h - numbers the messages of one peer, so that a connection can break and nothing is
// lost, doubled or out of order; and bounds how many the receiver must have room for.
//
// One SendWindow and one ReceiveWindow per peer. They outlive connections: endpoints come and go
// below them, and numbers go on. Numbers are 64 bits; 32 of them travel.
// Who owns what: records belong to the caller and are linked here while their message may have to
// be sent again. No allocation, no clock; a few instructions per message. Threading: one thread at
// a time. Failure: none here; a gap in the numbers is the caller's to judge (the connection has to
// be broken and made again).
//
// The life of a message:   record = ...; window.push(record)    gets the next number
//                          post it with stamp(): its number, and what has come from the peer
//                          acknowledge() by a stamp that comes back: the record is free again
// After a reconnection:    resume() with what the peer says it has; then, before anything new,
//                          while (record = window.next_repeat()) post it again
// The other way round:     arrive(), deliver, release(); then, and when a connection comes up,
//                          if (is_bare_due()) post bare_stamp()
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/connect_message.h"

namespace tern::replay {

using connect::Resume;

// What travels in the head of each message, and alone in a bare acknowledgement (number = 0: those
// are neither numbered nor repeated).
struct Stamp {
  std::uint32_t number = 0;
  std::uint32_t received = 0;  // I have all of yours up to this one.
  std::uint32_t limit = 0;     // I have room for all of yours up to this one.
};

// The full number of which `low` are the low 32 bits, nearest to `near`.
constexpr std::uint64_t widen(std::uint32_t low, std::uint64_t near) {
  const auto step = static_cast<std::int32_t>(low - static_cast<std::uint32_t>(near));
  return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(step));
}

// A message that is kept until it is acknowledged. The caller's record derives from it.
struct SendRecord {
  SendRecord* next = nullptr;
  std::uint64_t number = 0;
};

class SendWindow {
 public:
  // Whether a new message may be posted: the receiver has room, and nothing is to be repeated
  // first.
  bool can_send() const { return last_number_ < limit_ && repeat_ == nullptr; }

  // Numbers the record and keeps it. Precondition: can_send(); the caller posts it now.
  void push(SendRecord& record) {
    record.number = ++last_number_;
    record.next = nullptr;
    if (last_ != nullptr)
      last_->next = &record;
    else
      first_ = &record;
    last_ = &record;
  }

  // Takes in a stamp of the peer's. Returns the records that are acknowledged by it, linked in
  // order, or nullptr; they are the caller's again. Old stamps do nothing, impossible ones neither.
  SendRecord* acknowledge(const Stamp& stamp) {
    const std::uint64_t limit = widen(stamp.limit, limit_);
    if (limit > limit_) limit_ = limit;
    return acknowledge_to(widen(stamp.received, acknowledged_));
  }
  SendRecord* acknowledge_to(std::uint64_t received);

  // A new connection is up and the peer is at `remote`. Returns what it has received already, as
  // acknowledge() does; the rest is to be repeated.
  SendRecord* resume(const Resume& remote);
  // The next message to post again, or nullptr when there is none or no room for it now.
  SendRecord* next_repeat() {
    SendRecord* const record = repeat_;
    if (record == nullptr || record->number > limit_) return nullptr;
    repeat_ = record->next;
    return record;
  }
  bool repeating() const { return repeat_ != nullptr; }

  // Gives all records back and starts at 0: the peer is a new process, or failed.
  SendRecord* reset();

  bool empty() const { return first_ == nullptr; }  // All acknowledged.
  const SendRecord* first() const { return first_; }
  std::uint64_t last_number() const { return last_number_; }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t limit() const { return limit_; }

 private:
  std::uint64_t last_number_ = 0;
  std::uint64_t limit_ = 0;  // 0 until the first connection is up.
  std::uint64_t acknowledged_ = 0;
  SendRecord* first_ = nullptr;
  SendRecord* last_ = nullptr;
  SendRecord* repeat_ = nullptr;
};

enum class Arrival : std::uint8_t {
  kNext,       // Deliver it. It holds a receive buffer until release().
  kDuplicate,  // Delivered before: give the buffer back, no release().
  kGap,        // Something before it is missing: the endpoint must be given up.
};

// Credits. The receiver promises room by announcing the highest number it has a buffer for:
// `window` more than the messages whose buffers it has got back. A promise that is lost is made
// again by the next stamp, and none is ever taken back while an endpoint lives, so no credit can
// get lost.
//
// Bare acknowledgements need no credit, or two receivers could wait for each other. They are due
// when at least half of the window has become free since the last stamp; as the peer cannot use
// more than one window of numbers without reading them, two of them can be unread at any time (of a
// window of one: one), and one more after a handshake, of whose repeated messages nobody knows
// which one told the peer. So a connection needs buffers(window) receive buffers of a shared queue,
// and nothing ever overruns.
class ReceiveWindow {
 public:
  static constexpr std::uint32_t kBareMax = 3;
  static constexpr std::uint32_t buffers(std::uint32_t window) {
    return window + (window == 1 ? kBareMax - 1 : kBareMax);
  }

  // Messages of this peer that there is room for at a time; at least 1. May be called again while
  // no endpoint exists, or to make it larger at any time.
  void set_window(std::uint32_t window_messages) { window_ = window_messages; }
  std::uint32_t window() const { return window_; }

  Arrival arrive(std::uint32_t number) {
    const std::uint64_t full = widen(number, received_);
    if (full == received_ + 1) [[likely]] {
      received_ = full;
      return Arrival::kNext;
    }
    return full <= received_ ? Arrival::kDuplicate : Arrival::kGap;
  }
  // The buffers of this many messages (in any order) are free again.
  void release(std::uint32_t messages = 1) { released_ += messages; }

  // For a message that is being posted: what to say to the peer. Counts as having said it.
  Stamp stamp(std::uint64_t number) {
    announced_received_ = received_;
    announced_limit_ = released_ + window_;
    return {static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(received_),
            static_cast<std::uint32_t>(announced_limit_)};
  }
  // For a bare acknowledgement that needs no credit. Precondition: is_bare_due().
  Stamp bare_stamp() { return stamp(0); }
  // The peer may soon be, or is, out of room: it must be told now.
  bool is_bare_due() const { return released_ + window_ - announced_limit_ >= (window_ + 1) / 2; }
  // Something has come that the peer does not know to have arrived. It can wait for the next
  // message; where it shall not, it takes a way that uses no receive buffer (a close carries it,
  // too).
  bool has_unannounced() const { return announced_received_ != received_; }

  // A new endpoint is made: what was said before may never have arrived, and what is going to be
  // said by datagrams neither. When the endpoint is up, is_bare_due() may hold at once.
  void begin() { stamp(0); }
  // For a request or accept.
  Resume resume() const { return {received_, released_ + window_}; }
  void reset() { *this = ReceiveWindow(window_); }

  std::uint64_t received() const { return received_; }

  explicit ReceiveWindow(std::uint32_t window_messages = 1) : window_(window_messages) {}

 private:
  std::uint64_t received_ = 0;
  std::uint64_t released_ = 0;
  std::uint64_t announced_received_ = 0;
  std::uint64_t announced_limit_ = 0;
  std::uint32_t window_;
};

// Receive buffers that many peers share: windows are taken from it, so that the sum never exceeds
// what is posted.
class BufferBudget {
 public:
  explicit BufferBudget(std::uint32_t buffers) : free_(buffers) {}
  // Takes room for a window of up to `wanted` messages, and at least 1, with its bare
  // acknowledgements; returns the window, or 0 when there is none left (the connection must wait).
  std::uint32_t take_window(std::uint32_t wanted);
  void give_window(std::uint32_t window);
  void add(std::uint32_t buffers) { free_ += buffers; }
  std::uint32_t free() const { return free_; }

 private:
  std::uint32_t free_;
};

// Reads and writes of remote memory that are under way, in the order in which they were posted.
// They have no number of their own; `after` is the last message posted before.
struct TransferRecord {
  enum class Kind : std::uint8_t { kRead, kWrite };
  TransferRecord* next = nullptr;
  TransferRecord* previous = nullptr;
  std::uint64_t after = 0;
  Kind kind = Kind::kRead;
};

class TransferWindow {
 public:
  // Keeps the record until remove(). `after` = SendWindow::last_number() now.
  void push(TransferRecord& record, std::uint64_t after);
  // It has completed.
  void remove(TransferRecord& record);
  bool empty() const { return first_ == nullptr; }
  TransferRecord* first() const { return first_; }

  // After a reconnection: whether the record has taken effect, because the peer has received a
  // message that followed it on the same endpoint. Such a write must not be repeated: the peer may
  // have put the memory to another use on that message. A read must be, because its data came back
  // or it did not, and nobody else can tell; the peer keeps the memory until we say that we have
  // read it. Repeat the others in order: each before the message number `after` + 1. (Atomic
  // operations cannot be repeated; they are to be carried out by messages, or to fail.)
  static bool has_happened(const TransferRecord& record, std::uint64_t remote_received) {
    return record.kind == TransferRecord::Kind::kWrite && remote_received > record.after;
  }

 private:
  TransferRecord* first_ = nullptr;
  TransferRecord* last_ = nullptr;
};

}  // namespace tern::replay
