// core/send.cc - the sending half of the engine: protocol choice, fragments, pending queues.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/engine.h"

namespace tern {
namespace {

template <class Head>
std::span<const std::byte> bytes_of(const Head& head) {
  return std::as_bytes(std::span(&head, 1));
}

wire::EnvelopeHead envelope_head(wire::Type type, const Request& request) {
  const std::uint8_t flags = request.synchronous ? wire::kSynchronous : 0;
  return {type,
          flags,
          0,
          request.op,
          request.envelope.context,
          request.envelope.source,
          request.envelope.tag};
}

}  // namespace

void Engine::send(Peer& to, const Envelope& envelope, const DataView& data, SendMode mode,
                  Request& request) {
  request.reset();
  request.is_send = true;
  request.envelope = envelope;
  request.data = data;
  request.peer = &to;
  request.synchronous = mode == SendMode::kSynchronous;
  ensure_link(to);
  if (to.state == Peer::State::kFailed) return complete(request, Outcome::kPeerLost);
  Stage stage = Stage::kStart;
  if (to.state == Peer::State::kReady && to.pending_first == nullptr &&
      advance_data(to, request, stage)) {
    return;
  }
  PendingSend* const send = pending_pool_.get();
  if (send == nullptr) return complete(request, Outcome::kNoMemory);
  send->request = &request;
  send->stage = stage;
  enqueue(to, *send);
}

bool Engine::advance(Peer& peer, PendingSend& send) {
  switch (send.stage) {
    case Stage::kControl:
      return peer.fabric->send(*peer.link, {send.head.data(), send.head_bytes}, {}) !=
             Post::kNoCredit;
    case Stage::kTransfer:
      start_transfer(*send.request);
      return true;
    default:
      return advance_data(peer, *send.request, send.stage);
  }
}

bool Engine::advance_data(Peer& peer, Request& request, Stage& stage) {
  if (stage == Stage::kStart && !post_start(peer, request, stage)) return false;
  if (stage == Stage::kStart) return true;  // All in one message.
  return post_fragments(peer, request, stage);
}

// Chooses the protocol and posts the first message. Leaves `stage` at kStart when nothing follows.
bool Engine::post_start(Peer& peer, Request& request, Stage& stage) {
  const std::size_t total = request.data.bytes();
  const bool is_long = total > peer.eager_max_bytes &&
                       (options_.eager_max_bytes != 0 || !peer.link->prefers_eager(total));
  // What is lent has its own end, which must not come before that of a synchronous send.
  const bool lent_and_matched = request.synchronous && peer.lends && total > peer.max_body_bytes;
  if (is_long || lent_and_matched) return post_rendezvous(peer, request);
  if (request.synchronous && request.op == 0) {
    request.op = ops_.add(request);
    if (request.op == 0) {
      complete(request, Outcome::kNoMemory);
      return true;
    }
  }
  Post posted;
  if (total <= peer.max_body_bytes || (peer.lends && total <= peer.fragment_bytes)) {
    const wire::EnvelopeHead head = envelope_head(wire::Type::kEager, request);
    posted = total <= peer.max_body_bytes ? post(peer, bytes_of(head), request.data, 0, total)
                                          : post_piece(peer, bytes_of(head), request, total);
    if (posted == Post::kNoCredit) return false;
    if (posted == Post::kDone) {
      peer.traffic->count(counters::Protocol::kEager, total);
      request.moved = total;
      if (!request.synchronous && request.lent == 0) complete(request, Outcome::kOk);
    }
  } else {
    const wire::FirstHead head{envelope_head(wire::Type::kEagerFirst, request), total};
    const std::size_t size = std::min(peer.fragment_bytes, total);
    posted = post_piece(peer, bytes_of(head), request, size);
    if (posted == Post::kNoCredit) return false;
    if (posted == Post::kDone) peer.traffic->count(counters::Protocol::kEager, total);
    request.moved = size;
    stage = Stage::kFragments;
  }
  if (posted == Post::kPeerDown) {
    stage = Stage::kStart;
    complete(request, Outcome::kPeerLost);
  }
  return true;
}

bool Engine::post_fragments(Peer& peer, Request& request, Stage stage) {
  const std::size_t total = request.data.bytes();
  const wire::NextHead next{wire::Type::kEagerNext, {}};
  while (request.moved < total) {
    const std::size_t size = std::min(peer.fragment_bytes, total - request.moved);
    const wire::DataHead data{wire::Type::kData, {}, request.remote_op, request.moved};
    const Post posted =
        post_piece(peer, stage == Stage::kStream ? bytes_of(data) : bytes_of(next), request, size);
    if (posted == Post::kNoCredit) return false;
    if (posted == Post::kPeerDown) {
      // What is lent comes back first; then on_peer_down() ends it.
      if (request.lent == 0) complete(request, Outcome::kPeerLost);
      return true;
    }
    request.moved += size;
  }
  // A synchronous eager send still waits for kMatched, and what is lent for on_complete().
  if (request.lent == 0 && (stage == Stage::kStream || !request.synchronous)) {
    complete(request, Outcome::kOk);
  }
  return true;
}

// Posts the next size_bytes of a send; kDone also when they are lent.
Post Engine::post_piece(Peer& peer, std::span<const std::byte> head, Request& request,
                        std::size_t size_bytes) {
  const std::byte* const run = request.data.run();
  if (!peer.lends || run == nullptr) {
    return post(peer, head, request.data, request.moved, size_bytes);
  }
  if (request.op == 0) request.op = ops_.add(request);
  if (request.op == 0) return post(peer, head, request.data, request.moved, size_bytes);
  const Post posted =
      peer.fabric->lend(*peer.link, head, {run + request.moved, size_bytes}, request.op);
  if (posted != Post::kPending) return posted;
  ++request.lent;
  return Post::kDone;
}

bool Engine::post_rendezvous(Peer& peer, Request& request) {
  if (request.op == 0) request.op = ops_.add(request);
  if (request.op == 0) {
    complete(request, Outcome::kNoMemory);
    return true;
  }
  wire::RendezvousHead head{envelope_head(wire::Type::kRendezvous, request), request.data.bytes(),
                            0, 0};
  const std::byte* const run = request.data.run();
  if (run != nullptr && request.exposure == nullptr && peer.link->offers_get()) {
    request.exposure = peer.fabric->expose({run, request.data.bytes()}, request.remote_key);
  }
  if (request.exposure != nullptr) {
    head.envelope.flags |= wire::kGettable;
    head.address = reinterpret_cast<std::uint64_t>(run);
    head.key = request.remote_key;
  }
  const Post posted = peer.fabric->send(*peer.link, bytes_of(head), {});
  if (posted == Post::kDone) {
    peer.traffic->count(counters::Protocol::kRendezvous, request.data.bytes());
  }
  if (posted == Post::kPeerDown) complete(request, Outcome::kPeerLost);
  return posted != Post::kNoCredit;
}

// Posts size_bytes of data from byte `position` on, packing them when they have gaps.
Post Engine::post(Peer& peer, std::span<const std::byte> head, const DataView& data,
                  std::size_t position, std::size_t size_bytes) {
  if (const std::byte* const run = data.run()) {
    return peer.fabric->send(*peer.link, head, {run + position, size_bytes});
  }
  const std::span<std::byte> packed(scratch_.data(), size_bytes);
  pack(data, position, packed);
  return peer.fabric->send(*peer.link, head, packed);
}

void Engine::greet(Peer& peer) {
  send_control(peer, bytes_of(wire::GreetHead{wire::Type::kGreet, {}}));
}

void Engine::send_control(Peer& peer, std::span<const std::byte> head) {
  ensure_link(peer);
  if (peer.state == Peer::State::kFailed) return;
  if (peer.state == Peer::State::kReady && peer.pending_first == nullptr &&
      peer.fabric->send(*peer.link, head, {}) != Post::kNoCredit) {
    return;
  }
  PendingSend* const send = pending_pool_.get();
  CHECK(send != nullptr);  // 64 bytes: without them nothing works any more.
  send->request = nullptr;
  send->stage = Stage::kControl;
  send->head_bytes = head.size();
  std::copy(head.begin(), head.end(), send->head.begin());
  enqueue(peer, *send);
}

void Engine::enqueue(Peer& peer, PendingSend& send) {
  send.next = nullptr;
  (peer.pending_first == nullptr ? peer.pending_first : peer.pending_last->next) = &send;
  peer.pending_last = &send;
  if (!peer.in_pending_list) {
    peer.in_pending_list = true;
    peer.next_pending = pending_peers_;
    pending_peers_ = &peer;
  }
}

void Engine::flush(Peer& peer) {
  while (PendingSend* const send = peer.pending_first) {
    if (peer.state != Peer::State::kReady || !advance(peer, *send)) return;
    // advance() can fail the peer, which empties the queue.
    if (peer.pending_first != send) return;
    peer.pending_first = send->next;
    if (peer.pending_first == nullptr) peer.pending_last = nullptr;
    pending_pool_.put(send);
  }
}

int Engine::flush_all() {
  Peer* peers = std::exchange(pending_peers_, nullptr);
  int moved = 0;
  while (peers != nullptr) {
    Peer& peer = *peers;
    peers = std::exchange(peer.next_pending, nullptr);
    peer.in_pending_list = false;
    const PendingSend* const before = peer.pending_first;
    const std::size_t position =
        before != nullptr && before->request != nullptr ? before->request->moved : 0;
    flush(peer);
    const PendingSend* const after = peer.pending_first;
    if (after != before ||
        (after != nullptr && after->request != nullptr && after->request->moved != position)) {
      ++moved;
    }
    if (after != nullptr && !peer.in_pending_list) {
      peer.in_pending_list = true;
      peer.next_pending = pending_peers_;
      pending_peers_ = &peer;
    }
  }
  return moved;
}

bool Engine::cancel_send(Request& request) {
  if (request.done || request.peer == nullptr || request.lent != 0) return false;
  Peer& peer = *request.peer;
  PendingSend* before = nullptr;
  for (PendingSend* send = peer.pending_first; send != nullptr; before = send, send = send->next) {
    if (send->request != &request) continue;
    if (send->stage != Stage::kStart || request.moved != 0) return false;
    (before == nullptr ? peer.pending_first : before->next) = send->next;
    if (peer.pending_last == send) peer.pending_last = before;
    pending_pool_.put(send);
    complete(request, Outcome::kCancelled);
    return true;
  }
  if (request.op == 0 || (request.moved != 0 && !request.synchronous)) return false;
  send_control(peer, bytes_of(wire::AckHead{wire::Type::kCancel, {}, request.op}));
  return true;
}

// Behind the message that it is about. One that has been matched comes to its own end.
void Engine::on_cancel(Peer& from, const wire::AckHead& head) {
  UnexpectedMessage* const message = unexpected_.find_if([&](const UnexpectedMessage& waiting) {
    return waiting.peer == &from && waiting.sender_op == head.sender_op &&
           (waiting.rendezvous || waiting.synchronous);
  });
  if (message == nullptr) return;
  if (!message->rendezvous && message->arrived_bytes < message->total_bytes) {
    return drop(from, "a message that is taken back before it is here");
  }
  unexpected_.remove(*message);
  free_unexpected(*message);
  send_control(from, bytes_of(wire::AckHead{wire::Type::kCancelled, {}, head.sender_op}));
}

void Engine::on_cancelled(Peer& from, const wire::AckHead& head) {
  Request* const request = ops_.find(head.sender_op);
  if (request == nullptr || !request->is_send || request->peer != &from || request->lent != 0) {
    return drop(from, "the end of no send");
  }
  complete(*request, Outcome::kCancelled);
}

}  // namespace tern
