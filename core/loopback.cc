// core/loopback.cc - see loopback.h.
#include "core/loopback.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "core/doorbell.h"
#include "core/small_copy.h"

namespace tern {
namespace {

// In front of each message.
struct Sizes {
  std::uint32_t head;
  std::uint32_t body;

  std::size_t all() const { return sizeof *this + head + body; }
};

// More than that is given back when it has been handled.
constexpr std::size_t kKeptBytes = std::size_t{256} << 10;

}  // namespace

std::byte* LoopbackFabric::Messages::add(std::size_t bytes) {
  if (bytes > room - size) [[unlikely]] {
    constexpr std::size_t kLeastBytes = 4096;
    room = std::max({kLeastBytes, 2 * room, size + bytes});
    auto larger = std::make_unique_for_overwrite<std::byte[]>(room);
    small_copy(larger.get(), memory.get(), size);
    memory = std::move(larger);
  }
  return memory.get() + std::exchange(size, size + bytes);
}

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
  const Sizes sizes{static_cast<std::uint32_t>(head.size()),
                    static_cast<std::uint32_t>(body.size())};
  std::byte* const place = waiting_.add(sizes.all());
  std::memcpy(place, &sizes, sizeof sizes);
  small_copy(place + sizeof sizes, head.data(), head.size());
  small_copy(place + sizeof sizes + head.size(), body.data(), body.size());
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
  if (waiting_.size == 0) return 0;
  // Only what is here now: a message may cause others.
  std::swap(waiting_, handled_);
  int count = 0;
  for (std::size_t at = 0; at < handled_.size; ++count) {
    Sizes sizes;
    std::memcpy(&sizes, handled_.memory.get() + at, sizeof sizes);
    const std::span<const std::byte> both(handled_.memory.get() + at + sizeof sizes,
                                          sizes.head + sizes.body);
    at += sizes.all();
    sink.on_message(*peer_, both.first(sizes.head), both.subspan(sizes.head));
  }
  handled_.size = 0;
  if (handled_.room > kKeptBytes) handled_ = {};
  return count;
}

}  // namespace tern
