// ucx/address.cc - base64url without padding; see address.h.
#include "ucx/address.h"

#include <cstdint>

namespace tern::ucx {
namespace {

constexpr std::string_view kNetwork = "ucp/";
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
// UCX uses the addresses that peers show without looking at their length; it begins with the
// worker's number and a description of at least one device.
constexpr std::size_t kShortest = 16;

}  // namespace

std::string encode_address(std::span<const std::byte> address) {
  std::string text(kNetwork);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::byte byte : address) {
    bits = bits << 8 | static_cast<std::uint32_t>(byte);
    for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63];
  return text;
}

std::vector<std::byte> decode_address(std::string_view text) {
  text.remove_prefix(text.find('/') + 1);
  std::vector<std::byte> address;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return {};
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    address.push_back(static_cast<std::byte>(bits >> count));
  }
  if (address.size() < kShortest) address.clear();
  return address;
}

}  // namespace tern::ucx
