// ucx/link.h - what the UCX fabric knows of one connection, and of one message on its way.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/fabric.h"
#include "core/wire.h"
#include "ucx/table.h"
#include "ucx/wire.h"

namespace tern::ucx {

class UcxFabric;

struct UcxLink final : Link {
  enum class State : std::uint8_t {
    kOpen,
    kClosing,  // Both said goodbye, or will; the engine does not know it any more.
    kFailing,  // UCX has given it up; it takes its sends back one by one.
    kFailed,   // All is over and reported.
  };
  explicit UcxLink(UcxFabric& owner) : fabric(owner) {}
  bool can_get() const override { return false; }

  UcxFabric& fabric;
  Peer* record = nullptr;  // nullptr: the engine has closed it.
  ucp_ep_h ep = nullptr;   // nullptr: closed.
  std::uint64_t token = 0;
  std::uint32_t in_flight = 0;  // Sends that UCX has not finished.
  State state = State::kOpen;
  void* closing = nullptr;       // UCX's request, while it closes the endpoint.
  ucs_status_t status = UCS_OK;  // Why it has failed.
  ProcessId id;
  std::string host;
  std::uint64_t begun_us = 0;
};

// A message that UCX could not send at once: a copy of all of it, or the heads of a lent one.
struct Parcel {
  enum class Size : std::uint8_t { kHeads, kSmall, kLarge };
  UcxLink* link;
  std::uint32_t op;  // kHeads: to be reported as complete.
  Size size;
  bool is_hello;
};
inline constexpr std::size_t kHeadRoom = sizeof(MessageHead) + wire::kMaxHeadBytes;

// What goes in one send() at most; with the heads it fits the 64 KiB that UCX receives at a time
// from a socket.
inline constexpr std::size_t kBodyBytesMax = 60 * 1024;
// What UCX copies into one buffer of its own.
inline constexpr std::size_t kCopiedBytesMax = 8000;

template <std::size_t kBytes>
struct ParcelOf : Parcel {
  std::array<std::byte, kBytes> bytes;
};
using HeadParcel = ParcelOf<kHeadRoom>;
using SmallParcel = ParcelOf<kCopiedBytesMax>;
using LargeParcel = ParcelOf<kHeadRoom + kBodyBytesMax>;

}  // namespace tern::ucx
