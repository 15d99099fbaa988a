// core/card.h - the business card: who a process is and how each fabric reaches it.
//
// Published once through the wire-up service and fetched by others at first contact. The encoding
// is versioned text ("key=value;"), so that a foreign or newer card is refused with a reason and
// never misread. Pure; no I/O except HostIdentity::read().
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/ids.h"

namespace tern {

// Raised whenever core/wire.h or a fabric's shared structures change incompatibly.
inline constexpr int kWireVersion = 3;

// What decides whether two processes share a kernel and can see each other there.
struct HostIdentity {
  std::string boot_id;          // One running kernel.
  std::uint64_t pid_space = 0;  // Inode numbers of the namespaces.
  std::uint64_t ipc_space = 0;
  std::uint64_t user_space = 0;
  std::string host_name;

  static HostIdentity read();
};

struct Card {
  ProcessId id;
  int wire_version = kWireVersion;
  std::string os;            // "Linux"
  std::string architecture;  // "x86_64"
  HostIdentity host;
  std::map<std::string, std::string, std::less<>> addresses;  // Fabric name -> its address.

  // Everything but the addresses.
  static Card of_this_process(const ProcessId& id, HostIdentity host);
  std::string encode() const;
  // nullopt with a sentence in `why` when the text is not a card that this version understands.
  static std::optional<Card> decode(std::string_view text, std::string& why);
};

}  // namespace tern
