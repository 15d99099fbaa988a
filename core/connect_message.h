// core/connect_message.h - what two connectors say to each other, as bytes of a datagram.
//
// Fixed width, little-endian, no pointers. A datagram may be lost, doubled, late or garbage:
// decode() believes nothing. The owner adds what its network needs around it (its address, its
// card).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/ids.h"

namespace tern::connect {

// What the peer's fabric needs to connect an endpoint to ours (queue pair number, packet sequence
// number, GID ...). Opaque here.
struct EndpointBlob {
  static constexpr std::size_t kBytesMax = 128;
  std::uint8_t size_bytes = 0;
  std::array<std::byte, kBytesMax> bytes;
};

// Where a side stands with the other's numbered messages (core/replay.h): it has received all up to
// `received` and has room for all up to `limit`.
struct Resume {
  std::uint64_t received = 0;
  std::uint64_t limit = 0;
  friend bool operator==(const Resume&, const Resume&) = default;
};

enum class Reason : std::uint8_t {  // Why a peer is given up. Texts: Connector::reason_text().
  kNone,
  kNoAnswer,       // Nothing came back until the deadline.
  kNoSlot,         // No connection could be closed for it until the deadline.
  kNoResources,    // No endpoint could be created, here or there, until the deadline.
  kBadRemote,      // The endpoints could not be connected to each other.
  kRejected,       // The peer has given us up.
  kRefused,        // The owner said so.
  kKeepsBreaking,  // Each new endpoint broke before anything got through.
};

struct Message {
  enum class Type : std::uint8_t {
    kRequest = 1,  // blob, resume
    kAccept,       // blob, resume
    kConfirm,
    kBusy,
    kReject,  // reason
    kClose,   // resume.received: as of now
    kGone,    // resume.received: final
  };

  Type type = Type::kGone;
  Reason reason = Reason::kNone;
  ProcessId from;
  std::uint64_t from_incarnation = 0;
  std::uint64_t to_incarnation = 0;  // 0: not known yet.
  std::uint32_t from_epoch = 0;      // The endpoint that this is about; 0: none.
  std::uint32_t to_epoch = 0;
  Resume resume;
  EndpointBlob blob;

  static constexpr std::size_t kHeadBytes = 72;
  static constexpr std::size_t kBytesMax = kHeadBytes + EndpointBlob::kBytesMax;

  // Returns the bytes written. Precondition: `to` has room for kBytesMax.
  std::size_t encode(std::span<std::byte> to) const;
  // Nothing when these are not the bytes of a message of this version.
  static std::optional<Message> decode(std::span<const std::byte> bytes);
};

}  // namespace tern::connect
