// spawn/abstract_socket.cc - see abstract_socket.h.
#include "spawn/abstract_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "core/format.h"
#include "spawn/port_name.h"

namespace tern::spawn {
namespace {

// A first byte of zero makes the address abstract.
socklen_t fill(const std::string& address, sockaddr_un& place) {
  place.sun_family = AF_UNIX;
  const std::size_t size = std::min(address.size(), sizeof place.sun_path - 1);
  std::copy_n(address.begin(), size, place.sun_path + 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size);
}

}  // namespace

int listen_abstract(std::string& address) {
  PortSecret name{};
  if (!make_secret(name)) return -1;
  address = "tern-";
  for (const std::uint8_t byte : name) address += tern::format("{:02x}", byte);
  sockaddr_un place{};
  const socklen_t size = fill(address, place);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&place), size) == 0 &&
      ::listen(fd, 1) == 0) {
    return fd;
  }
  if (fd >= 0) ::close(fd);
  return -1;
}

int accept_abstract(int listener) {
  return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int connect_abstract(const std::string& address) {
  sockaddr_un place{};
  const socklen_t size = fill(address, place);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&place), size) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

int claim_abstract(const std::string& name) {
  sockaddr_un place{};
  const socklen_t size = fill(name, place);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&place), size) == 0) return fd;
  const int why = errno;
  if (fd >= 0) ::close(fd);
  errno = why;
  return -1;
}

}  // namespace tern::spawn
