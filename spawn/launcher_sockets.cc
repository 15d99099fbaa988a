// spawn/launcher_sockets.cc - see launcher_sockets.h.
#include "spawn/launcher_sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/format.h"
#include "spawn/pmi1_line.h"

namespace tern::spawn {
namespace {

namespace fs = std::filesystem;

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// All that launchers of every kind tell a rank about itself.
bool is_rank(pid_t pid) {
  const std::string environment = '\0' + read_file(tern::format("/proc/{}/environ", pid));
  const auto has = [&environment](std::string_view name) {
    return environment.find('\0' + std::string(name) + '=') != std::string::npos;
  };
  return has("PMI_RANK") || has("PMIX_RANK") || has("PMI_ID") || has("SLURM_PROCID");
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& task : fs::directory_iterator(tern::format("/proc/{}/task", pid), error)) {
    std::ifstream list(task.path() / "children");
    children.insert(children.end(), std::istream_iterator<pid_t>(list), {});
  }
  return children;
}

bool is_connection(int fd) {
  int domain = 0;
  int protocol = 0;
  socklen_t size = sizeof domain;
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         (domain == AF_INET || domain == AF_INET6) &&
         ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
         protocol == IPPROTO_TCP &&
         ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;
}

void limit(int fd, double timeout_s) {
  const auto set = [fd](int level, int option, double value) {
    const int number = std::max(1, static_cast<int>(value));
    (void)::setsockopt(fd, level, option, &number, sizeof number);
  };
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_s * 1000);
  // Where nothing is sent, the other side is asked for a sign of life.
  set(IPPROTO_TCP, TCP_KEEPIDLE, timeout_s / 4);
  set(IPPROTO_TCP, TCP_KEEPINTVL, timeout_s / 8);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
}

// By system calls: the C library has no names for them yet.
void limit_sockets_of(pid_t pid, double timeout_s) {
  const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (process < 0) return;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(tern::format("/proc/{}/fd", pid), error)) {
    std::error_code gone;
    if (!fs::read_symlink(entry.path(), gone).string().starts_with("socket:")) continue;
    const int number = to_number(entry.path().filename().string()).value_or(-1);
    const int copy = static_cast<int>(::syscall(SYS_pidfd_getfd, process, number, 0));
    if (copy < 0) continue;
    if (is_connection(copy)) limit(copy, timeout_s);
    ::close(copy);
  }
  ::close(process);
}

// The state and the exit code, as /proc shows them behind the name.
bool has_failed(pid_t pid) {
  constexpr std::size_t kExitCode = 49;
  const std::string stat = read_file(tern::format("/proc/{}/stat", pid));
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return false;
  std::istringstream rest(stat.substr(name_end + 1));
  const std::vector<std::string> fields(std::istream_iterator<std::string>(rest), {});
  return fields.size() > kExitCode && fields[0] == "Z" && fields[kExitCode] != "0";
}

}  // namespace

bool has_failed_child(pid_t launcher) {
  return std::ranges::any_of(children_of(launcher), has_failed);
}

void limit_launcher_sockets(pid_t launcher, double peer_timeout_s) {
  const double timeout_s = std::clamp(peer_timeout_s, 1.0, 86400.0);
  std::vector<pid_t> all = {launcher};
  for (std::size_t i = 0; i < all.size(); ++i) {
    limit_sockets_of(all[i], timeout_s);
    for (const pid_t child : children_of(all[i])) {
      if (!is_rank(child)) all.push_back(child);
    }
  }
}

}  // namespace tern::spawn
