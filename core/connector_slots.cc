// core/connector_slots.cc - timers, the budget of endpoints and the bound on dials; see
// connector.h.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/connector.h"

namespace tern::connect {

void ConnectionList::append(Connection& connection) {
  connection.listed_ = true;
  connection.next_ = nullptr;
  connection.previous_ = last_;
  (last_ != nullptr ? last_->next_ : first_) = &connection;
  last_ = &connection;
  ++size_;
}

void ConnectionList::remove(Connection& connection) {
  if (!connection.listed_) return;
  connection.listed_ = false;
  (connection.previous_ != nullptr ? connection.previous_->next_ : first_) = connection.next_;
  (connection.next_ != nullptr ? connection.next_->previous_ : last_) = connection.previous_;
  --size_;
}

void TimerHeap::place(std::size_t at, const Entry& entry) {
  heap_[at] = entry;
  entry.connection->timer_place_ = static_cast<std::uint32_t>(at + 1);
}

void TimerHeap::sift_up(std::size_t at) {
  const Entry moving = heap_[at];
  while (at > 0) {
    const std::size_t parent = (at - 1) / 2;
    if (heap_[parent].due <= moving.due) break;
    place(at, heap_[parent]);
    at = parent;
  }
  place(at, moving);
}

void TimerHeap::sift_down(std::size_t at) {
  const Entry moving = heap_[at];
  while (true) {
    std::size_t child = at * 2 + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].due < heap_[child].due) ++child;
    if (moving.due <= heap_[child].due) break;
    place(at, heap_[child]);
    at = child;
  }
  place(at, moving);
}

void TimerHeap::set(Connection& connection, Micros due) {
  connection.due_ = due;
  if (connection.timer_place_ == 0) {
    heap_.push_back({due, &connection});
    return sift_up(heap_.size() - 1);
  }
  heap_[connection.timer_place_ - 1].due = due;
  sift_up(connection.timer_place_ - 1);
  sift_down(connection.timer_place_ - 1);
}

void TimerHeap::clear(Connection& connection) {
  if (connection.timer_place_ == 0) return;
  const std::size_t at = connection.timer_place_ - 1;
  connection.timer_place_ = 0;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (last.connection == &connection) return;
  place(at, last);
  sift_up(at);
  sift_down(last.connection->timer_place_ - 1);
}

void Connector::update_timer(Connection& connection) {
  const Micros due = std::min(connection.again_at_, connection.give_up_at_);
  if (due == kNever)
    timers_.clear(connection);
  else if (due != connection.due_ || connection.timer_place_ == 0)
    timers_.set(connection, due);
}

// Up to a quarter more or less, so that many that began together do not go on together.
Micros Connector::jittered(Micros pause) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return pause - pause / 4 + random_ % (pause / 2 + 1);
}

void Connector::on_timer(Connection& connection, Micros now) {
  if (now >= connection.give_up_at_) {
    feed(connection, connection.wanted_ ? Input::kExpired : Input::kForgotten, nullptr, now);
    return;
  }
  connection.again_at_ = kNever;
  if (connection.state_ == State::kQueued) {  // The pause is over.
    queued_.append(connection);
    update_timer(connection);
    return;
  }
  const bool speaks = find_row(connection.state_, Input::kRetry)->actions[0] != Action::kProbe;
  if (speaks) ++counters_.repeated;
  feed(connection, Input::kRetry, nullptr, now);
}

void Connector::advance(Micros now) {
  const Guard guard(*this);
  while (timers_.first_due() <= now) on_timer(*timers_.first(), now);
  if (now >= evict_again_at_) evict_again_at_ = kNever;
  if (queued_.size() > 0 && !slot_free() && now >= turnover_at_ + options_.give_up_us) {
    fail_stalled(now);
  }
  pump(now);
}

Micros Connector::next_time() const {
  Micros next = std::min(timers_.first_due(), evict_again_at_);
  if (queued_.size() > 0 && !slot_free()) {
    next = std::min(next, turnover_at_ + options_.give_up_us);
  }
  return next;
}

// For a whole deadline no slot has changed hands: those who hold them do not let go.
void Connector::fail_stalled(Micros now) {
  turnover_at_ = now;  // The next in the queue gets another deadline.
  Connection& first = *queued_.first();
  first.reason_ = Reason::kNoSlot;
  feed(first, first.wanted_ ? Input::kExpired : Input::kForgotten, nullptr, now);
}

// Gives free slots to those who wait, and has as many closed as are waited for.
void Connector::pump(Micros now) {
  while (queued_.size() > 0 && slot_free() && requested_.size() < options_.dials_max) {
    feed(*queued_.first(), Input::kGrant, nullptr, now);
  }
  if (std::exchange(starved_, false) && leaving_ == 0) evict_one(now);
  if (slot_free()) return;
  while (leaving_ < queued_.size() && evict_again_at_ == kNever) {
    if (!evict_one(now)) return;
  }
}

// Second chance: a connection that has been used since it was last looked at goes to the back of
// the line. So the path of a message does nothing for this. One that came up and has not been used
// at all is spared for a while, or two that both need the only slot could take it from each other
// for ever.
bool Connector::evict_one(Micros now) {
  Micros spared_until = kNever;
  for (std::size_t looks = 2 * ready_.size(); looks > 0; --looks) {
    Connection& candidate = *ready_.first();
    const std::uint64_t activity = driver_.activity(candidate);
    const bool used = activity != candidate.activity_;
    if (used) candidate.fresh_ = false;
    if (candidate.fresh_ && now < candidate.since_ + options_.hold_us) {
      spared_until = std::min(spared_until, candidate.since_ + options_.hold_us);
    } else if (!used) {
      feed(candidate, Input::kEvict, nullptr, now);
      return true;
    }
    candidate.activity_ = activity;
    ready_.remove(candidate);
    ready_.append(candidate);
  }
  evict_again_at_ = spared_until;
  return false;
}

}  // namespace tern::connect
