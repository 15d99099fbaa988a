// shm/segment.cc - memfd and /proc/PID/fd; see segment.h.
#include "shm/segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace tern::shm {
namespace {

std::string system_error(const std::string& what) { return what + ": " + std::strerror(errno); }

}  // namespace

Segment Segment::create(const char* tag, std::size_t size, std::string& why) {
  Segment segment;
  const std::string name = std::string("tern-") + tag;
  segment.fd_ = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (segment.fd_ < 0) {
    why = system_error("memfd_create failed");
    return {};
  }
  // Sealed against shrinking: a peer that truncated it could kill us by SIGBUS.
  if (ftruncate(segment.fd_, static_cast<off_t>(size)) != 0 ||
      fcntl(segment.fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    why = system_error("cannot size a shared segment of " + std::to_string(size) + " bytes");
    return {};
  }
  void* const base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, segment.fd_, 0);
  if (base == MAP_FAILED) {
    why = system_error("cannot map a shared segment of " + std::to_string(size) + " bytes");
    return {};
  }
  segment.base_ = base;
  segment.size_ = size;
  return segment;
}

Segment Segment::open(std::uint32_t pid, std::uint32_t fd, std::size_t size, std::string& why) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  const int opened = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (opened < 0) {
    why = system_error("cannot open " + path);
    return {};
  }
  struct stat info {};
  void* base = MAP_FAILED;
  const int seals = fcntl(opened, F_GET_SEALS);
  if (fstat(opened, &info) == 0 && static_cast<std::size_t>(info.st_size) == size && seals >= 0 &&
      (seals & F_SEAL_SHRINK) != 0) {
    base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
  } else {
    errno = EINVAL;
  }
  if (base == MAP_FAILED) why = system_error("cannot map " + path);
  ::close(opened);
  Segment segment;
  if (base != MAP_FAILED) {
    segment.base_ = base;
    segment.size_ = size;
  }
  return segment;
}

Segment::Segment(Segment&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

Segment& Segment::operator=(Segment&& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
  return *this;
}

Segment::~Segment() {
  if (base_ != nullptr) munmap(base_, size_);
  close_descriptor();
}

std::uint64_t Segment::inode() const {
  struct stat info {};
  return fstat(fd_, &info) == 0 ? info.st_ino : 0;
}

bool Segment::is_open(std::uint32_t pid, std::uint32_t fd, std::uint64_t inode) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return info.st_ino == inode;
  // A process that hides its descriptors from others (prctl) still has them.
  return errno == EACCES || errno == EPERM;
}

void Segment::close_descriptor() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace tern::shm
