// spawn/hosts.cc - see hosts.h.
#include "spawn/hosts.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>
#include "core/format.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "spawn/pmi1_line.h"

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

// "host" or "host:slots" (a second colon means an address, not slots).
Problem add_host(std::string_view entry, int& slots) {
  int own_slots = 1;
  const std::size_t colon = entry.find(':');
  std::string_view name = entry;
  if (colon != std::string_view::npos && entry.find(':', colon + 1) == std::string_view::npos) {
    const auto number = to_number(entry.substr(colon + 1));
    if (!number || *number < 1 || *number > kSlotsMax) {
      return Problem::usage(tern::format("'{}' should be HOST or HOST:SLOTS", entry));
    }
    own_slots = *number;
    name = entry.substr(0, colon);
  }
  if (!is_this_host(name)) {
    return Problem::usage(tern::format(
        "this mpiexec starts ranks on this machine ({}) only, and '{}' is another one. Use a "
        "launcher that reaches it and speaks PMI-1, such as MPICH's mpiexec.hydra or srun "
        "--mpi=pmi2",
        host_name(), name));
  }
  slots = std::min(kSlotsMax, slots + own_slots);
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

Problem read_host_list(std::string_view list, int& slots) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view entry = list.substr(0, comma);
    if (!entry.empty()) {
      if (Problem problem = add_host(entry, slots); problem.has()) return problem;
    }
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return {};
}

Problem read_host_file(const std::string& path, int& slots) {
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
    int line_slots = 0;
    while (words >> word) {
      if (word.starts_with("slots="))
        line_slots = to_number(word.substr(6)).value_or(-1);
      else if (!word.starts_with("max_slots=") && !word.starts_with("max-slots="))
        line_slots = -1;
    }
    if (line_slots < 0 || line_slots > kSlotsMax) {
      return Problem::usage(
          tern::format("line {} of the host file '{}' should be HOST, HOST:SLOTS or HOST slots=N",
                       number, path));
    }
    if (line_slots > 0) host = tern::format("{}:{}", host, line_slots);
    if (Problem problem = add_host(host, slots); problem.has()) return problem;
  }
  return {};
}

}  // namespace tern::spawn
