// core/connect_message.cc - the bytes of core/connect_message.h.
//
//   offset  size
//        0     4  magic "TCn" and the version
//        4     1  type
//        5     1  reason
//        6     1  bytes of the blob
//        7     1  zero
//        8    16  from: job, rank
//       24     8  from: incarnation
//       32     8  to: incarnation
//       40     4  from: epoch
//       44     4  to: epoch
//       48    16  resume: received, limit
//       64     8  check sum of all the rest: a datagram need not be one of ours
//       72        blob
#include "core/connect_message.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/check.h"

namespace tern::connect {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

constexpr std::uint32_t kMagic = 0x01'6E4354;  // The last byte is the version.
constexpr std::size_t kSumOffset = 64;

template <class T>
void put(std::byte* at, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(at, &value, sizeof value);
}

template <class T>
T get(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// FNV-1a, 8 bytes at a time where there are 8; the field of the sum itself counts as 0.
std::uint64_t sum_of(std::span<const std::byte> bytes) {
  std::uint64_t sum = 0xCBF29CE484222325ULL;
  constexpr std::uint64_t kPrime = 0x100000001B3ULL;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    const std::uint64_t word = at == kSumOffset ? 0 : get<std::uint64_t>(bytes.data() + at);
    sum = (sum ^ word) * kPrime;
    sum ^= sum >> 29;
  }
  for (; at < bytes.size(); ++at) sum = (sum ^ static_cast<std::uint64_t>(bytes[at])) * kPrime;
  return sum;
}

}  // namespace

std::size_t Message::encode(std::span<std::byte> to) const {
  const std::size_t size = kHeadBytes + blob.size_bytes;
  CHECK(to.size() >= size && blob.size_bytes <= EndpointBlob::kBytesMax);
  std::byte* const at = to.data();
  put(at, kMagic);
  put(at + 4, static_cast<std::uint8_t>(type));
  put(at + 5, static_cast<std::uint8_t>(reason));
  put(at + 6, blob.size_bytes);
  put(at + 7, std::uint8_t{0});
  put(at + 8, from.job);
  put(at + 16, from.rank);
  put(at + 24, from_incarnation);
  put(at + 32, to_incarnation);
  put(at + 40, from_epoch);
  put(at + 44, to_epoch);
  put(at + 48, resume.received);
  put(at + 56, resume.limit);
  std::memcpy(at + kHeadBytes, blob.bytes.data(), blob.size_bytes);
  put(at + kSumOffset, sum_of(to.first(size)));
  return size;
}

std::optional<Message> Message::decode(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeadBytes || bytes.size() > kBytesMax) return std::nullopt;
  const std::byte* const at = bytes.data();
  const auto type = get<std::uint8_t>(at + 4);
  const auto reason = get<std::uint8_t>(at + 5);
  Message message;
  message.blob.size_bytes = get<std::uint8_t>(at + 6);
  if (get<std::uint32_t>(at) != kMagic || type < static_cast<std::uint8_t>(Type::kRequest) ||
      type > static_cast<std::uint8_t>(Type::kGone) ||
      reason > static_cast<std::uint8_t>(Reason::kKeepsBreaking) ||
      bytes.size() != kHeadBytes + message.blob.size_bytes ||
      get<std::uint64_t>(at + kSumOffset) != sum_of(bytes)) {
    return std::nullopt;
  }
  message.type = static_cast<Type>(type);
  message.reason = static_cast<Reason>(reason);
  message.from = {get<std::uint64_t>(at + 8), get<std::uint64_t>(at + 16)};
  message.from_incarnation = get<std::uint64_t>(at + 24);
  message.to_incarnation = get<std::uint64_t>(at + 32);
  message.from_epoch = get<std::uint32_t>(at + 40);
  message.to_epoch = get<std::uint32_t>(at + 44);
  message.resume = {get<std::uint64_t>(at + 48), get<std::uint64_t>(at + 56)};
  std::memcpy(message.blob.bytes.data(), at + kHeadBytes, message.blob.size_bytes);
  return message;
}

}  // namespace tern::connect
