// core/rendezvous.cc - messages too large to be sent before their receive is known.
//
// The sender announces (kRendezvous). The matched receiver either gets the data itself (get(): one
// copy, no help from the sender's CPU needed) or, where the data has gaps on either side or the
// fabric cannot get, clears the sender to stream it (kClear, kData...). A get ends with kFinished;
// a stream ends on both sides with its last byte.
#include <algorithm>

#include "core/engine.h"

namespace tern {

void Engine::start_transfer(Request& request) {
  Peer& from = *request.peer;
  ensure_link(from);
  if (from.state == Peer::State::kFailed) return complete(request, Outcome::kPeerLost);
  if (from.state != Peer::State::kReady) {
    PendingSend* const wait = pending_pool_.get();
    if (wait == nullptr) return complete(request, Outcome::kNoMemory);
    wait->request = &request;
    wait->stage = Stage::kTransfer;
    return enqueue(from, *wait);
  }
  const std::size_t wanted = std::min(request.bytes, request.data.bytes());
  if (wanted == 0) return finish_transfer(request, Outcome::kOk);
  request.op = ops_.add(request);
  if (request.op == 0) return complete(request, Outcome::kNoMemory);
  std::byte* const run = request.data.run();
  if (request.remote_gettable && run != nullptr && from.link->can_get()) {
    switch (from.fabric->get(*from.link, run, {request.remote_address, request.remote_key}, wanted,
                             request.op)) {
      case Post::kDone:
        return finish_transfer(request, Outcome::kOk);
      case Post::kPending:
        return;
      case Post::kPeerDown:
        return finish_transfer(request, Outcome::kPeerLost);
      case Post::kNoCredit:
        break;  // Stream instead.
    }
  }
  const wire::ClearHead clear{wire::Type::kClear, {}, request.remote_op, request.op, 0};
  send_control(from, std::as_bytes(std::span(&clear, 1)));
}

// The receiver's end of a get.
void Engine::finish_transfer(Request& request, Outcome outcome) {
  if (outcome == Outcome::kOk) {
    Peer& from = *request.peer;
    const wire::AckHead ack{wire::Type::kFinished, {}, request.remote_op};
    send_control(from, std::as_bytes(std::span(&ack, 1)));
    if (from.traffic != nullptr) {
      from.traffic->count(counters::Protocol::kFetched,
                          std::min(request.bytes, request.data.bytes()));
    }
    if (request.bytes > request.data.bytes()) outcome = Outcome::kTruncated;
  }
  complete(request, outcome);
}

void Engine::on_clear(Peer& from, const wire::ClearHead& head) {
  Request* const request = ops_.find(head.sender_op);
  if (request == nullptr || !request->is_send || request->peer != &from || request->moved != 0) {
    return drop(from, "clearance for no send");
  }
  request->remote_op = head.receiver_op;
  PendingSend* const send = pending_pool_.get();
  if (send == nullptr) return complete(*request, Outcome::kNoMemory);
  send->request = request;
  send->stage = Stage::kStream;
  enqueue(from, *send);  // The next progress() posts it.
}

void Engine::on_data(Peer& from, const wire::DataHead& head, std::span<const std::byte> body) {
  Request* const request = ops_.find(head.receiver_op);
  if (request == nullptr || request->is_send || request->peer != &from ||
      head.position != request->moved || body.size() > request->bytes - request->moved) {
    return drop(from, "data for no receive");
  }
  const std::size_t room = request->data.bytes();
  if (head.position < room) {
    unpack(request->data, head.position, body.first(std::min(body.size(), room - head.position)));
  }
  request->moved += body.size();
  if (request->moved < request->bytes) return;
  from.traffic->count(counters::Protocol::kStreamed, request->bytes);
  complete(*request, request->bytes > room ? Outcome::kTruncated : Outcome::kOk);
}

void Engine::on_ack(Peer& from, const wire::AckHead& head) {
  Request* const request = ops_.find(head.sender_op);
  if (request == nullptr || !request->is_send || request->peer != &from) {
    return drop(from, "acknowledgement of no send");
  }
  complete(*request, Outcome::kOk);
}

}  // namespace tern
