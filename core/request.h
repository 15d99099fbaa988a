// core/request.h - one point-to-point operation in flight.
//
// The caller owns the Request and keeps it, and the memory its DataView names, until done is set.
// Threading: everything here is touched by one thread at a time (the lock of its engine). But
// is_done() may be asked by any thread; true means that the result may be read without the lock,
// and that the Request may go as soon as that lock has been taken once more.
#pragma once
#include <atomic>
#include <cstdint>

#include "core/layout.h"

namespace tern {

struct Peer;
struct UnexpectedMessage;

// What messages are matched on. The values are those of the MPI ABI so that nothing is translated.
inline constexpr std::int32_t kAnySource = -1;
inline constexpr std::int32_t kAnyTag = -2;

struct Envelope {
  std::uint64_t context = 0;  // Communicator (and plane: point-to-point or collective).
  std::int32_t source = 0;    // Sender's rank in that communicator; kAnySource in patterns only.
  std::int32_t tag = 0;       // kAnyTag in patterns only.
  friend bool operator==(const Envelope&, const Envelope&) = default;
};

enum class Outcome : std::uint8_t {
  kOk,
  kTruncated,  // The message was longer than the receive's memory; the memory is full, the rest
               // lost.
  kCancelled,
  kPeerLost,  // The peer died or could not be reached: Peer::why says more.
  kNoMemory,
};

enum class SendMode : std::uint8_t { kStandard, kSynchronous };

struct Request {
  // --- hot: posting, matching, completion ---
  bool done = false;
  Outcome outcome = Outcome::kOk;
  bool synchronous = false;  // Sends: complete only after the match.
  bool matched = false;      // Receives: no longer in the posted queue.
  std::uint32_t op = 0;      // Key in the engine's operation table; 0 = none.
  Envelope envelope;         // Receives: the pattern, then what was matched.
  DataView data;
  std::size_t bytes = 0;  // Receives: length of the message that arrived (may exceed data).
  Peer* peer = nullptr;   // Sends: the destination. Receives: the matched sender.
  // Called once, inside progress or inside the call that started the operation, right after done
  // is set. May start operations and may free the Request; must not progress the engine.
  void (*on_done)(Request&) = nullptr;

  // --- matching: place in the posted queue, owned by core/match ---
  Request* match_prev = nullptr;
  Request* match_next = nullptr;
  std::uint64_t match_order = 0;
  std::uint32_t match_hash = 0;

  // --- rendezvous and fragments ---
  bool is_send = false;
  bool remote_gettable = false;
  std::uint32_t remote_op = 0;       // The other side's key.
  std::size_t moved = 0;             // Bytes transferred so far.
  std::uint32_t lent = 0;            // Sends: pieces of the data that the fabric still needs.
  std::uint64_t remote_address = 0;  // Receives: where the data lies at the sender.
  std::uint64_t remote_key = 0;      // Sends: the key of the own memory.
  void* exposure = nullptr;          // The memory is open to the peer (Fabric::expose).

  bool is_done() const {
    return std::atomic_ref(const_cast<bool&>(done)).load(std::memory_order_acquire);
  }
  // Pairs with is_done().
  void set_done() { std::atomic_ref(done).store(true, std::memory_order_release); }

  // Makes a finished Request ready for another start.
  void reset() {
    done = false;
    outcome = Outcome::kOk;
    synchronous = matched = is_send = false;
    op = 0;
    bytes = moved = 0;
    lent = 0;
    peer = nullptr;
  }
};

}  // namespace tern
