// verbs/link.h - a fabric's end towards one peer: what outlives queue pairs, and the current one.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "core/connector.h"
#include "core/fabric.h"
#include "core/layout.h"
#include "core/registration.h"
#include "core/replay.h"
#include "core/wire.h"
#include "verbs/constants.h"
#include "verbs/signal.h"
#include "verbs/wire.h"

namespace tern::verbs {

// Transfers on one of a connection's queue pairs.
struct TransferLane {
  using Kind = replay::TransferRecord::Kind;
  replay::TransferWindow& of(Kind kind) { return kind == Kind::kRead ? reads : writes; }
  std::uint32_t& posted(Kind kind) { return kind == Kind::kRead ? reads_posted : writes_posted; }

  replay::TransferWindow reads;
  replay::TransferWindow writes;
  std::uint32_t reads_posted = 0;  // Pieces under way.
  std::uint32_t writes_posted = 0;
};

// A get or put that may have to be taken up again on another queue pair.
struct TransferJob : replay::TransferRecord {
  static constexpr std::uint64_t kNotAnnounced = UINT64_MAX;  // `after` until the head has left.

  DataView local;
  RemoteSpan remote;
  std::size_t begin = 0;  // Of the data: where this one begins; not 0 where it is a part.
  std::size_t size = 0;
  std::size_t end = 0;  // size, and a byte that confirms it where that is necessary (transfers.cc).
  std::size_t posted = 0;                           // Of end.
  std::size_t finished = 0;                         // Likewise.
  std::size_t confirmed = 0;                        // finished, before the last piece.
  std::array<std::uint32_t, kTransfersMax> pieces;  // Sizes of those under way, a ring.
  std::uint32_t pieces_posted = 0;
  std::uint32_t pieces_finished = 0;
  Region* region = nullptr;
  std::uint32_t op = 0;
  TransferJob* part = nullptr;   // What the second port takes of it, while it is not finished.
  TransferJob* whole = nullptr;  // Of which this is a part.
  TransferLane* lane = nullptr;  // Where it is listed.
  std::size_t head_bytes = 0;    // Of a put: what is sent behind it.
  std::array<std::byte, wire::kMaxHeadBytes> head;

  bool is_announced() const { return after != kNotAnnounced; }
};

class VerbsLink final : public Link, public connect::Connection {
 public:
  VerbsLink(SignalAddress where, std::string card_text, bool reads_preferred)
      : prefers_reads(reads_preferred), signal(where), card(std::move(card_text)) {}
  // What has been announced came over a queue pair, so that the peer's is known.
  bool can_get() const override { return prefers_reads && remote.reads > 0; }
  bool offers_get() const override { return prefers_reads; }
  bool can_put() const override { return true; }

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
  // All transfers are in the first lane; parts of them in the second, where there is a second port.
  TransferLane lane;
  TransferLane rail_lane;
  ibv_qp* rail_qp = nullptr;
  bool has_rail = false;  // Both sides have it, and it is connected.
  std::uint32_t rail_failures = 0;
  std::uint64_t pieces_finished = 0;
  const bool prefers_reads;           // Large messages are read by their receiver.
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
