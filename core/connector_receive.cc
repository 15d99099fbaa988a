// core/connector_receive.cc - what a message of a peer means for the connection: which input of the
// table it is. See connector.h.
#include <algorithm>

#include "core/connector.h"

namespace tern::connect {

void Connector::receive(Connection& connection, const Message& message, Micros now) {
  const Guard guard(*this);
  ++counters_.received;
  if (message.from == connection.peer_ && check_lives(connection, message, now)) {
    switch (message.type) {
      case Message::Type::kRequest:
        on_request(connection, message, now);
        break;
      case Message::Type::kAccept:
        on_accept(connection, message, now);
        break;
      case Message::Type::kBusy:
      case Message::Type::kReject: {
        const bool ours =
            connection.state_ == State::kRequested && message.to_epoch == connection.own_epoch_;
        if (!ours) {
          ++counters_.ignored;
        } else if (message.type == Message::Type::kReject) {
          connection.reason_ = Reason::kRejected;
          feed(connection, Input::kReject, &message, now);
        } else {
          // Full is not dead: it will have room. Trouble with its device may be for good.
          if (message.reason == Reason::kNone) connection.give_up_at_ = kNever;
          connection.reason_ = message.reason;
          feed(connection, Input::kBusy, &message, now);
        }
        break;
      }
      case Message::Type::kConfirm:
      case Message::Type::kClose:
      case Message::Type::kGone:
        on_bound(connection, message, now);
        break;
    }
  } else {
    ++counters_.ignored;
  }
  pump(now);
}

// Whether both processes are the ones that the message is between. Notices a new life of the peer,
// and tells a peer that still speaks to an earlier life of ours.
bool Connector::check_lives(Connection& connection, const Message& message, Micros now) {
  if (message.from_incarnation < connection.peer_incarnation_ || message.from_incarnation == 0) {
    return false;
  }
  if (message.from_incarnation > connection.peer_incarnation_) {
    if (connection.peer_incarnation_ != 0) feed(connection, Input::kRestarted, nullptr, now);
    connection.peer_incarnation_ = message.from_incarnation;
    connection.seen_epoch_ = 0;
    connection.bound_epoch_ = 0;
  }
  if (message.to_incarnation == options_.incarnation) return true;
  if (message.to_incarnation == 0) return message.type == Message::Type::kRequest;
  if (message.type != Message::Type::kGone) send_gone_to_stranger(connection, message);
  return false;
}

void Connector::on_request(Connection& connection, const Message& message, Micros now) {
  const std::uint32_t epoch = message.from_epoch;
  const State state = connection.state_;
  if (epoch == 0 || epoch < connection.seen_epoch_) {
    ++counters_.ignored;
  } else if (state == State::kFailed) {
    feed(connection, Input::kRequest, &message, now);
  } else if (is_bound(state) && epoch == connection.bound_epoch_) {
    feed(connection, Input::kRequestAgain, &message, now);
  } else if (state == State::kRequested && connection.goes_first_) {
    feed(connection, Input::kRequestCrossed, &message, now);
  } else if (has_endpoint(state) || slot_free() || make_room_for(connection, now)) {
    feed(connection, Input::kRequest, &message, now);
  } else {
    connection.reason_ = Reason::kNone;  // Busy for want of a slot.
    feed(connection, Input::kRequestNoSlot, &message, now);
  }
}

void Connector::on_accept(Connection& connection, const Message& message, Micros now) {
  const std::uint32_t epoch = message.from_epoch;
  const State state = connection.state_;
  if (!has_endpoint(state) || message.to_epoch != connection.own_epoch_) {
    send_gone_to_stranger(connection, message);
  } else if (epoch < connection.seen_epoch_) {
    ++counters_.ignored;
  } else if (state == State::kRequested) {
    feed(connection, Input::kAccept, &message, now);
  } else if (epoch == connection.bound_epoch_) {
    feed(connection, Input::kAcceptAgain, &message, now);
  } else {
    feed(connection, Input::kAcceptOther, &message, now);
  }
}

// Messages about a pair of endpoints that exists, in the peer's view.
void Connector::on_bound(Connection& connection, const Message& message, Micros now) {
  using Type = Message::Type;
  const bool same_pair = message.to_epoch == connection.own_epoch_ &&
                         message.from_epoch == connection.bound_epoch_ && message.from_epoch != 0;
  const bool current = same_pair && is_bound(connection.state_);
  if (same_pair && message.type != Type::kConfirm && connection.state_ != State::kFailed) {
    driver_.acknowledged(connection, message.resume.received);
  }
  if (!current) {
    if (message.type == Type::kGone)
      ++counters_.ignored;
    else
      send_gone_to_stranger(connection, message);
    return;
  }
  const Input input = message.type == Type::kConfirm ? Input::kConfirm
                      : message.type == Type::kClose ? Input::kClose
                                                     : Input::kGone;
  feed(connection, input, &message, now);
}

// The peer speaks of an endpoint of ours that is no more: says so, and changes nothing.
void Connector::send_gone_to_stranger(Connection& connection, const Message& message) {
  ++counters_.ignored;
  Message gone;
  gone.type = Message::Type::kGone;
  gone.from = options_.self;
  gone.from_incarnation = options_.incarnation;
  gone.to_incarnation = connection.peer_incarnation_;
  gone.from_epoch = message.to_epoch;
  gone.to_epoch = message.from_epoch;
  // Final for that endpoint only while no later one has received anything.
  if (message.to_incarnation == options_.incarnation && !has_endpoint(connection.state_)) {
    gone.resume = driver_.resume(connection);
  }
  std::array<std::byte, Message::kBytesMax> bytes;
  const std::size_t size = gone.encode(bytes);
  ++counters_.sent;
  driver_.send(connection, std::span(bytes).first(size));
}

// A request goes before dials of our own that nobody has answered yet, when its pair comes before
// theirs in the one order that all processes agree on. So the first pair of all is never put off,
// and processes whose slots wait for each other in a circle get out of it.
bool Connector::make_room_for(const Connection& connection, Micros now) {
  const auto key = [this](const Connection& one) {
    return std::pair(std::min(options_.self, one.peer_), std::max(options_.self, one.peer_));
  };
  Connection* last = nullptr;
  for (Connection* one = requested_.first(); one != nullptr; one = ConnectionList::next(*one)) {
    if (last == nullptr || key(*last) < key(*one)) last = one;
  }
  if (last == nullptr || key(*last) < key(connection)) return false;
  feed(*last, Input::kPreempt, nullptr, now);
  return slot_free();
}

}  // namespace tern::connect
