// ucx/sockets.cc - see sockets.h.
#include "ucx/sockets.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace tern::ucx {
namespace {

template <class Visit>
void for_each_descriptor(Visit visit) {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return;
  while (const dirent* const entry = readdir(folder)) {
    const char* const name = entry->d_name;
    int fd = 0;
    if (std::from_chars(name, name + std::strlen(name), fd).ec == std::errc()) visit(fd);
  }
  closedir(folder);
}

bool has(int fd, int level, int option, unsigned wanted) {
  unsigned value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, option, &value, &size) == 0 && value == wanted;
}

void set(int fd, int level, int option, unsigned value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

// 0 when it is no socket of the internet.
int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  }
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return 0;
}

bool listens(int fd) { return has(fd, SOL_SOCKET, SO_ACCEPTCONN, 1); }

}  // namespace

Patience::Patience(double peer_timeout_s) {
  const double seconds = std::clamp(peer_timeout_s, 1.0, 86400.0);
  timeout_ms = static_cast<unsigned>(seconds * 1000);
  idle_s = std::max(1U, static_cast<unsigned>(seconds / 4));
  interval_s = std::max(1U, static_cast<unsigned>(seconds / 8));
  // The kernel waits 1, 2, 4... seconds: 2^(n+1) - 1 in all.
  connects = 1;
  while (connects < 6 && (2U << (connects + 1)) - 1 <= timeout_ms / 1000) ++connects;
}

Sockets::Sockets(const Patience& patience) : patience_(patience) {
  for_each_descriptor([this](int fd) {
    if (listens(fd)) known_.push_back(fd);
  });
}

void Sockets::learn_listeners() {
  std::vector<int> ports;
  for_each_descriptor([&](int fd) {
    if (listens(fd) && std::ranges::count(known_, fd) == 0) ports.push_back(port_of(fd));
  });
  std::erase(ports, 0);
  known_ = std::move(ports);
}

bool Sockets::is_of_ucx(int fd) const {
  if (!has(fd, IPPROTO_TCP, TCP_NODELAY, 1) || listens(fd)) return false;
  if (std::ranges::count(known_, port_of(fd)) > 0) return true;
  return has(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         has(fd, IPPROTO_TCP, TCP_KEEPINTVL, patience_.interval_s);
}

int Sockets::limit() {
  int count = 0;
  for_each_descriptor([&](int fd) {
    if (!is_of_ucx(fd)) return;
    ++count;
    if (has(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, patience_.timeout_ms)) return;
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, patience_.timeout_ms);
    set(fd, IPPROTO_TCP, TCP_SYNCNT, patience_.connects);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, patience_.idle_s);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, patience_.interval_s);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  });
  return count;
}

}  // namespace tern::ucx
