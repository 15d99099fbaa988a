// spawn/name_service.cc - see name_service.h.
#include "spawn/name_service.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "core/card.h"
#include "core/format.h"

namespace tern::spawn {
namespace {

using Answer = NameService::Answer;
using Code = NameService::Code;

// Far above any port name and what stands before it.
constexpr std::size_t kFileBytesMax = 1280;
// File names have 255 bytes at most, and a byte of a name may take three of them.
constexpr std::size_t kFileNameBytesMax = 250;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

Answer system_failure(const std::string& what) {
  return {Code::kSystem, tern::format("{}: {}", what, std::strerror(errno))};
}

Answer unknown(std::string_view name) {
  return {Code::kUnknown, tern::format("nobody has published the name `{}`", name)};
}

// Letters, digits, '-' and '_' stand for themselves; so a name never begins with a dot or has a
// slash.
std::string file_name_of(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '-' || c == '_';
    text += plain ? std::string(1, c) : tern::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return text;
}

// The lock of a dead publisher is free.
bool is_alive(int fd) { return ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

bool is_file_at(int fd, const std::string& path) {
  struct stat own {};
  struct stat there {};
  return ::fstat(fd, &own) == 0 && ::stat(path.c_str(), &there) == 0 &&
         own.st_ino == there.st_ino && own.st_dev == there.st_dev;
}

// Held while files come and go, so that nobody removes the file that another has just made.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory)
      : fd_(::open((directory + "/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (fd_.ok() && ::flock(fd_.get(), LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  bool ok() const { return fd_.ok(); }

 private:
  Descriptor fd_;
};

// Where a lock that one host holds is seen by the others; elsewhere it is not certain. Numbers as
// in statfs(2).
bool shows_locks_to_all_hosts(int fd) {
  constexpr auto kKinds = std::to_array<unsigned long>({
      0x6969,      // NFS
      0xff534d42,  // SMB
      0xfe534d42,  // SMB 2
      0x47504653,  // GPFS
      0x00c36400,  // Ceph
      0x01161970,  // GFS2
      0x7461636f,  // OCFS2
  });
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 &&
         std::ranges::count(kKinds, static_cast<unsigned long>(info.f_type) & 0xffffffffUL) != 0;
}

// A file holds two lines: the host of its publisher, and the port.
std::string file_text(std::string_view port) {
  return tern::format("{}\n{}\n", HostIdentity::read().boot_id, port);
}

// The port in a file whose publisher lives, as far as can be seen from here. Removes the file of a
// dead one. Under the directory lock.
std::optional<std::string> read_live(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  std::array<char, kFileBytesMax> text;
  const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
  const std::string_view whole(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const std::size_t middle = whole.find('\n');
  const bool has_host = middle != std::string_view::npos;
  const bool is_whole = has_host && middle + 1 < whole.size() && whole.ends_with('\n');
  const bool is_far = has_host && whole.substr(0, middle) != HostIdentity::read().boot_id;
  if (!is_alive(file.get()) && !(is_far && !shows_locks_to_all_hosts(file.get()))) {
    ::unlink(path.c_str());
    return std::nullopt;
  }
  if (!is_whole) return std::nullopt;  // It is being written.
  return std::string(whole.substr(middle + 1, whole.size() - middle - 2));
}

}  // namespace

NameService::~NameService() {
  if (published_.empty()) return;
  const DirectoryLock lock(directory_);
  for (const auto& [name, published] : published_) {
    if (is_file_at(published.fd, path_of(name))) ::unlink(path_of(name).c_str());
    ::close(published.fd);
  }
}

std::string NameService::path_of(std::string_view name) const {
  return directory_ + "/" + file_name_of(name);
}

// The default place is nobody else's: names of others could lead a client to their port.
Answer NameService::find_directory() {
  if (checked_) return {};
  const bool chosen = !directory_.empty();
  if (!chosen) {
    const char* const run_time = std::getenv("XDG_RUNTIME_DIR");
    const std::string base =
        run_time != nullptr && run_time[0] == '/' && ::access(run_time, W_OK | X_OK) == 0
            ? std::string(run_time) + "/tern"
            : tern::format("/tmp/tern-{}", ::geteuid());
    directory_ = base;
  }
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) {
    Answer failure = system_failure("cannot make the directory of names " + directory_);
    if (!chosen) directory_.clear();
    return failure;
  }
  struct stat info {};
  const bool is_there = ::lstat(directory_.c_str(), &info) == 0;
  if (!chosen && (!is_there || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() ||
                  (info.st_mode & 022) != 0)) {
    const std::string place = std::exchange(directory_, {});
    return {Code::kSystem,
            tern::format("{} is not a directory that belongs to this user alone, so names in it "
                         "cannot be trusted; remove it, or choose another with TERN_NAME_DIR",
                         place)};
  }
  checked_ = true;
  return {};
}

Answer NameService::publish(std::string_view name, std::string_view port) {
  if (name.empty() || file_name_of(name).size() > kFileNameBytesMax) {
    return {
        Code::kBadName,
        tern::format("the name has {} characters; allowed are 1 to {} (fewer when it has others "
                     "than letters, digits, - and _)",
                     name.size(), kFileNameBytesMax)};
  }
  if (Answer failure = find_directory(); failure.code != Code::kOk) return failure;
  const DirectoryLock lock(directory_);
  if (!lock.ok()) return system_failure("cannot use the directory of names " + directory_);
  const std::string path = path_of(name);
  if (read_live(path)) {
    return {Code::kTaken, tern::format("the name `{}` is published already; unpublish it first, or "
                                       "choose another (if a process on another host has left it "
                                       "behind, remove {})",
                                       name, path)};
  }
  // Nobody looks before the directory is unlocked, so the file may be written in place.
  Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.ok()) return system_failure("cannot write " + path);
  const std::string text = file_text(port);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    Answer failure = system_failure("cannot write " + path);
    ::unlink(path.c_str());
    return failure;
  }
  published_.emplace(name, Published{file.release(), std::string(port)});
  return {};
}

Answer NameService::unpublish(std::string_view name, std::string_view port) {
  const auto found = published_.find(name);
  if (found == published_.end()) {
    return {Code::kNotOurs, tern::format("this process has not published the name `{}`", name)};
  }
  if (found->second.port != port) {
    return {Code::kNotOurs, tern::format("the name `{}` was published with another port: {}", name,
                                         found->second.port)};
  }
  const DirectoryLock lock(directory_);
  if (is_file_at(found->second.fd, path_of(name))) ::unlink(path_of(name).c_str());
  ::close(found->second.fd);
  published_.erase(found);
  return {};
}

Answer NameService::lookup(std::string_view name) {
  if (Answer failure = find_directory(); failure.code != Code::kOk) return failure;
  if (name.empty() || file_name_of(name).size() > kFileNameBytesMax) return unknown(name);
  const DirectoryLock lock(directory_);
  if (!lock.ok()) return system_failure("cannot use the directory of names " + directory_);
  const std::optional<std::string> port = read_live(path_of(name));
  return port ? Answer{Code::kOk, *port} : unknown(name);
}

}  // namespace tern::spawn
