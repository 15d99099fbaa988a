// core/rendezvous.cc - messages too large to be sent before their receive is known.
//
// The sender announces (kRendezvous). The matched receiver either gets the data itself (get(): one
// copy, no help from the sender's CPU needed) or clears the sender (kClear) and tells it where its
// memory is, when that has no gaps. The sender then puts the data there (put(): one copy, too), or,
// where neither works, streams it (kData...). A get ends with kFinished, a put with kWritten behind
// it; a stream ends on both sides with its last byte.
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
  if (request.remote_gettable && from.link->can_get()) {
    switch (from.fabric->get(*from.link, request.data, {request.remote_address, request.remote_key},
                             wanted, request.op)) {
      case Post::kDone:
        return finish_transfer(request, Outcome::kOk);
      case Post::kPending:
        return;
      case Post::kPeerDown:
        return finish_transfer(request, Outcome::kPeerLost);
      case Post::kNoCredit:
        break;  // Then the sender's way.
    }
  }
  wire::ClearHead clear{wire::Type::kClear, 0, 0, request.remote_op, request.op, 0, 0, 0, wanted};
  std::byte* const run = request.data.run();
  if (run != nullptr && from.link->can_put()) {
    request.exposure = from.fabric->expose({run, wanted}, clear.key);
  }
  if (request.exposure != nullptr) {
    clear.flags = wire::kPuttable;
    clear.address = reinterpret_cast<std::uint64_t>(run);
  }
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
  if (request == nullptr || !request->is_send || request->peer != &from || request->moved != 0 ||
      from.state != Peer::State::kReady) {
    return drop(from, "clearance for no send");
  }
  request->remote_op = head.receiver_op;
  if ((head.flags & wire::kPuttable) != 0 && put(from, *request, head)) return;
  PendingSend* const send = pending_pool_.get();
  if (send == nullptr) return complete(*request, Outcome::kNoMemory);
  send->request = request;
  send->stage = Stage::kStream;
  enqueue(from, *send);  // The next progress() posts it.
}

// False: not possible, and nothing has been done.
bool Engine::put(Peer& to, Request& request, const wire::ClearHead& head) {
  if (!to.link->can_put()) return false;
  const std::size_t size = std::min<std::size_t>(request.data.bytes(), head.room_bytes);
  const wire::WrittenHead written{wire::Type::kWritten, {}, head.receiver_op};
  if (size == 0 || to.fabric->put(*to.link, std::as_bytes(std::span(&written, 1)), request.data,
                                  {head.address, head.key}, size, request.op) != Post::kPending) {
    return false;
  }
  request.lent = 1;
  request.moved = request.data.bytes();
  return true;
}

void Engine::on_written(Peer& from, const wire::WrittenHead& head) {
  Request* const request = ops_.find(head.receiver_op);
  if (request == nullptr || request->is_send || request->peer != &from ||
      request->exposure == nullptr || request->moved != 0) {
    return drop(from, "data for no receive");
  }
  const std::size_t room = request->data.bytes();
  from.traffic->count(counters::Protocol::kFetched, std::min(request->bytes, room));
  complete(*request, request->bytes > room ? Outcome::kTruncated : Outcome::kOk);
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
