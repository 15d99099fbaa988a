// core/loopback.cc - see loopback.h.
#include "core/loopback.h"

#include <cstring>
#include <utility>

#include "core/doorbell.h"

namespace tern {

FabricLimits LoopbackFabric::limits() const {
  constexpr std::size_t kEagerMaxBytes = 16384;  // Two copies of less are cheaper than a handshake.
  return {64, kEagerMaxBytes, kEagerMaxBytes, kEagerMaxBytes};
}

std::string LoopbackFabric::why_unreachable(const Card& card) const {
  return card.id == self_ ? std::string() : std::string("only reaches the process itself");
}

Link* LoopbackFabric::connect(Peer& peer, const Card&, std::string&) {
  peer_ = &peer;
  return &link_;
}

Post LoopbackFabric::send(Link&, std::span<const std::byte> head, std::span<const std::byte> body) {
  Message message{{}, head.size()};
  message.bytes.reserve(head.size() + body.size());
  message.bytes.insert(message.bytes.end(), head.begin(), head.end());
  message.bytes.insert(message.bytes.end(), body.begin(), body.end());
  messages_.push_back(std::move(message));
  if (bell_ != nullptr) Doorbell::ring_if_armed(*bell_);
  return Post::kDone;
}

Post LoopbackFabric::get(Link&, const DataView& to, RemoteSpan from, std::size_t size,
                         std::uint32_t) {
  std::byte* const run = to.run();
  if (run == nullptr) return Post::kNoCredit;
  std::memmove(run, reinterpret_cast<const std::byte*>(from.address), size);
  return Post::kDone;
}

int LoopbackFabric::poll(FabricSink& sink) {
  if (messages_.empty()) return 0;
  int count = 0;
  // Only what is here now: a message may cause others.
  for (std::size_t left = messages_.size(); left > 0; --left) {
    const Message message = std::move(messages_.front());
    messages_.pop_front();
    const std::span<const std::byte> all(message.bytes);
    sink.on_message(*peer_, all.first(message.head_bytes), all.subspan(message.head_bytes));
    ++count;
  }
  return count;
}

}  // namespace tern
