// spawn/port_name.cc - see port_name.h.
#include "spawn/port_name.h"

#include <sys/random.h>

#include <algorithm>
#include <charconv>

#include "core/format.h"

namespace tern::spawn {
namespace {

constexpr std::string_view kMagic = "tern-port";
constexpr int kFormat = 1;
constexpr std::size_t kPartsAfterMagic = 9;

// FNV-1a, 64 bits. Against damage, not against people: those are the secret's.
std::uint64_t checksum(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325ULL;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return value;
}

bool is_plain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
         c == '-' || c == '_' || c == '@' || c == '/' || c == '%';
}

// Replaces what would break the syntax or what a shell would change.
std::string plain(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (!is_plain(c)) c = '_';
  }
  return result;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

template <class Number>
bool read_number(std::string_view text, Number& number, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

std::string hex(const PortSecret& secret) {
  std::string text;
  for (const std::uint8_t byte : secret) text += tern::format("{:02x}", byte);
  return text;
}

bool read_secret(std::string_view text, PortSecret& secret) {
  if (text.size() != 2 * secret.size()) return false;
  for (std::size_t i = 0; i < secret.size(); ++i) {
    if (!read_number(text.substr(2 * i, 2), secret[i], 16)) return false;
  }
  return true;
}

bool read_fabrics(std::string_view text, std::vector<PortName::Fabric>& fabrics) {
  for (const std::string_view one : split(text, '+')) {
    const auto fields = split(one, '=');
    if (fields.size() != 3 || fields[0].empty() || fields[1].empty()) return false;
    fabrics.push_back({std::string(fields[0]), std::string(fields[1]), std::string(fields[2])});
  }
  return true;
}

bool read_fields(const std::vector<std::string_view>& parts, PortName& port) {
  const auto process = split(parts[6], '.');
  return read_number(parts[2], port.wire_version, 10) && read_fabrics(parts[4], port.fabrics) &&
         process.size() == 2 && read_number(process[0], port.server.job, 16) &&
         read_number(process[1], port.server.rank, 16) && read_number(parts[7], port.port, 16) &&
         read_secret(parts[8], port.secret);
}

std::string names_of(const std::vector<PortName::Fabric>& fabrics) {
  std::string text;
  for (const auto& fabric : fabrics) text += (text.empty() ? "" : ",") + fabric.name;
  return text.empty() ? "none" : text;
}

std::string with_host(const PortName& port, std::size_t host_bytes) {
  std::string fabrics;
  for (const auto& fabric : port.fabrics) {
    fabrics += fabrics.empty() ? "" : "+";
    fabrics += plain(fabric.name) + "=" + plain(fabric.network) + "=" + plain(fabric.address);
  }
  std::string text = tern::format("{}:{}:{}:{}:{}:{}:{:x}.{:x}:{:x}:{}:", kMagic, kFormat,
                                  port.wire_version, plain(port.os), fabrics,
                                  plain(std::string_view(port.host).substr(0, host_bytes)),
                                  port.server.job, port.server.rank, port.port, hex(port.secret));
  return text + tern::format("{:08x}", static_cast<std::uint32_t>(checksum(text)));
}

}  // namespace

std::string PortName::encode(std::size_t longest) const {
  std::string text = with_host(*this, host.size());
  const std::size_t surplus = text.size() - std::min(text.size(), longest);
  if (surplus == 0) return text;
  return surplus < host.size() ? with_host(*this, host.size() - surplus) : std::string();
}

std::optional<PortName> PortName::decode(std::string_view text, std::string& why) {
  if (!text.starts_with(kMagic)) {
    why = "it does not begin with `tern-port`: it was not made by Tern's MPI_Open_port";
    return std::nullopt;
  }
  const auto parts = split(text, ':');
  int format = 0;
  if (parts.size() >= 2 && read_number(parts[1], format, 10) && format != kFormat) {
    why = tern::format(
        "it has format {}, and this Tern reads format {}: use one release of Tern on "
        "both sides",
        format, kFormat);
    return std::nullopt;
  }
  PortName port;
  std::uint32_t check = 0;
  const std::size_t covered = text.rfind(':') + 1;
  if (parts.size() != kPartsAfterMagic + 1 || text.size() > kHiddenPortNameLongest ||
      !read_number(parts.back(), check, 16) ||
      check != static_cast<std::uint32_t>(checksum(text.substr(0, covered))) ||
      !read_fields(parts, port)) {
    why =
        "it is damaged: was it cut off or changed on the way? Copy the whole text that "
        "MPI_Open_port gave";
    return std::nullopt;
  }
  port.os = parts[3];
  port.host = parts[5];
  return port;
}

std::string network_of(const Card& card, std::string_view fabric) {
  // Memory is shared by those who see each other's processes on one running kernel. Networks put
  // their identity first in the address, up to a '/'.
  const auto address = card.addresses.find(fabric);
  if (address != card.addresses.end()) {
    const std::size_t slash = address->second.find('/');
    if (slash != std::string::npos) {
      return tern::format("{:016x}", checksum(std::string_view(address->second).substr(0, slash)));
    }
  }
  const HostIdentity& host = card.host;
  return tern::format(
      "{:016x}", checksum(tern::format("{}/{}/{}", host.boot_id, host.pid_space, host.user_space)));
}

Station station_of(const Card& card) {
  Station station;
  station.wire_version = card.wire_version;
  station.os = card.os;
  station.host = card.host.host_name;
  for (const auto& [name, address] : card.addresses) {
    // What stands before the '/' is in the network's number.
    station.fabrics.push_back(
        {name, network_of(card, name), address.substr(address.find('/') + 1)});
  }
  return station;
}

std::string why_no_match(const PortName& port, const Station& client) {
  if (port.wire_version != client.wire_version) {
    return tern::format(
        "the server speaks wire version {} and this process speaks {}; use the same "
        "release of Tern on both sides",
        port.wire_version, client.wire_version);
  }
  if (port.os != client.os) {
    return tern::format(
        "the server runs on {} and this process on {}; both must run the same "
        "operating system (any distribution and version of it)",
        port.os, client.os);
  }
  std::string networks;
  for (const PortName::Fabric& theirs : port.fabrics) {
    for (const PortName::Fabric& ours : client.fabrics) {
      if (theirs.name != ours.name) continue;
      if (theirs.network == ours.network) return {};
      networks += tern::format(
          "{}{} (the server's is {} at host {}, this process's is {} at host "
          "{})",
          networks.empty() ? "" : ", ", theirs.name, theirs.network, port.host, ours.network,
          client.host);
    }
  }
  if (networks.empty()) {
    return tern::format(
        "the server can be reached over {} and this process may use {}; let both "
        "have a fabric in common (TERN_FABRIC)",
        names_of(port.fabrics), names_of(client.fabrics));
  }
  return "the two sides are on different networks of " + networks +
         "; shared memory needs one host and one set of namespaces: start both in the same "
         "container, or give both a fabric that connects them (TERN_FABRIC)";
}

Card card_of(const PortName& port, const Card& client) {
  Card card;
  card.id = port.server;
  card.wire_version = port.wire_version;
  card.os = port.os;
  card.architecture = client.architecture;
  // Where the identity of shared memory matches, host and namespaces are the same ones; where it
  // does not, its address is left out, and nothing else looks at them.
  card.host = client.host;
  for (const PortName::Fabric& fabric : port.fabrics) {
    if (client.addresses.contains(fabric.name) &&
        network_of(client, fabric.name) == fabric.network) {
      card.addresses.emplace(fabric.name, fabric.address);
    }
  }
  return card;
}

bool same_secret(const PortSecret& one, const PortSecret& other) {
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    difference = static_cast<std::uint8_t>(difference | (one[i] ^ other[i]));
  }
  return difference == 0;
}

bool make_secret(PortSecret& secret) {
  return ::getrandom(secret.data(), secret.size(), 0) == static_cast<ssize_t>(secret.size());
}

}  // namespace tern::spawn
