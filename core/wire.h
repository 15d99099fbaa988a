// core/wire.h - every message head the engine puts on a fabric.
//
// Fixed widths, no pointers that the receiver dereferences (addresses are only handed back to the
// fabric's get()). Both ends run the same kWireVersion (card.h), so there is no byte swapping. A
// head is copied out of the transport before use: nothing here needs alignment on the wire.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tern::wire {

enum class Type : std::uint8_t {
  kEager = 1,   // A whole message: EnvelopeHead + body.
  kEagerFirst,  // The first fragment of a longer one: FirstHead + body.
  kEagerNext,   // The next fragment of the message kEagerFirst began: NextHead + body.
  kRendezvous,  // Asks to send: RendezvousHead.
  kClear,       // Rendezvous, streamed: the receiver asks for the data: ClearHead.
  kData,        // Rendezvous, streamed: a fragment: DataHead + body.
  kFinished,    // Rendezvous: the receiver has all the data: AckHead.
  kMatched,     // A synchronous eager message was matched: AckHead.
  kGreet,       // Connects before there is anything to send: GreetHead.
  kGreeted,     // Answers it: GreetHead.
  kWritten,     // Rendezvous: the data is where the receiver wanted it: WrittenHead.
  kCancel,      // Takes back a message that awaits its match: AckHead.
  kCancelled,   // It had none, and is gone: AckHead.
};

inline constexpr std::uint8_t kSynchronous = 1;  // flags: answer with kMatched.
inline constexpr std::uint8_t kGettable = 2;     // flags: get() may be used on the source memory.
inline constexpr std::uint8_t kPuttable = 4;     // flags: put() may be used on the target memory.

struct EnvelopeHead {
  Type type;
  std::uint8_t flags;
  std::uint16_t reserved;
  std::uint32_t op;  // The sender's operation, for kMatched and kFinished; 0 = none.
  std::uint64_t context;
  std::int32_t source;
  std::int32_t tag;
};
static_assert(sizeof(EnvelopeHead) == 24, "shm keeps 32 payload bytes in a message's first line");

// The head of the most frequent message, as three words that are stored as they are loaded again:
// fields of their own would make every transport's copy wait for several stores to reach the cache.
using EagerWords = std::array<std::uint64_t, 3>;
inline std::uint64_t source_and_tag(std::int32_t source, std::int32_t tag) {
  static_assert(std::endian::native == std::endian::little);
  static_assert(offsetof(EnvelopeHead, context) == 8 && offsetof(EnvelopeHead, source) == 16 &&
                offsetof(EnvelopeHead, tag) == 20);
  return static_cast<std::uint32_t>(source) | std::uint64_t{static_cast<std::uint32_t>(tag)} << 32;
}
inline EagerWords eager_words(std::uint64_t context, std::uint64_t source_and_tag) {
  return {static_cast<std::uint64_t>(Type::kEager), context, source_and_tag};
}

struct FirstHead {
  EnvelopeHead envelope;
  std::uint64_t total_bytes;
};
static_assert(sizeof(FirstHead) == 32);

struct NextHead {
  Type type;
  std::uint8_t reserved[7];
};
static_assert(sizeof(NextHead) == 8);

struct RendezvousHead {
  EnvelopeHead envelope;
  std::uint64_t total_bytes;
  std::uint64_t address;  // Of the contiguous source; meaningful with kGettable.
  std::uint64_t key;
};
static_assert(sizeof(RendezvousHead) == 48);

struct ClearHead {
  Type type;
  std::uint8_t flags;
  std::uint16_t reserved;
  std::uint32_t sender_op;
  std::uint32_t receiver_op;
  std::uint32_t reserved2;
  std::uint64_t address;  // Of the contiguous target; meaningful with kPuttable, as the rest.
  std::uint64_t key;
  std::uint64_t room_bytes;  // The target may be shorter than the message.
};
static_assert(sizeof(ClearHead) == 40);

struct DataHead {
  Type type;
  std::uint8_t reserved[3];
  std::uint32_t receiver_op;
  std::uint64_t position;  // Byte position in the message.
};
static_assert(sizeof(DataHead) == 16);

struct WrittenHead {
  Type type;
  std::uint8_t reserved[3];
  std::uint32_t receiver_op;
};
static_assert(sizeof(WrittenHead) == 8);

struct AckHead {
  Type type;
  std::uint8_t reserved[3];
  std::uint32_t sender_op;
};
static_assert(sizeof(AckHead) == 8);

struct GreetHead {
  Type type;
  std::uint8_t reserved[7];
};
static_assert(sizeof(GreetHead) == 8);

inline constexpr std::size_t kMaxHeadBytes = 48;

}  // namespace tern::wire
