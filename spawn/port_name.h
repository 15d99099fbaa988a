// spawn/port_name.h - the port name of MPI_Open_port: where a server is reached, on one line.
//
// Printable ASCII without anything that a shell, a mail or a quoted string would change, so that it
// survives echo, copy and paste:
//   tern-port:1:WIRE:OS:FABRICS:HOST:JOB.RANK:PORT:SECRET:CHECK
// FABRICS is name=network=address, several of them separated by '+'. CHECK is a checksum: a name
// that was cut off is told from one that is stale. Pure: no I/O and no state. Failure: sentences.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/card.h"
#include "core/ids.h"

namespace tern::spawn {

// The longest name: the smallest MPI_MAX_PORT_NAME of any MPI ABI, less the terminating zero.
inline constexpr std::size_t kPortNameLongest = 254;
// Of names that no user sees: those that spawned processes find in their environment.
inline constexpr std::size_t kHiddenPortNameLongest = 1000;

using PortSecret = std::array<std::uint8_t, 16>;

struct PortName {
  struct Fabric {
    std::string name;
    // Which network it is, hexadecimal: equal numbers mean that one can reach the other.
    std::string network;
    std::string address;  // The fabric's own text for the business card.
  };

  int wire_version = kWireVersion;
  std::string os;               // "Linux"
  std::vector<Fabric> fabrics;  // In the server's order of preference.
  std::string host;             // For people.
  ProcessId server;
  std::uint64_t port = 0;  // Tells the ports of one process apart.
  PortSecret secret{};

  // Empty when it would be too long; a long host name is shortened before that.
  std::string encode(std::size_t longest = kPortNameLongest) const;
  // nullopt with a sentence in `why` for a text that is not an undamaged port name.
  static std::optional<PortName> decode(std::string_view text, std::string& why);
};

// What one side of a connection is, as far as it decides whether it can be made.
struct Station {
  int wire_version = kWireVersion;
  std::string os;
  std::vector<PortName::Fabric> fabrics;  // Those it may use; addresses do not matter.
  std::string host;
};

// Of the process that made `card`.
Station station_of(const Card& card);

// The identity of the network over which `card`'s owner uses this fabric.
std::string network_of(const Card& card, std::string_view fabric);

// Why a process at `client` cannot use this port: the first that fails of wire version, operating
// system, fabric, network identity. The sentence names both sides' values and the remedy. Empty
// when nothing speaks against it.
std::string why_no_match(const PortName& port, const Station& client);

// The server's business card, as far as the owner of `client` needs it, which passed
// why_no_match(): the addresses on networks that both are on.
Card card_of(const PortName& port, const Card& client);

// Takes the same time wherever the first difference is.
bool same_secret(const PortSecret& one, const PortSecret& other);

// 128 bits nobody can guess. False when the system has no randomness to give.
bool make_secret(PortSecret& secret);

}  // namespace tern::spawn
