// ucx/sockets.cc - see sockets.h.
#include "ucx/sockets.h"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdlib>

namespace tern::ucx {
namespace {

bool has(int fd, int level, int option, unsigned wanted) {
  unsigned value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, option, &value, &size) == 0 && value == wanted;
}

}  // namespace

int limit_silence(const Patience& patience) {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = 0;
  while (const dirent* const entry = readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (!has(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
        !has(fd, IPPROTO_TCP, TCP_KEEPIDLE, patience.idle_s) ||
        !has(fd, IPPROTO_TCP, TCP_KEEPINTVL, patience.interval_s)) {
      continue;
    }
    ++count;
    if (has(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, patience.timeout_ms)) continue;
    const unsigned limit = patience.timeout_ms;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
  }
  closedir(folder);
  return count;
}

}  // namespace tern::ucx
