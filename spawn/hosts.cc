// spawn/hosts.cc - see hosts.h.
#include "spawn/hosts.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>
#include "core/format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "spawn/pmi1_line.h"
#include "spawn/report.h"

namespace tern::spawn {
namespace {

constexpr int kSlotsMax = 1'000'000;

bool is_own_address(const std::string& text) {
  in_addr v4{};
  in6_addr v6{};
  const bool is_v4 = ::inet_pton(AF_INET, text.c_str(), &v4) == 1;
  const bool is_v6 = !is_v4 && ::inet_pton(AF_INET6, text.c_str(), &v6) == 1;
  if (!is_v4 && !is_v6) return false;
  if (is_v4 && (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET) return true;
  if (is_v6 && IN6_IS_ADDR_LOOPBACK(&v6)) return true;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return false;
  bool found = false;
  for (const ifaddrs* i = all; i != nullptr && !found; i = i->ifa_next) {
    if (i->ifa_addr == nullptr) continue;
    if (is_v4 && i->ifa_addr->sa_family == AF_INET) {
      found = reinterpret_cast<const sockaddr_in*>(i->ifa_addr)->sin_addr.s_addr == v4.s_addr;
    } else if (is_v6 && i->ifa_addr->sa_family == AF_INET6) {
      const auto& own = reinterpret_cast<const sockaddr_in6*>(i->ifa_addr)->sin6_addr;
      found = std::memcmp(&own, &v6, sizeof v6) == 0;
    }
  }
  ::freeifaddrs(all);
  return found;
}

std::string_view short_name(std::string_view name) { return name.substr(0, name.find('.')); }

// What may stand in the name of a host, an address, and user@ before it. Others would be options or
// more for the programs that the name is passed on to.
bool is_name(std::string_view name) {
  constexpr std::string_view kOthers = ".-_:@[]%";
  if (name.empty() || name.size() > 255 || name.front() == '-' || name.front() == '.') return false;
  return std::ranges::all_of(name, [&](unsigned char c) {
    return std::isalnum(c) != 0 || kOthers.find(static_cast<char>(c)) != kOthers.npos;
  });
}

// "host" or "host:slots" (a second colon means an address, not slots).
Problem add_host(std::string_view entry, HostList& list) {
  int slots = 1;
  const std::size_t colon = entry.find(':');
  std::string_view name = entry;
  bool sound = true;
  if (colon != std::string_view::npos && entry.find(':', colon + 1) == std::string_view::npos) {
    slots = to_number(entry.substr(colon + 1)).value_or(0);
    sound = slots >= 1 && slots <= kSlotsMax;
    name = entry.substr(0, colon);
  }
  if (!sound || !is_name(name)) {
    return Problem::usage(tern::format("'{}' should be HOST or HOST:SLOTS", one_line(entry)));
  }
  const auto known = std::ranges::find(list.hosts, name, &HostSlots::name);
  if (known == list.hosts.end()) {
    list.hosts.push_back({std::string(name), slots});
  } else {
    known->slots = std::min(kSlotsMax, known->slots + slots);
  }
  return {};
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

bool is_this_host(std::string_view name) {
  if (name.empty()) return false;
  if (name == "localhost" || name == "localhost.localdomain" || name == "ip6-localhost")
    return true;
  const std::string own = host_name();
  if (name == own) return true;
  // One of the two may be the full name and the other the short one.
  const bool one_is_short = name.find('.') == name.npos || own.find('.') == own.npos;
  if (one_is_short && short_name(name) == short_name(own)) return true;
  return is_own_address(std::string(name));
}

int HostList::slots() const {
  long long all = 0;
  for (const HostSlots& host : hosts) all += host.slots;
  return static_cast<int>(std::min<long long>(all, kSlotsMax));
}

bool HostList::only_this_host() const {
  return std::ranges::all_of(hosts, [](const HostSlots& host) { return is_this_host(host.name); });
}

Problem read_host_list(std::string_view list, HostList& hosts) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view entry = list.substr(0, comma);
    if (!entry.empty()) {
      if (Problem problem = add_host(entry, hosts); problem.has()) return problem;
    }
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return {};
}

Problem read_host_file(const std::string& path, HostList& hosts) {
  std::ifstream file(path);
  if (!file) {
    return Problem::usage(
        tern::format("cannot read the host file '{}': {}", path, std::strerror(errno)));
  }
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string host;
    if (!(words >> host)) continue;
    std::string word;
    int slots = 0;
    while (words >> word) {
      if (word.starts_with("slots="))
        slots = to_number(word.substr(6)).value_or(-1);
      else if (!word.starts_with("max_slots=") && !word.starts_with("max-slots="))
        slots = -1;
    }
    if (slots > 0) host = tern::format("{}:{}", host, slots);
    if (slots < 0 || slots > kSlotsMax || add_host(host, hosts).has()) {
      return Problem::usage(tern::format(
          "line {} of the host file '{}' is '{}', and should be HOST, HOST:SLOTS or HOST slots=N",
          number, path, one_line(std::string_view(line).substr(0, 80))));
    }
  }
  if (file.bad()) {
    return Problem::usage(
        tern::format("cannot read the host file '{}': {}", path, std::strerror(errno)));
  }
  if (hosts.hosts.empty()) {
    return Problem::usage(tern::format("the host file '{}' names no host", path));
  }
  return {};
}

}  // namespace tern::spawn
