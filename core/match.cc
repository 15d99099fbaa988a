// core/match.cc - the less frequent half of matching; see match.h.
#include "core/match.h"

#include <algorithm>
#include <utility>
#include <vector>

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
  message.order = ++order_;
  exact_.append(message);
  for_wild([&message](auto& table) { table.append(message); });
}

void UnexpectedQueue::remove(UnexpectedMessage& message) {
  exact_.remove(message);
  for_wild([&message](auto& table) { table.remove(message); });
}

// The table gets what is there, in the order of arrival.
void UnexpectedQueue::begin_to_use(std::size_t kind) {
  std::vector<UnexpectedMessage*> waiting;
  exact_.find_if([&waiting](UnexpectedMessage& message) {
    waiting.push_back(&message);
    return false;
  });
  std::ranges::sort(waiting, {}, &UnexpectedMessage::order);
  const std::array<bool, 4> used = std::exchange(used_, {});
  used_[kind] = true;
  for_wild([&waiting](auto& table) {
    for (UnexpectedMessage* const message : waiting) table.append(*message);
  });
  used_ = used;
  used_[kind] = true;
}

UnexpectedMessage* UnexpectedQueue::find(const Envelope& pattern) {
  const std::size_t kind = PostedQueue::kind_of(pattern);
  if (kind != PostedQueue::kExact && !used_[kind]) begin_to_use(kind);
  if (size() == 0) return nullptr;
  switch (kind) {
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
