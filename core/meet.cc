// core/meet.cc - see meet.h.
#include "core/meet.h"

#include <utility>

#include "core/format.h"

namespace tern {

Meeting::Meeting(Engine& engine, std::vector<Rank> partners, Rank own, PeerOf peer_of,
                 std::uint64_t patience_us)
    : engine_(engine),
      walk_(std::move(partners), own, kUnderWayMax),
      peer_of_(std::move(peer_of)),
      patience_us_(patience_us) {}

bool Meeting::advance(std::uint64_t now_us) {
  if (moved_at_us_ == 0) moved_at_us_ = now_us;
  // Those that have just been started may have met already.
  do {
    if (finish_some()) moved_at_us_ = now_us;
  } while (start_some());
  if (!walk_.done() && now_us - moved_at_us_ > patience_us_) give_up();
  return walk_.done();
}

bool Meeting::finish_some() {
  bool moved = false;
  for (std::size_t i = 0; i < under_way_.size();) {
    const UnderWay one = under_way_[i];
    if (one.peer->state == Peer::State::kFailed) {
      miss(one.partner, one.peer->why);
    } else if (has_met(one)) {
      ++met_;
    } else {
      ++i;
      continue;
    }
    walk_.finished();
    under_way_[i] = under_way_.back();
    under_way_.pop_back();
    moved = true;
  }
  return moved;
}

// Takes the word that the partner has said. Whoever waited has also answered before it goes on:
// nobody may be left waiting for an answer until this process calls MPI again.
bool Meeting::has_met(const UnderWay& one) {
  Peer& peer = *one.peer;
  std::uint32_t& heard = one.dial ? peer.answers : peer.greetings;
  if (heard == 0 || (!one.dial && peer.pending_first != nullptr)) return false;
  --heard;
  return true;
}

bool Meeting::start_some() {
  bool started = false;
  UnderWay one{};
  while (walk_.next(one.partner, one.dial)) {
    one.peer = &peer_of_(one.partner);
    if (one.dial) engine_.greet(*one.peer);
    under_way_.push_back(one);
    started = true;
  }
  return started;
}

void Meeting::miss(Rank partner, const std::string& why) {
  if (missing_++ > 0) return;
  first_missing_ = partner;
  why_ = why;
}

void Meeting::give_up() {
  const std::string why = format("nothing was heard of it for {} s", patience_us_ / 1000000);
  do {
    for (const UnderWay& one : std::exchange(under_way_, {})) {
      miss(one.partner, why);
      walk_.finished();
    }
    UnderWay one{};
    while (walk_.next(one.partner, one.dial)) under_way_.push_back(one);
  } while (!under_way_.empty());
}

}  // namespace tern
