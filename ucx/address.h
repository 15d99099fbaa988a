// ucx/address.h - a UCX worker's address as text for a business card.
//
// "ucp/" and then base64url. What stands before the '/' names the network (spawn/port_name.h): UCX
// finds out itself whether two addresses reach each other. Pure.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tern::ucx {

std::string encode_address(std::span<const std::byte> address);
// The network's name may be left out. Empty when the text is damaged.
std::vector<std::byte> decode_address(std::string_view text);

}  // namespace tern::ucx
