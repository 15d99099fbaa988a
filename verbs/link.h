// verbs/link.h - a fabric's end towards one peer: what outlives queue pairs, and the current one.
#pragma once
#include <cstdint>
#include <string>

#include "core/connector.h"
#include "core/fabric.h"
#include "core/registration.h"
#include "core/replay.h"
#include "verbs/signal.h"
#include "verbs/wire.h"

namespace tern::verbs {

// An RDMA read that may have to be started again on another queue pair.
struct ReadJob : replay::TransferRecord {
  std::byte* to = nullptr;
  RemoteSpan from;
  std::size_t size = 0;
  std::size_t end = 0;     // size, and a byte that confirms it where that is necessary (reads.cc).
  std::size_t posted = 0;  // Of end.
  std::size_t finished = 0;  // Likewise.
  Region* region = nullptr;
  std::uint32_t op = 0;
};

class VerbsLink final : public Link, public connect::Connection {
 public:
  VerbsLink(SignalAddress where, std::string card_text)
      : signal(where), card(std::move(card_text)) {}
  bool can_get() const override { return true; }

  // --- hot: the path of a message ---
  ibv_qp* qp = nullptr;
  std::uint32_t queue_used = 0;  // Entries of the send queue that are not known to be free.
  std::uint32_t unsignaled = 0;  // Of those, since the last one that will report.
  EndpointAddress remote = {};
  replay::SendWindow out;
  replay::ReceiveWindow in;
  Peer* record =
      nullptr;  // The engine's record; nullptr until it has heard of a peer that came to us.
  std::uint32_t since_growth = 0;  // Messages received since the window was last made larger.

  // --- cold ---
  std::uint32_t index = 0;  // Place in the fabric's table.
  std::uint32_t life = 0;   // Number of the current queue pair.
  std::uint32_t packet_number = 0;
  std::uint32_t window_taken = 0;
  Slot* mailbox = nullptr;  // The peer writes Mail there.
  replay::TransferWindow reads;
  std::uint32_t reads_posted = 0;  // Chunks under way.
  std::uint64_t reads_finished = 0;
  bool owes_ack = false;              // In the fabric's list of those.
  bool awaits_ack = false;            // Likewise; or waits for room.
  bool starved = false;               // Had something to send and no room for it at the peer.
  std::uint64_t activity_probed = 0;  // As of the last look at whether the peer is there.
  bool quiescing = false;
  bool sends = false;  // The queue pair is up: acknowledgements may leave, even while it is closed.
  bool was_lost = false;  // A queue pair broke, and none has come up since.
  bool broken = false;    // An error was seen; the connector will be told.
  Mail mail_seen = {};    // As of the last look.
  ibv_wc_status last_error = IBV_WC_SUCCESS;
  SignalAddress signal;
  std::string card;
  std::string why;  // Failed: what happened.
};

}  // namespace tern::verbs
