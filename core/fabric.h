// core/fabric.h - all that the engine asks of a transport.
//
// A fabric moves bytes between this process and its peers. It knows no tags, communicators or
// rendezvous; those are the engine's. Every fabric passes tests/unit/fabric_conformance.h, which
// is this contract in executable form.
// Threading: one thread at a time (the MPI layer's entry lock). No call blocks or throws, nor, once
// the peer is connected, allocates.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/card.h"
#include "core/ids.h"
#include "core/layout.h"
#include "core/shared_memory.h"

namespace tern {

struct Peer;     // The engine's record of a peer: an opaque name to fabrics.
class Doorbell;  // core/doorbell.h
struct DoorbellWord;

enum class [[nodiscard]] Post : std::uint8_t{
    kDone,      // The bytes are copied; the caller owns its buffer again.
    kPending,   // The buffer is lent to the fabric until on_complete(op).
    kNoCredit,  // Nothing was posted. Retry after poll() has been called.
    kPeerDown,  // Nothing was posted, now or ever: on_peer_down() says why.
};

// What a fabric reports, only from inside poll(). The sink may post; it must not poll.
class FabricSink {
 public:
  // A process that may be unknown so far has opened a link to us and shown its card (card.h);
  // returns the engine's record, or nullptr when the card is unusable (the link is to be dropped).
  virtual Peer* on_contact(std::string_view card) = 0;
  // One message, as sent. Both spans are lent for the call.
  virtual void on_message(Peer& from, std::span<const std::byte> head,
                          std::span<const std::byte> body) = 0;
  // Exactly once per kPending.
  virtual void on_complete(std::uint32_t op, bool ok) = 0;
  // The link is dead; `why` is a sentence for people. After its last completion.
  virtual void on_peer_down(Peer& peer, std::string_view why) = 0;
  // The same where the process has certainly ended.
  virtual void on_peer_ended(Peer& peer, std::string_view why) { on_peer_down(peer, why); }

 protected:
  ~FabricSink() = default;  // The sink owns the fabric, never the reverse.
};

// A fabric's end towards one peer. Created by Fabric::connect, owned by the fabric.
class Link {
 public:
  virtual ~Link() = default;
  // True when get() works on this link (single-copy allowed, RDMA read offered) and is the way to
  // receive large messages.
  virtual bool can_get() const = 0;
  // Whether the memory of large messages is to be exposed to the peer's get() before it asks.
  virtual bool offers_get() const { return true; }
  // True when put() works on this link, in both directions.
  virtual bool can_put() const { return false; }
  // Whether a message this long, above eager_max_bytes, had better go eagerly now; for fabrics
  // where that differs from peer to peer. Asked before each such message, unless TERN_EAGER_MAX
  // rules.
  virtual bool prefers_eager(std::size_t) { return false; }
};

struct FabricLimits {
  std::size_t max_head_bytes = 64;
  std::size_t max_body_bytes = 0;   // Of one send().
  std::size_t fragment_bytes = 0;   // Best body size for pipelining a longer message.
  std::size_t eager_max_bytes = 0;  // Above: rendezvous pays.
  // Messages longer than this are sent by lend() rather than send(), where they are in one piece.
  std::size_t copied_max_bytes = SIZE_MAX;
};

// Where remote memory lies, as its owner described it.
struct RemoteSpan {
  std::uint64_t address = 0;
  std::uint64_t key = 0;
};

class Fabric {
 public:
  virtual ~Fabric() = default;  // Precondition: no operation is pending.

  virtual std::string_view name() const = 0;
  virtual FabricLimits limits() const = 0;  // Constant for the fabric's lifetime.

  // This process's address on the fabric, for its business card (card.h); empty = not reachable.
  virtual std::string address() const = 0;

  // The encoded card of this process, shown to peers at contact. Called once, before connect().
  virtual void set_own_card(std::string_view card) = 0;

  // Empty when the owner of `card` can be reached over this fabric, else the reason why not.
  virtual std::string why_unreachable(const Card& card) const = 0;

  // Starts a link; returns at once. Messages sent before the peer answered wait inside the fabric
  // or get kNoCredit. nullptr when it failed for good, with a sentence in `why`.
  virtual Link* connect(Peer& peer, const Card& card, std::string& why) = 0;

