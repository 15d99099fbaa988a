// ucx/wire.h - what the UCX fabric puts in front of each message. Both ends run the same
// kWireVersion (core/card.h).
#pragma once
#include <cstddef>
#include <cstdint>

namespace tern::ucx {

inline constexpr unsigned kActiveMessageId = 1;

enum class Kind : std::uint8_t {
  kHello = 1,  // The first on a link: the body is the sender's business card.
  kMessage,    // One message of the engine.
  kGoodbye,    // The last on a link.
};

struct MessageHead {
  // The sender's name for the link, a random number that kHello announces: UCX does not say where a
  // message comes from, and what nobody has announced is dropped.
  std::uint64_t token;
  Kind kind;
  std::uint8_t head_bytes;  // Of the engine's head, which follows.
  std::uint8_t reserved[6];
};
static_assert(sizeof(MessageHead) == 16);

}  // namespace tern::ucx
