// core/match.h - the posted and the unexpected queue (MPI-5.0 section 3.5, order).
//
// A receive names context, source and tag, the last two possibly "any". There are four kinds of
// pattern (which of the two are wild), and each kind lives under its own keys, so that an arriving
// message looks at most at four chains and a receive at exactly one. Order numbers decide between
// the kinds: the earliest posted receive wins, the earliest arrived message wins.
// Threading: one thread at a time. Allocation: only when the tables grow.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "core/match_hash.h"
#include "core/request.h"

namespace tern {

// A message that arrived before its receive. Owned by the engine (pooled).
struct UnexpectedMessage {
  Envelope envelope;
  Peer* peer = nullptr;
  std::size_t total_bytes = 0;
  std::size_t arrived_bytes = 0;  // Eager: how much of the body is here.
  std::byte* body = nullptr;  // Eager: copy of the body, malloc'ed when it does not fit `small`.
  bool rendezvous = false;
  bool gettable = false;
  bool synchronous = false;
  std::uint32_t sender_op = 0;
  std::uint64_t address = 0;  // Rendezvous: where the data lies at the sender.
  std::uint64_t key = 0;
  std::uint64_t order = 0;     // Of arrival.
  Request* claimed = nullptr;  // A receive that waits for the rest of the body.
  bool taken = false;          // By MPI_Mprobe: out of the queue, owned by its caller.

  // One place per kind of pattern that may look for it.
  std::array<UnexpectedMessage*, 4> prev{};
  std::array<UnexpectedMessage*, 4> next{};
  std::array<std::uint32_t, 4> hash{};

  static constexpr std::size_t kSmallBytes = 128;
  std::array<std::byte, kSmallBytes> small;

  UnexpectedMessage() = default;
  UnexpectedMessage(const UnexpectedMessage&) = delete;
  UnexpectedMessage& operator=(const UnexpectedMessage&) = delete;
  ~UnexpectedMessage() { drop_body(); }

  void drop_body() {
    if (body != small.data()) std::free(body);
    body = nullptr;
  }

  // Makes a recycled message blank; the links are null already, and `small` needs no clearing.
  void reset() {
    peer = nullptr;
    total_bytes = arrived_bytes = 0;
    body = nullptr;
    rendezvous = gettable = synchronous = taken = false;
    sender_op = 0;
    address = key = 0;
    claimed = nullptr;
  }
};

class PostedQueue {
 public:
  void post(Request& request) {
    request.match_order = ++order_;
    if (is_wild(request.envelope)) [[unlikely]]
      count_wild(request, 1);
    table_.append(request);
  }
  void remove(Request& request) {
    if (is_wild(request.envelope)) [[unlikely]]
      count_wild(request, -1);
    table_.remove(request);
  }
  // Takes out the earliest posted receive that this message matches; nullptr if there is none.
  Request* match(const Envelope& message) {
    if (wild_ != 0) [[unlikely]]
      return match_wild(message);
    return table_.size() == 0 ? nullptr : table_.take(message);
  }
  std::size_t size() const { return table_.size(); }
  // Any posted receive for which select() holds, or nullptr. Looks at all of them.
  template <class Select>
  Request* find_if(Select select) const {
    return table_.find_if(select);
  }
  // The order number of the receive that was posted last.
  std::uint64_t last_order() const { return order_; }

  enum Kind { kExact, kAnyTagOnly, kAnySourceOnly, kAnything };
  static std::size_t kind_of(const Envelope& pattern) {
    return (pattern.source == kAnySource ? 2U : 0U) + (pattern.tag == kAnyTag ? 1U : 0U);
  }

 private:
  struct Traits {
    static Request*& prev(Request& r) { return r.match_prev; }
    static Request*& next(Request& r) { return r.match_next; }
    static std::uint32_t& hash(Request& r) { return r.match_hash; }
    static const Envelope& key(const Request& r) { return r.envelope; }
  };

  static bool is_wild(const Envelope& pattern) {
    return pattern.source == kAnySource || pattern.tag == kAnyTag;
  }
  void count_wild(const Request& request, int change);
  Request* match_wild(const Envelope& message);

  MatchHash<Request, Traits> table_;
  std::array<std::size_t, 4> kinds_{};  // But kExact, which nobody asks for.
  std::size_t wild_ = 0;                // The sum of them.
  std::uint64_t order_ = 0;
};

// A kind of pattern is looked after from its first use on: programs without wildcards pay nothing
// for them, and most programs with some use one kind.
class UnexpectedQueue {
 public:
  void add(UnexpectedMessage& message);
  void remove(UnexpectedMessage& message);
  // The earliest arrived message that matches, left in the queue; nullptr if there is none.
  UnexpectedMessage* find(const Envelope& pattern);
  std::size_t size() const { return exact_.size(); }
  // Any message for which select() holds, or nullptr. Looks at all of them.
  template <class Select>
  UnexpectedMessage* find_if(Select select) const {
    return exact_.find_if(select);
  }

 private:
  // The key under which a message stands for patterns of one kind.
  template <std::size_t kKind>
  struct Traits {
    static UnexpectedMessage*& prev(UnexpectedMessage& m) { return m.prev[kKind]; }
    static UnexpectedMessage*& next(UnexpectedMessage& m) { return m.next[kKind]; }
    static std::uint32_t& hash(UnexpectedMessage& m) { return m.hash[kKind]; }
    static Envelope key(const UnexpectedMessage& m) {
      return {m.envelope.context, (kKind & 2U) != 0 ? kAnySource : m.envelope.source,
              (kKind & 1U) != 0 ? kAnyTag : m.envelope.tag};
    }
  };

  // Visits the tables of wildcards that are in use.
  template <class Visit>
  void for_wild(Visit visit) {
    if (used_[PostedQueue::kAnyTagOnly]) visit(any_tag_);
    if (used_[PostedQueue::kAnySourceOnly]) visit(any_source_);
    if (used_[PostedQueue::kAnything]) visit(anything_);
  }
  [[gnu::cold]] void begin_to_use(std::size_t kind);

  std::array<bool, 4> used_{};
  std::uint64_t order_ = 0;
  MatchHash<UnexpectedMessage, Traits<0>> exact_;
  MatchHash<UnexpectedMessage, Traits<1>> any_tag_;
  MatchHash<UnexpectedMessage, Traits<2>> any_source_;
  MatchHash<UnexpectedMessage, Traits<3>> anything_;
};

}  // namespace tern
