// core/peer.h - the engine's record of one peer.
//
// Peers live in one table whatever job they came from. A record exists from first contact on and
// costs nothing per process never talked to.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/counters.h"
#include "core/fabric.h"
#include "core/ids.h"
#include "core/request.h"
#include "core/wire.h"

namespace tern {

// Something that could not be sent at once. Kept in order per peer; pooled.
struct PendingSend {
  PendingSend* next = nullptr;
  std::array<std::byte, wire::kMaxHeadBytes> head;
  std::size_t head_bytes = 0;
  // Data messages: which request, and how far it got. Control messages: nullptr.
  Request* request = nullptr;
  enum class Stage : std::uint8_t {
    kControl,    // head as it is
    kStart,      // a send whose protocol is not chosen yet
    kFragments,  // an eager send with fragments to go
    kStream,     // a rendezvous send that the receiver has cleared
    kTransfer,   // a rendezvous receive that waits for the link to its sender
  } stage = Stage::kControl;
};

// The message that is arriving in fragments from a peer (at most one at a time per peer).
struct IncomingStream {
  Request* request = nullptr;               // It goes straight into a posted receive, or
  UnexpectedMessage* unexpected = nullptr;  // into an unexpected message's body.
  std::size_t total_bytes = 0;
  std::size_t position = 0;
  bool active() const { return total_bytes != 0; }
};

struct alignas(64) Peer {
  enum class State : std::uint8_t {
    kNew,        // Nothing sent yet.
    kResolving,  // The card has been asked for.
    kReady,      // There is a link.
    kFailed,     // `why` says why.
  };

  // --- one cache line: all that the path of a small message looks at ---
  Fabric* fabric = nullptr;
  Link* link = nullptr;
  std::size_t max_body_bytes = 0;  // Copies of the fabric's limits.
  std::size_t eager_max_bytes = 0;
  PendingSend* pending_first = nullptr;
  counters::Traffic* traffic = nullptr;  // Never nullptr where there is a link.
  std::size_t fragment_bytes = 0;
  State state = State::kNew;
  bool in_pending_list = false;

  // --- cold ---
  bool lends = false;  // Long messages are lent to the fabric (FabricLimits::copied_max_bytes).
  ProcessId id;
  PendingSend* pending_last = nullptr;
  Peer* next_pending = nullptr;  // The engine's list of peers with pending sends.

  IncomingStream stream;

  bool ended = false;  // Failed: the process is no more.
  std::string why;  // Failed: what happened. Ready: why the fabrics before this one were rejected.

  // Words of core/meet.h that have arrived and are not taken yet.
  std::uint32_t greetings = 0;  // The peer has connected in advance.
  std::uint32_t answers = 0;    // It has answered.

  counters::Volumes traffic_before{};  // Of `traffic`, when this peer began.
};

}  // namespace tern