  // Sends head then body as one message, in order with earlier sends on this link. Copies, so never
  // kPending. Preconditions: head <= max_head_bytes, body <= max_body_bytes.
  virtual Post send(Link& link, std::span<const std::byte> head,
                    std::span<const std::byte> body) = 0;

  // Like send(), but the body need not be copied: kPending, and on_complete(op) when it is the
  // caller's again. A failed one is followed by on_peer_down().
  virtual Post lend(Link& link, std::span<const std::byte> head, std::span<const std::byte> body,
                    std::uint32_t) {
    return send(link, head, body);
  }

  // send() of one small message as the engine makes most of them: the head is
  // wire::eager_words(context, source, tag). A fabric whose speed depends on it overrides this.
  virtual Post send_eager(Link& link, std::uint64_t context, std::uint64_t source_and_tag,
                          const std::byte* body, std::size_t body_bytes);

  // Copies size bytes at the peer's `from` to the first bytes of `to`; kDone, or kPending and
  // on_complete(op). kNoCredit also where `to` has gaps that had better be filled by unpacking.
  // What `to` refers to stays as it is until then.
  virtual Post get(Link& link, const DataView& to, RemoteSpan from, std::size_t size,
                   std::uint32_t op) = 0;

  // The reverse: copies the first `size` bytes of `from` to the peer's `to`, and sends `head` as a
  // message behind them: it is there when the bytes are. kPending and on_complete(op) when all
  // bytes are there; kNoCredit as with get().
  virtual Post put(Link&, std::span<const std::byte>, const DataView&, RemoteSpan, std::size_t,
                   std::uint32_t) {
    return Post::kNoCredit;
  }

  // Opens memory for the get() or the put() of peers, who are about to be told: returns what
  // conceal() takes and sets the key for its RemoteSpan; nullptr when that cannot be.
  virtual void* expose(std::span<const std::byte>, std::uint64_t& key) {
    key = 0;
    return this;
  }
  virtual void conceal(void*) {}

  // True where threads of this host's kernel do the work of a device (soft-RoCE), on its cores.
  virtual bool works_on_cores() const { return false; }

  // Handles what has arrived; returns how many events. Zero means idle, never failure.
  virtual int poll(FabricSink& sink) = 0;

  // True when every peer that was sent to can still read what was sent after this process is gone.
  virtual bool drained() const = 0;

  // For processes of other jobs, which come and go. A fabric that leaves these as they are keeps
  // its links until it is destroyed.
  //
  // A sentence when the owner of `card` has certainly ended; empty when it lives or nobody knows.
  virtual std::string why_gone(const Card&) const { return {}; }
  // Says goodbye behind everything sent on this link and destroys it. False: not possible yet.
  virtual bool close(Link&) { return false; }
  // Frees what is held for messages from `peer`; false while more may come. `gone`: the process has
  // ended, so everything about it is freed, its link and its copies as well, whatever their state.
  virtual bool release(const Peer&, bool gone) { return gone; }
  // This process has no business with anybody any more and is about to end: a fabric that looks
  // whether its peers live must not take that for their death.
  virtual void leave() {}

  // Memory for this process and those of its host that join with the key, as long as it is not
  // closed. nullptr: the fabric has none, or (join) there is none of that size behind the key.
  virtual std::unique_ptr<SharedMemory> share(std::size_t, std::uint64_t& key) {
    key = 0;
    return nullptr;
  }
  virtual std::unique_ptr<SharedMemory> join(std::uint64_t, std::size_t) { return nullptr; }
  // The word that wakes the process at the other end of the link when it is rung, as long as the
  // link is there; nullptr where there is none to be seen.
  virtual DoorbellWord* bell_of(Link&) { return nullptr; }

  // The word that others ring to wake this process, when the fabric has one that is shared.
  virtual Doorbell* doorbell() { return nullptr; }

  // The bell that wakes this process, for fabrics whose own threads notice what arrives.
  virtual void set_doorbell(DoorbellWord&) {}
  // The bell is armed and this process is about to sleep, after one more poll(): what arrives from
  // now on must ring. Returns how long it may sleep without a ring.
  virtual std::uint32_t before_sleep() { return UINT32_MAX; }
};

}  // namespace tern
