// core/connector.cc - runs the table of core/connect.h; see connector.h. What a message means is
// decided in connector_receive.cc, whose turn it is in connector_slots.cc.
#include "core/connector.h"

#include <algorithm>

#include "core/check.h"

namespace tern::connect {

Connector::Guard::Guard(Connector& connector) : connector_(connector) {
  CHECK(!connector_.inside_);
  connector_.inside_ = true;
}

Connector::Connector(const Options& options, Driver& driver)
    : options_(options), driver_(driver), random_(options.seed * 2 + 1) {
  CHECK(options_.incarnation != 0 && options_.dials_max > 0);
}

Connector::~Connector() { CHECK(peers_.empty()); }

void Connector::attach(Connection& connection, const ProcessId& peer) {
  CHECK(peer != options_.self);
  connection.peer_ = peer;
  connection.goes_first_ = options_.self < peer;
  CHECK(peers_.emplace(peer, &connection).second);
}

void Connector::detach(Connection& connection, Micros now) {
  const Guard guard(*this);
  connection.wanted_ = false;
  feed(connection, Input::kLeave, nullptr, now);
  if (connection.state_ == State::kQueued) enter(connection, State::kIdle, now);
  timers_.clear(connection);
  peers_.erase(connection.peer_);
  pump(now);
}

Connection* Connector::find(const ProcessId& peer) const {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : found->second;
}

void Connector::dial(Connection& connection, Micros now) {
  if (connection.wanted_ || connection.state_ == State::kReady ||
      connection.state_ == State::kFailed) {
    return;
  }
  const Guard guard(*this);
  connection.wanted_ = true;
  if (connection.state_ == State::kClosing) {
    connection.give_up_at_ = now + options_.give_up_us;
    update_timer(connection);
  }
  feed(connection, Input::kDial, nullptr, now);
  pump(now);
}

void Connector::traffic(Connection& connection, Micros now) {
  if (connection.state_ != State::kAccepted) return;
  const Guard guard(*this);
  feed(connection, Input::kConfirm, nullptr, now);
  pump(now);
}

void Connector::watch(Connection& connection, Micros now) {
  const Guard guard(*this);
  if (!connection.is_up() || connection.is_watched()) return;
  connection.again_at_ = now + jittered(options_.probe_us);
  update_timer(connection);
}

void Connector::lost(Connection& connection, Micros now) {
  const Guard guard(*this);
  feed(connection, Input::kLost, nullptr, now);
  pump(now);
}

void Connector::quiet(Connection& connection, Micros now) {
  const Guard guard(*this);
  feed(connection, Input::kQuiet, nullptr, now);
  pump(now);
}

void Connector::close(Connection& connection, Micros now) {
  const Guard guard(*this);
  feed(connection, Input::kEvict, nullptr, now);
  pump(now);
}

void Connector::refuse(Connection& connection, Micros now) {
  const Guard guard(*this);
  connection.reason_ = Reason::kRefused;
  feed(connection, Input::kRefuse, nullptr, now);
  pump(now);
}

// One input, and the ones that follow from it.
void Connector::feed(Connection& connection, Input input, const Message* message, Micros now) {
  while (true) {
    const Row* const row = find_row(connection.state_, input);
    if (row == nullptr) {
      if (message != nullptr) ++counters_.ignored;
      return;
    }
    if (row->to != connection.state_) enter(connection, row->to, now);
    Input follows = Input::kDial;
    bool failed = false;
    for (const Action action : row->actions) {
      if (action == Action::kNone) break;
      failed = !carry_out(connection, action, message, now, follows);
      if (failed) break;
    }
    if (!failed) {
      update_timer(connection);
      if (connection.state_ != State::kIdle || !connection.wanted_) return;
      const bool hopeless = connection.fruitless_ >= options_.fruitless_max;
      if (hopeless) connection.reason_ = Reason::kKeepsBreaking;
      follows = hopeless ? Input::kRefuse : Input::kDial;
      message = nullptr;
    }
    input = follows;
  }
}

// False when the action failed; the rest of its row is left out and `failure` is the next input.
bool Connector::carry_out(Connection& connection, Action action, const Message* message, Micros now,
                          Input& failure) {
  switch (action) {
    case Action::kNone:
      break;
    case Action::kCreate:
      if (!driver_.create_endpoint(connection)) {
        connection.reason_ = Reason::kNoResources;
        starved_ = true;
        failure = Input::kNoEndpoint;
        return false;
      }
      ++connection.own_epoch_;
      ++endpoints_;
      ++counters_.created;
      turnover_at_ = now;
      break;
    case Action::kActivate:
      bind(connection, *message);
      if (!driver_.activate_endpoint(connection, message->blob)) {
        connection.reason_ = Reason::kBadRemote;
        failure = Input::kBadRemote;
        return false;
      }
      break;
    case Action::kDestroy:
      driver_.destroy_endpoint(connection);
      --endpoints_;
      ++counters_.destroyed;
      turnover_at_ = now;
      break;
    case Action::kUp:
      report_up(connection, now);
      break;
    case Action::kQuiesce:
      driver_.quiesce(connection);
      break;
    case Action::kDownLost:
    case Action::kDownClosed:
    case Action::kDownFailed:
    case Action::kDownRestarted:
      report_down(connection, action);
      break;
    case Action::kSendRequest:
      send(connection, Message::Type::kRequest, nullptr);
      break;
    case Action::kSendAccept:
      send(connection, Message::Type::kAccept, nullptr);
      break;
    case Action::kSendConfirm:
      send(connection, Message::Type::kConfirm, nullptr);
      break;
    case Action::kSendClose:
      send(connection, Message::Type::kClose, nullptr);
      break;
    case Action::kSendBusy:
      send(connection, Message::Type::kBusy, message);
      break;
    case Action::kSendReject:
      send(connection, Message::Type::kReject, message);
      break;
    case Action::kSendGone:
      send(connection, Message::Type::kGone, message);
      break;
    case Action::kRepeat: {
      const Micros last = connection.pause_us_;
      const Micros pause =
          last == 0 ? options_.pause_first_us : std::min(last * 2, options_.pause_max_us);
      connection.pause_us_ = static_cast<std::uint32_t>(pause);
      connection.again_at_ = now + jittered(pause);
      break;
    }
    case Action::kPause: {
      const Micros last = connection.backoff_us_;
      const Micros pause =
          last == 0 ? options_.pause_first_us : std::min(last * 2, options_.pause_max_us);
      connection.backoff_us_ = static_cast<std::uint32_t>(pause);
      connection.again_at_ = now + jittered(pause);
      queued_.remove(connection);  // Comes back when the pause is over.
      break;
    }
    case Action::kProbe: {
      const bool again = driver_.probe(connection);
      connection.again_at_ = again ? now + jittered(options_.probe_us) : kNever;
      break;
    }
  }
  return true;
}

// Leaves and joins the lists, and starts or stops what belongs to a state.
void Connector::enter(Connection& connection, State to, Micros now) {
  const State from = connection.state_;
  const auto leaves = [](State state) {
    return state == State::kDraining || state == State::kClosing || state == State::kYielding;
  };
  if (from == State::kQueued) queued_.remove(connection);
  if (from == State::kRequested) requested_.remove(connection);
  if (from == State::kReady) ready_.remove(connection);
  if (leaves(from)) --leaving_;
  connection.state_ = to;
  if (to == State::kQueued) queued_.append(connection);
  if (to == State::kRequested) requested_.append(connection);
  if (to == State::kReady) ready_.append(connection);
  if (leaves(to)) ++leaving_;

  connection.again_at_ = kNever;
  connection.pause_us_ = 0;
  if (to == State::kIdle || to == State::kFailed) {
    connection.give_up_at_ = kNever;
    connection.backoff_us_ = 0;
  }
  const bool waits_for_peer = to == State::kRequested || to == State::kAccepted ||
                              (to == State::kClosing && connection.wanted_);
  if (waits_for_peer && connection.give_up_at_ == kNever) {
    connection.give_up_at_ = now + options_.give_up_us;
    connection.since_ = now;
    if (connection.reason_ != Reason::kNone) connection.reason_ = Reason::kNone;
  }
}

// Our endpoint belongs to the one that this request or accept describes.
void Connector::bind(Connection& connection, const Message& message) {
  connection.bound_epoch_ = message.from_epoch;
  connection.seen_epoch_ = std::max(connection.seen_epoch_, message.from_epoch);
  connection.remote_ = message.resume;
}

void Connector::report_up(Connection& connection, Micros now) {
  ++counters_.opened;
  const Micros handshake = now - connection.since_;
  counters_.handshake_us_total += handshake;
  connection.handshake_us_ = static_cast<std::uint32_t>(std::min<Micros>(handshake, UINT32_MAX));
  connection.wanted_ = false;
  connection.give_up_at_ = kNever;
  connection.again_at_ = kNever;
  connection.backoff_us_ = 0;
  connection.reason_ = Reason::kNone;
  connection.since_ = now;
  connection.fresh_ = true;
  connection.activity_ = driver_.activity(connection);
  driver_.up(connection, connection.remote_);
}

void Connector::report_down(Connection& connection, Action action) {
  switch (action) {
    case Action::kDownLost:
      ++counters_.lost;
      if (connection.fresh_ && driver_.activity(connection) == connection.activity_)
        ++connection.fruitless_;
      else
        connection.fruitless_ = 0;
      connection.wanted_ |= driver_.down(connection, Down::kLost);
      break;
    case Action::kDownClosed:
      ++counters_.closed;
      connection.fruitless_ = 0;
      connection.wanted_ |= driver_.down(connection, Down::kClosed);
      break;
    case Action::kDownFailed:
      ++counters_.failed;
      connection.wanted_ = false;
      if (connection.reason_ == Reason::kNone) connection.reason_ = Reason::kNoAnswer;
      driver_.down(connection, Down::kFailed);
      break;
    default:
      ++counters_.restarted;
      connection.wanted_ = false;
      connection.fruitless_ = 0;
      connection.reason_ = Reason::kNone;
      driver_.down(connection, Down::kRestarted);
      break;
  }
}

// `answered` is the message that this is the answer to, which names the peer's endpoint.
void Connector::send(Connection& connection, Message::Type type, const Message* answered) {
  using Type = Message::Type;
  Message message;
  message.type = type;
  message.from = options_.self;
  message.from_incarnation = options_.incarnation;
  message.to_incarnation = connection.peer_incarnation_;
  message.from_epoch = connection.own_epoch_;
  if (type != Type::kRequest) {
    message.to_epoch = answered != nullptr ? answered->from_epoch : connection.bound_epoch_;
  }
  if (type == Type::kBusy || type == Type::kReject) message.reason = connection.reason_;
  if (type == Type::kRequest || type == Type::kAccept) {
    driver_.describe_endpoint(connection, message.blob);
  }
  if (type != Type::kConfirm && type != Type::kBusy && type != Type::kReject) {
    message.resume = driver_.resume(connection);
  }
  std::array<std::byte, Message::kBytesMax> bytes;
  const std::size_t size = message.encode(bytes);
  ++counters_.sent;
  driver_.send(connection, std::span(bytes).first(size));
}

std::string_view Connector::reason_text(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      break;
    case Reason::kNoAnswer:
      return "it does not answer";
    case Reason::kNoSlot:
      return "no other connection could be closed to make room for it";
    case Reason::kNoResources:
      return "the device has no resources for another connection";
    case Reason::kBadRemote:
      return "the two ends could not be connected to each other";
    case Reason::kRejected:
      return "it has given this process up";
    case Reason::kRefused:
      return "this process has given it up";
    case Reason::kKeepsBreaking:
      return "each new connection breaks before anything gets through";
  }
  return "nothing is wrong";
}

}  // namespace tern::connect
