// core/match.cc - the less frequent half of matching; see match.h.
#include "core/match.h"

namespace tern {

void PostedQueue::count_wild(const Request& request, int change) {
  kinds_[kind_of(request.envelope)] += static_cast<std::size_t>(change);
  wild_ += static_cast<std::size_t>(change);
}

Request* PostedQueue::match_wild(const Envelope& message) {
  Request* best = wild_ < table_.size() ? table_.find(message) : nullptr;
  const auto consider = [&](std::size_t kind, const Envelope& pattern) {
    if (kinds_[kind] == 0) return;
    Request* const found = table_.find(pattern);
    if (found != nullptr && (best == nullptr || found->match_order < best->match_order)) {
      best = found;
    }
  };
  consider(kAnyTagOnly, {message.context, message.source, kAnyTag});
  consider(kAnySourceOnly, {message.context, kAnySource, message.tag});
  consider(kAnything, {message.context, kAnySource, kAnyTag});
  if (best != nullptr) remove(*best);
  return best;
}

void UnexpectedQueue::add(UnexpectedMessage& message) {
  exact_.append(message);
  any_tag_.append(message);
  any_source_.append(message);
  anything_.append(message);
}

void UnexpectedQueue::remove(UnexpectedMessage& message) {
  exact_.remove(message);
  any_tag_.remove(message);
  any_source_.remove(message);
  anything_.remove(message);
}

UnexpectedMessage* UnexpectedQueue::find(const Envelope& pattern) const {
  if (size() == 0) return nullptr;
  switch (PostedQueue::kind_of(pattern)) {
    case PostedQueue::kExact:
      return exact_.find(pattern);
    case PostedQueue::kAnyTagOnly:
      return any_tag_.find(pattern);
    case PostedQueue::kAnySourceOnly:
      return any_source_.find(pattern);
    default:
      return anything_.find(pattern);
  }
}

}  // namespace tern
