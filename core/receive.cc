// core/receive.cc - the receiving half of the engine: dispatch, matching, fragments.
//
// What arrives was written by another process: sizes, keys and types are checked, and whatever does
// not fit is dropped and counted, never trusted.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/engine.h"
#include "core/small_copy.h"

namespace tern {
namespace {

// An eager message longer than this is not one of ours (TERN_EAGER_MAX is bounded by it).
constexpr std::size_t kLongestEagerBytes = std::size_t{1} << 30;

template <class Head>
bool read_head(std::span<const std::byte> bytes, Head& head) {
  if (bytes.size() != sizeof(Head)) return false;
  std::memcpy(&head, bytes.data(), sizeof(Head));
  return true;
}

Envelope envelope_of(const wire::EnvelopeHead& head) {
  return {head.context, head.source, head.tag};
}

}  // namespace

inline void Engine::note_match(Peer& from, Request& request, const Envelope& envelope,
                               std::size_t total) {
  request.matched = true;
  request.envelope.source = envelope.source;
  request.envelope.tag = envelope.tag;
  request.peer = &from;
  request.bytes = total;
}

// All of the message is here. Precondition: the request is not in the operation table.
inline void Engine::finish_into(Request& request, std::span<const std::byte> body) {
  const std::size_t room = request.data.bytes();
  const std::size_t size = std::min(room, body.size());
  if (std::byte* const run = request.data.run()) {
    small_copy(run, body.data(), size);
  } else {
    unpack(request.data, 0, body.first(size));
  }
  finish(request, request.bytes > room ? Outcome::kTruncated : Outcome::kOk);
}

// The way of most messages: an eager one for a receive that waits, without a call on it.
void Engine::on_message(Peer& from, std::span<const std::byte> head,
                        std::span<const std::byte> body) {
  wire::EnvelopeHead eager;
  if (!read_head(head, eager) || eager.type != wire::Type::kEager) [[unlikely]]
    return on_other_message(from, head, body);
  Request* const request = posted_.match(envelope_of(eager));
  if (request == nullptr) [[unlikely]]
    return keep_eager(from, eager, body);
  note_match(from, *request, envelope_of(eager), body.size());
  if ((eager.flags & wire::kSynchronous) != 0) [[unlikely]]
    acknowledge_match(from, eager.op);
  finish_into(*request, body);
}

void Engine::on_other_message(Peer& from, std::span<const std::byte> head,
                              std::span<const std::byte> body) {
  if (head.size() < sizeof(wire::NextHead)) return drop(from, "short head");
  switch (static_cast<wire::Type>(head[0])) {
    case wire::Type::kEager:
      break;  // Of another size than it should be.
    case wire::Type::kEagerFirst: {
      wire::FirstHead first;
      if (!read_head(head, first)) break;
      return begin_stream(from, first, body);
    }
    case wire::Type::kEagerNext:
      return feed_stream(from, body);
    case wire::Type::kRendezvous: {
      wire::RendezvousHead rendezvous;
      if (!read_head(head, rendezvous)) break;
      return announce(from, rendezvous);
    }
    case wire::Type::kClear: {
      wire::ClearHead clear;
      if (!read_head(head, clear)) break;
      return on_clear(from, clear);
    }
    case wire::Type::kData: {
      wire::DataHead data;
      if (!read_head(head, data)) break;
      return on_data(from, data, body);
    }
    case wire::Type::kWritten: {
      wire::WrittenHead written;
      if (!read_head(head, written)) break;
      return on_written(from, written);
    }
    case wire::Type::kFinished:
    case wire::Type::kMatched: {
      wire::AckHead ack;
      if (!read_head(head, ack)) break;
      return on_ack(from, ack);
    }
    case wire::Type::kCancel:
    case wire::Type::kCancelled: {
      wire::AckHead about;
      if (!read_head(head, about)) break;
      return about.type == wire::Type::kCancel ? on_cancel(from, about) : on_cancelled(from, about);
    }
    case wire::Type::kGreet:
    case wire::Type::kGreeted: {
      wire::GreetHead greet;
      if (!read_head(head, greet)) break;
      return on_greet(from, greet);
    }
  }
  drop(from, "unknown type or wrong head size");
}

void Engine::on_greet(Peer& from, const wire::GreetHead& head) {
  if (head.type == wire::Type::kGreeted) {
    ++from.answers;
    return;
  }
  ++from.greetings;
  const wire::GreetHead answer{wire::Type::kGreeted, {}};
  send_control(from, std::as_bytes(std::span(&answer, 1)));
}

void Engine::drop(Peer&, const char*) { ++dropped_; }

void Engine::receive(Request& request) {
  request.reset();
  if (unexpected_.size() != 0) {
    if (UnexpectedMessage* const message = unexpected_.find(request.envelope)) {
      unexpected_.remove(*message);
      return start_matched(*message, request);
    }
  }
  posted_.post(request);
}

bool Engine::cancel_receive(Request& request) {
  if (request.done || request.matched || request.is_send) return false;
  posted_.remove(request);
  complete(request, Outcome::kCancelled);
  return true;
}

const UnexpectedMessage* Engine::probe(const Envelope& pattern) {
  return unexpected_.find(pattern);
}

UnexpectedMessage* Engine::take(const Envelope& pattern) {
  UnexpectedMessage* const message = unexpected_.find(pattern);
  if (message == nullptr) return nullptr;
  unexpected_.remove(*message);
  message->taken = true;
  return message;
}

void Engine::receive_taken(UnexpectedMessage& message, const DataView& data, Request& request) {
  request.reset();
  request.data = data;
  start_matched(message, request);
}

// A message that no receive waits for.
void Engine::keep_eager(Peer& from, const wire::EnvelopeHead& head,
                        std::span<const std::byte> body) {
  UnexpectedMessage* const message = new_unexpected(from, head, body.size());
  if (message == nullptr) return;
  if (message->body != nullptr && !body.empty()) {
    std::memcpy(message->body, body.data(), body.size());
  }
  message->arrived_bytes = body.size();
  unexpected_.add(*message);
}

void Engine::acknowledge_match(Peer& to, std::uint32_t sender_op) {
  const wire::AckHead ack{wire::Type::kMatched, {}, sender_op};
  send_control(to, std::as_bytes(std::span(&ack, 1)));
}

UnexpectedMessage* Engine::new_unexpected(Peer& from, const wire::EnvelopeHead& head,
                                          std::size_t total_bytes) {
  UnexpectedMessage* const message = unexpected_pool_.get();
  if (message == nullptr) {
    fail_peer(from, "no memory for a message that it sent before a receive was posted");
    return nullptr;
  }
  message->reset();
  message->envelope = envelope_of(head);
  message->peer = &from;
  message->total_bytes = total_bytes;
  message->synchronous = (head.flags & wire::kSynchronous) != 0;
  message->sender_op = head.op;
  if (head.type != wire::Type::kRendezvous) {
    // Without memory the message stands for itself without a body; its receive says so.
    message->body = total_bytes <= UnexpectedMessage::kSmallBytes
                        ? message->small.data()
                        : static_cast<std::byte*>(std::malloc(total_bytes));
  }
  return message;
}

void Engine::free_unexpected(UnexpectedMessage& message) {
  message.drop_body();
  unexpected_pool_.put(&message);
}

// The message is out of the queue; from now on it belongs to the request.
void Engine::start_matched(UnexpectedMessage& message, Request& request) {
  Peer& from = *message.peer;
  note_match(from, request, message.envelope, message.total_bytes);
  if (message.rendezvous) {
    request.remote_op = message.sender_op;
    request.remote_gettable = message.gettable;
    request.remote_address = message.address;
    request.remote_key = message.key;
    free_unexpected(message);
    return start_transfer(request);
  }
  if (message.synchronous) acknowledge_match(from, message.sender_op);
  if (message.arrived_bytes < message.total_bytes) {
    message.claimed = &request;  // feed_stream() finishes it.
    return;
  }
  if (message.body == nullptr) {
    complete(request, Outcome::kNoMemory);
  } else {
    finish_into(request, {message.body, message.total_bytes});
  }
  free_unexpected(message);
}

void Engine::begin_stream(Peer& from, const wire::FirstHead& head,
                          std::span<const std::byte> body) {
  const std::size_t total = head.total_bytes;
  if (from.stream.active() || total > kLongestEagerBytes || body.empty() || body.size() > total) {
    return drop(from, "a fragment out of turn");
  }
  const Envelope envelope = envelope_of(head.envelope);
  IncomingStream stream;
  stream.total_bytes = total;
  stream.request = posted_.match(envelope);
  if (stream.request != nullptr) {
    note_match(from, *stream.request, envelope, total);
    if ((head.envelope.flags & wire::kSynchronous) != 0) {
      acknowledge_match(from, head.envelope.op);
    }
  } else {
    stream.unexpected = new_unexpected(from, head.envelope, total);
    if (stream.unexpected == nullptr) return;
    unexpected_.add(*stream.unexpected);
  }
  from.stream = stream;
  feed_stream(from, body);
}

void Engine::feed_stream(Peer& from, std::span<const std::byte> body) {
  IncomingStream& stream = from.stream;
  // No sender makes empty fragments: they would never end.
  if (!stream.active() || body.empty() || body.size() > stream.total_bytes - stream.position) {
    return drop(from, "a fragment out of turn");
  }
  const std::size_t position = stream.position;
  stream.position += body.size();
  const bool last = stream.position == stream.total_bytes;
  if (Request* const request = stream.request) {
    const std::size_t room = request->data.bytes();
    if (position < room) {
      unpack(request->data, position, body.first(std::min(body.size(), room - position)));
    }
    if (!last) return;
    stream = {};
    return complete(*request, request->bytes > room ? Outcome::kTruncated : Outcome::kOk);
  }
  UnexpectedMessage& message = *stream.unexpected;
  if (message.body != nullptr) std::memcpy(message.body + position, body.data(), body.size());
  message.arrived_bytes = stream.position;
  if (!last) return;
  stream = {};
  if (Request* const request = message.claimed) {
    if (message.body == nullptr) {
      complete(*request, Outcome::kNoMemory);
    } else {
      finish_into(*request, {message.body, message.total_bytes});
    }
    free_unexpected(message);
  }
}

void Engine::announce(Peer& from, const wire::RendezvousHead& head) {
  const Envelope envelope = envelope_of(head.envelope);
  const bool gettable = (head.envelope.flags & wire::kGettable) != 0;
  if (Request* const request = posted_.match(envelope)) {
    note_match(from, *request, envelope, head.total_bytes);
    request->remote_op = head.envelope.op;
    request->remote_gettable = gettable;
    request->remote_address = head.address;
    request->remote_key = head.key;
    return start_transfer(*request);
  }
  UnexpectedMessage* const message = new_unexpected(from, head.envelope, head.total_bytes);
  if (message == nullptr) return;
  message->rendezvous = true;
  message->gettable = gettable;
  message->address = head.address;
  message->key = head.key;
  unexpected_.add(*message);
}

}  // namespace tern
