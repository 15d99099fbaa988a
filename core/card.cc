// core/card.cc - reading and writing business cards; see card.h.
#include "core/card.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <fstream>

namespace tern {
namespace {

constexpr std::string_view kMagic = "tern-card";
// A card is a few hundred bytes; whatever is longer is not one.
constexpr std::size_t kLongestCard = 4096;

std::uint64_t namespace_inode(const char* name) {
  struct stat info {};
  const std::string path = std::string("/proc/self/ns/") + name;
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

void put(std::string& text, std::string_view key, std::string_view value) {
  text += ';';
  text += key;
  text += '=';
  text += value;
}

// Keeps host names and the like from breaking the syntax.
std::string safe(std::string_view value) {
  std::string text(value);
  for (char& c : text) {
    if (c == ';' || c == '=' || c <= ' ' || c > '~') c = '_';
  }
  return text;
}

std::string hex(std::uint64_t value) {
  char digits[17];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, 16).ptr;
  return {digits, end};
}

bool parse_hex(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc() && end == text.data() + text.size();
}

bool set_field(Card& card, std::string_view key, std::string_view value) {
  if (key == "job") return parse_hex(value, card.id.job);
  if (key == "rank") return parse_hex(value, card.id.rank);
  if (key == "pidns") return parse_hex(value, card.host.pid_space);
  if (key == "ipcns") return parse_hex(value, card.host.ipc_space);
  if (key == "userns") return parse_hex(value, card.host.user_space);
  if (key == "os") card.os = value;
  if (key == "arch") card.architecture = value;
  if (key == "boot") card.host.boot_id = value;
  if (key == "host") card.host.host_name = value;
  if (key.starts_with("@")) card.addresses.emplace(key.substr(1), value);
  return true;  // Fields of later versions are skipped.
}

}  // namespace

HostIdentity HostIdentity::read() {
  HostIdentity host;
  std::ifstream boot("/proc/sys/kernel/random/boot_id");
  std::getline(boot, host.boot_id);
  host.pid_space = namespace_inode("pid");
  host.ipc_space = namespace_inode("ipc");
  host.user_space = namespace_inode("user");
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) == 0) host.host_name = name;
  return host;
}

Card Card::of_this_process(const ProcessId& id, HostIdentity host) {
  Card card;
  card.id = id;
  card.host = std::move(host);
  utsname system{};
  if (uname(&system) == 0) {
    card.os = system.sysname;
    card.architecture = system.machine;
  }
  return card;
}

std::string Card::encode() const {
  std::string text(kMagic);
  put(text, "wire", std::to_string(wire_version));
  put(text, "job", hex(id.job));
  put(text, "rank", hex(id.rank));
  put(text, "os", safe(os));
  put(text, "arch", safe(architecture));
  put(text, "boot", safe(host.boot_id));
  put(text, "pidns", hex(host.pid_space));
  put(text, "ipcns", hex(host.ipc_space));
  put(text, "userns", hex(host.user_space));
  put(text, "host", safe(host.host_name));
  for (const auto& [fabric, address] : addresses) put(text, "@" + fabric, safe(address));
  return text;
}

std::optional<Card> Card::decode(std::string_view text, std::string& why) {
  const auto refuse = [&](std::string reason) {
    if (why.empty()) why = std::move(reason);
    return std::nullopt;
  };
  if (text.size() > kLongestCard || !text.starts_with(kMagic)) {
    return refuse("its business card is not one of Tern's: is it linked to another MPI?");
  }
  text.remove_prefix(kMagic.size());
  Card card;
  card.wire_version = 0;
  while (!text.empty()) {
    if (text.front() != ';') return refuse("its business card is damaged");
    text.remove_prefix(1);
    const std::string_view field = text.substr(0, text.find(';'));
    text.remove_prefix(field.size());
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos) return refuse("its business card is damaged");
    const std::string_view key = field.substr(0, equals);
    const std::string_view value = field.substr(equals + 1);
    if (key == "wire") {
      std::from_chars(value.data(), value.data() + value.size(), card.wire_version);
      if (card.wire_version != kWireVersion) {
        return refuse("it speaks wire version " + std::string(value) + ", this process speaks " +
                      std::to_string(kWireVersion) + ": use the same Tern release everywhere");
      }
    } else if (!set_field(card, key, value)) {
      return refuse("its business card is damaged");
    }
  }
  if (card.wire_version == 0) return refuse("its business card has no wire version");
  return card;
}

}  // namespace tern
